"""The CDK app's entry point: `python -m infra.app`, which the CDK command line runs (cdk.json)."""

from __future__ import annotations

import sys

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks

from functions.core.catalog import Catalog, CatalogError
from infra.config import Config, ConfigError, read_catalog, read_config
from infra.stack import ImageBatchStack


def assemble(app: App, config: Config, catalog: Catalog) -> ImageBatchStack:
    """Put the stack into an app, and the checks: a finding that is not acknowledged ends the synth."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    return ImageBatchStack(app, config.stack, config=config, catalog=catalog)


def main() -> None:
    """Synthesize; ends with a sentence and exit code 1 where the context or the catalog cannot be used."""
    app = App()
    try:
        config = read_config(app.node.try_get_context)
        assemble(app, config, read_catalog(config.package))
    except (ConfigError, CatalogError) as error:
        sys.exit(f"imagebatch: {error}")
    app.synth()


if __name__ == "__main__":
    main()
