"""The stack: composes the constructs, tells each function where things are, and grants what it may do."""

from __future__ import annotations

import json

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from functions.adapters.indexes import LISTING_INDEX, REFERENCE_INDEX
from functions.core.catalog import Catalog, Mode, Model
from functions.providers.callbacks import CALLBACK_READERS
from infra.config import Config
from infra.constructs.account import ProviderAccount, key_ids, webhook_secret_ids
from infra.constructs.alarms import OLDEST_OF_LANE, Alarms
from infra.constructs.api import Api
from infra.constructs.dashboard import Dashboard
from infra.constructs.function import Package
from infra.constructs.guardrails import Guardrails
from infra.constructs.intake import Intake
from infra.constructs.lane import Lane
from infra.constructs.reporting import Reporting
from infra.constructs.storage import Storage
from infra.outputs import add_outputs

_ARCHITECTURES = {"arm64": lambda_.Architecture.ARM_64, "x86_64": lambda_.Architecture.X86_64}
_REMOVALS = {"retain": RemovalPolicy.RETAIN, "destroy": RemovalPolicy.DESTROY}

# Prefixes of the metadata bucket.
_BATCHES = "batches/"
_JOBS = "jobs/"
_RECIPES = "recipes/"


class ImageBatchStack(Stack):
    """All of imagebatch in one account and region."""

    def __init__(self, scope: Construct, construct_id: str, *, config: Config, catalog: Catalog) -> None:
        """Compose the stack; each enabled model of the catalog becomes a lane."""
        super().__init__(
            scope,
            construct_id,
            stack_name=config.stack,
            description="imagebatch: a CSV of prompts becomes a folder of pictures",
        )
        package = Package(code=lambda_.Code.from_asset(str(config.package)), architecture=_ARCHITECTURES[config.arch])
        models = catalog.enabled_models
        self.storage = Storage(self, "Storage", removal=_REMOVALS[config.removal])
        # Where a model in callback mode is disabled, its account's secrets stay: a callback that comes late needs them.
        # Retaining them outside the stack would not do, as no function may read them there, and the deploy that enables
        # the model again would fail, since their names are taken.
        self.accounts = {
            account.name: ProviderAccount(self, f"Account-{account.name}", account=account.name)
            for account in catalog.accounts_in_use
        }
        # In whatever mode its models are now: one that was in callback mode a deploy ago has calls under way.
        self._called_back = {
            account.name: self.accounts[account.name]
            for account in catalog.accounts_in_use
            if account.provider in CALLBACK_READERS
        }
        self._buying = {model.account.name: self.accounts[model.account.name] for model in models}
        self.lanes = {
            model.name: Lane(self, f"Lane-{model.name}", model=model, package=package, reserve=config.reserve)
            for model in models
        }
        self.intake = Intake(self, "Intake", inbox=self.storage.inbox, package=package)
        self.reporting = Reporting(self, "Reporting", jobs=self.storage.jobs, package=package)
        self.api = Api(self, "Api", package=package, reserve=config.reserve)
        self.api_url = config.api_url.replace("{api}", self.api.api_id) if config.api_url else self.api.url
        self.guardrails = Guardrails(
            self, "Guardrails", package=package, reserve=config.reserve, operator_email=config.operator_email
        )
        self._watch(config)
        self.dashboard = self._draw()

        self._configure_splitter(config)
        self.grant_splitter()
        for model in models:
            self._configure_worker(model, config)
            calls_back = config.callbacks and model.mode is Mode.CALLBACK
            account = self.accounts[model.account.name]
            self.grant_worker(self.lanes[model.name], account, calls_back=calls_back)
        self._configure_completion(config)
        self.grant_completion()
        self._configure_tracker()
        self.grant_tracker()
        self._configure_reporter()
        self.grant_reporter()
        self._configure_governor(config)
        self.grant_governor()
        add_outputs(self)

    def _watch(self, config: Config) -> None:
        """An alarm on whatever can go wrong unseen."""
        alarms = Alarms(self, "Alarms", governed=self.guardrails.alarms, operator=self.guardrails.operator)
        functions = {
            "splitter": self.intake.splitter,
            "completion": self.api.completion,
            "tracker": self.reporting.tracker,
            "reporter": self.reporting.reporter,
            "governor": self.guardrails.governor,
        }
        for model, lane in self.lanes.items():
            alarms.watch_lane(model, seconds=config.alarm_seconds)
            alarms.watch_money(model)
            alarms.watch_queue(f"lane-{model}", lane.queue, oldest=OLDEST_OF_LANE)
            functions[f"worker-{model}"] = lane.worker
        alarms.watch_queue("intake", self.intake.queue)
        alarms.watch_queue("reports", self.reporting.queue)
        alarms.watch_dead_letters("tracker", self.reporting.failures)
        alarms.watch_dead_letters("governor", self.guardrails.failures)
        alarms.watch_stream("tracker", self.reporting.tracker.function)
        for name, function in functions.items():
            alarms.watch_function(name, function.function)

    def _draw(self) -> Dashboard:
        return Dashboard(
            self,
            "Overview",
            lanes=self.lanes,
            queues={"intake": self.intake.queue, "reports": self.reporting.queue},
            dead_letters={"tracker": self.reporting.failures, "governor": self.guardrails.failures},
        )

    def _configure_splitter(self, config: Config) -> None:
        self.intake.splitter.environment(
            INBOX_BUCKET=self.storage.inbox.bucket_name,
            METADATA_BUCKET=self.storage.metadata.bucket_name,
            JOBS_TABLE=self.storage.jobs.table_name,
            BATCHES_TABLE=self.storage.batches.table_name,
            LANES_TABLE=self.storage.lanes.table_name,
            INTAKE_QUEUE_URL=self.intake.queue.queue.queue_url,
            REPORTS_QUEUE_URL=self.reporting.queue.queue.queue_url,
            LANE_QUEUES=self._lane_queues(),
            CHUNK_ROWS=str(config.chunk_rows),
        )

    def grant_splitter(self) -> None:
        """Read uploads and recipes, create jobs and batches, ring the lanes at their pace, continue itself."""
        splitter, storage = self.intake.splitter, self.storage
        splitter.allow_objects("s3:GetObject", "s3:GetObjectVersion", bucket=storage.inbox)
        splitter.allow_objects("s3:GetObject", "s3:PutObject", bucket=storage.metadata, prefix=_BATCHES)
        splitter.allow_objects("s3:GetObject", bucket=storage.metadata, prefix=_RECIPES)
        # Without it S3 answers 403 for a key that is not there, and a missing recipe would look like a fault.
        splitter.allow("s3:ListBucket", on=[storage.inbox.bucket_arn, storage.metadata.bucket_arn])
        splitter.allow(
            "dynamodb:BatchGetItem",
            "dynamodb:PartiQLInsert",
            "dynamodb:UpdateItem",
            on=[storage.jobs.table_arn],
        )
        splitter.allow(
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:Query",
            "dynamodb:UpdateItem",
            on=[storage.batches.table_arn],
        )
        splitter.allow("dynamodb:BatchGetItem", on=[storage.lanes.table_arn])
        lanes = [lane.queue.queue.queue_arn for lane in self.lanes.values()]
        splitter.allow(
            "sqs:SendMessage",
            on=[self.intake.queue.queue.queue_arn, self.reporting.queue.queue.queue_arn, *lanes],
        )
        splitter.allow("sqs:GetQueueAttributes", on=lanes)

    def _configure_worker(self, model: Model, config: Config) -> None:
        account = model.account.name
        self.lanes[model.name].worker.environment(
            JOBS_TABLE=self.storage.jobs.table_name,
            BATCHES_TABLE=self.storage.batches.table_name,
            LANES_TABLE=self.storage.lanes.table_name,
            IMAGES_BUCKET=self.storage.images.bucket_name,
            METADATA_BUCKET=self.storage.metadata.bucket_name,
            PROVIDER_URLS=json.dumps(config.provider_urls),
            PROVIDER_SECRETS=json.dumps({account: self.accounts[account].secret_id}),
            LEASE_SECONDS=str(config.lease_seconds),
            API_URL=self.api_url if config.callbacks and model.mode is Mode.CALLBACK else "",
            CALLBACK_SECRET=self.api.secret_id,
        )

    def grant_worker(self, lane: Lane, account: ProviderAccount, *, calls_back: bool) -> None:
        """Work on jobs of batches that go on, keep the others' pace, store pictures, read one key, sign URLs."""
        worker, storage = lane.worker, self.storage
        worker.allow("dynamodb:BatchGetItem", "dynamodb:UpdateItem", on=[storage.jobs.table_arn])
        worker.allow("dynamodb:UpdateItem", on=[storage.lanes.table_arn])
        worker.allow("dynamodb:BatchGetItem", on=[storage.batches.table_arn])
        worker.allow("dynamodb:Query", on=[f"{storage.jobs.table_arn}/index/{REFERENCE_INDEX}"])
        worker.allow_objects("s3:GetObject", "s3:PutObject", bucket=storage.images)
        worker.allow_objects("s3:GetObject", "s3:PutObject", bucket=storage.metadata, prefix=_JOBS)
        # Without it S3 answers 403 for what is not there yet.
        worker.allow("s3:ListBucket", on=[storage.images.bucket_arn, storage.metadata.bucket_arn])
        worker.allow("secretsmanager:GetSecretValue", on=[account.secret_arn])
        if calls_back:
            worker.allow("secretsmanager:GetSecretValue", on=[self.api.secret_arn])
        worker.allow("sqs:ChangeMessageVisibility", on=[lane.queue.queue.queue_arn])
        worker.allow("sqs:SendMessage", on=[lane.queue.dead_letters.queue_arn])

    def _configure_completion(self, config: Config) -> None:
        self.api.completion.environment(
            JOBS_TABLE=self.storage.jobs.table_name,
            IMAGES_BUCKET=self.storage.images.bucket_name,
            METADATA_BUCKET=self.storage.metadata.bucket_name,
            LANE_QUEUES=self._lane_queues(),
            PROVIDER_URLS=json.dumps(config.provider_urls),
            PROVIDER_SECRETS=key_ids(self._called_back),
            WEBHOOK_SECRETS=webhook_secret_ids(self._called_back),
            CALLBACK_SECRET=self.api.secret_id,
        )

    def grant_completion(self) -> None:
        """Finish jobs, store pictures, ask who calls back with its key, check its signatures, ring the lanes."""
        completion, storage, accounts = self.api.completion, self.storage, self._called_back.values()
        completion.allow("dynamodb:BatchGetItem", "dynamodb:UpdateItem", on=[storage.jobs.table_arn])
        completion.allow("dynamodb:Query", on=[f"{storage.jobs.table_arn}/index/{REFERENCE_INDEX}"])
        completion.allow_objects("s3:GetObject", "s3:PutObject", bucket=storage.images)
        completion.allow_objects("s3:GetObject", "s3:PutObject", bucket=storage.metadata, prefix=_JOBS)
        # Without it S3 answers 403 for what is not there yet.
        completion.allow("s3:ListBucket", on=[storage.images.bucket_arn, storage.metadata.bucket_arn])
        completion.allow(
            "secretsmanager:GetSecretValue",
            on=[
                self.api.secret_arn,
                *(arn for account in accounts for arn in (account.secret_arn, account.webhook_secret_arn)),
            ],
        )
        completion.allow("sqs:SendMessage", on=[lane.queue.queue.queue_arn for lane in self.lanes.values()])

    def _configure_tracker(self) -> None:
        self.reporting.tracker.environment(
            BATCHES_TABLE=self.storage.batches.table_name,
            LANES_TABLE=self.storage.lanes.table_name,
            REPORTS_QUEUE_URL=self.reporting.queue.queue.queue_url,
        )

    def grant_tracker(self) -> None:
        """Add to the counters of batches and lanes, and ask for a batch to be closed."""
        self.reporting.tracker.allow(
            "dynamodb:UpdateItem", on=[self.storage.batches.table_arn, self.storage.lanes.table_arn]
        )
        self.reporting.tracker.allow("sqs:SendMessage", on=[self.reporting.queue.queue.queue_arn])

    def _configure_reporter(self) -> None:
        self.reporting.reporter.environment(
            METADATA_BUCKET=self.storage.metadata.bucket_name,
            JOBS_TABLE=self.storage.jobs.table_name,
            BATCHES_TABLE=self.storage.batches.table_name,
            INTAKE_QUEUE_URL=self.intake.queue.queue.queue_url,
            REPORTS_QUEUE_URL=self.reporting.queue.queue.queue_url,
        )

    def grant_reporter(self) -> None:
        """Recount a batch from its manifest and the jobs table, write its results, ring what is silent."""
        reporter, storage = self.reporting.reporter, self.storage
        reporter.allow_objects(
            "s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject", bucket=storage.metadata, prefix=_BATCHES
        )
        reporter.allow("s3:ListBucket", on=[storage.metadata.bucket_arn])
        reporter.allow("dynamodb:BatchGetItem", "dynamodb:UpdateItem", on=[storage.jobs.table_arn])
        reporter.allow("dynamodb:GetItem", "dynamodb:UpdateItem", on=[storage.batches.table_arn])
        reporter.allow(
            "dynamodb:Query",
            on=[storage.batches.table_arn, f"{storage.batches.table_arn}/index/{LISTING_INDEX}"],
        )
        reporter.allow("sqs:SendMessage", on=[self.intake.queue.queue.queue_arn, self.reporting.queue.queue.queue_arn])

    def _configure_governor(self, config: Config) -> None:
        mappings = {model: lane.mapping.event_source_mapping_id for model, lane in self.lanes.items()}
        self.guardrails.governor.environment(
            LANES_TABLE=self.storage.lanes.table_name,
            LANE_MAPPINGS=self.to_json_string(mappings),
            INTAKE_MAPPING=self.intake.mapping.event_source_mapping_id,
            OPERATOR_TOPIC=self.guardrails.operator.topic_arn,
            ALARM_SECONDS=str(config.alarm_seconds),
            STACK=config.stack,
            PROVIDER_URLS=json.dumps(config.provider_urls),
            PROVIDER_SECRETS=key_ids(self._buying),
        )

    def grant_governor(self) -> None:
        """Turn the lanes' workers and rates, open and close the intake, ask for prices, speak to the operator."""
        governor = self.guardrails.governor
        governor.allow("dynamodb:BatchGetItem", "dynamodb:UpdateItem", on=[self.storage.lanes.table_arn])
        mappings = [self.intake.mapping, *(lane.mapping for lane in self.lanes.values())]
        governor.allow(
            "lambda:GetEventSourceMapping",
            "lambda:UpdateEventSourceMapping",
            on=[mapping.event_source_mapping_arn for mapping in mappings],
        )
        governor.allow("secretsmanager:GetSecretValue", on=[account.secret_arn for account in self._buying.values()])
        self.guardrails.allow_alarm_states()
        self.guardrails.allow_operator_notices()

    def _lane_queues(self) -> str:
        return self.to_json_string({name: lane.queue.queue.queue_url for name, lane in self.lanes.items()})
