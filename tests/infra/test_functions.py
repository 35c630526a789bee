"""The functions: what they may do, what they are told, and what the command line learns about them."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

from functions.runtime.completion import CompletionSettings
from functions.runtime.governor import GovernorSettings
from functions.runtime.reporter import ReporterSettings
from functions.runtime.splitter import SplitterSettings
from functions.runtime.tracker import TrackerSettings
from functions.runtime.worker import WorkerSettings
from functions.settings import read_settings
from tests.infra.template import Template

LANES = {"Lane-quick": "quick", "Lane-fine": "fine"}
"""Model of each lane of the tests' catalog."""

ACCOUNTS = {"Lane-quick": "polled", "Lane-fine": "wavespeed"}
CALLED_BACK = ("wavespeed", "polled", "former")  # what is polled now may have been called back a deploy ago
"""Accounts with a model in callback mode; that of the second is disabled."""

SETTINGS = {
    "Intake/Splitter": SplitterSettings,
    "Reporting/Tracker": TrackerSettings,
    "Reporting/Reporter": ReporterSettings,
    "Api/Completion": CompletionSettings,
    "Guardrails/Governor": GovernorSettings,
    **{f"{lane}/Worker": WorkerSettings for lane in LANES},
}

MAPPING_ARN = "arn:AWS::Partition:lambda:AWS::Region:AWS::AccountId:event-source-mapping"
GOVERNED_MAPPINGS = ("Intake/Splitter/Mapping", *(f"{lane}/Worker/Mapping" for lane in LANES))

CONSUME = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
READ_SECRET = {"secretsmanager:GetSecretValue"}
READ_WRITE_OBJECTS = {"s3:GetObject", "s3:PutObject"}
RING = {"sqs:SendMessage", "sqs:GetQueueAttributes"}
TURN_MAPPING = {"lambda:GetEventSourceMapping", "lambda:UpdateEventSourceMapping"}
WRITE_LOG = {"logs:CreateLogStream", "logs:PutLogEvents"}


def worker_may(lane: str) -> dict[str, set[str]]:
    return {
        f"{lane}/Worker/Logs": WRITE_LOG,
        f"{lane}/Jobs/Queue": CONSUME | {"sqs:ChangeMessageVisibility"},
        f"{lane}/Jobs/DeadLetters": {"sqs:SendMessage"},
        f"Account-{ACCOUNTS[lane]}/Key": READ_SECRET,
        **({} if LANES[lane] == "quick" else {"Api/SigningSecret": READ_SECRET}),  # it polls
        "Storage/Images": {"s3:ListBucket"},
        "Storage/Metadata": {"s3:ListBucket"},
        "Storage/Images/*": READ_WRITE_OBJECTS,
        "Storage/Metadata/jobs/*": READ_WRITE_OBJECTS,
        "Storage/Jobs": {"dynamodb:BatchGetItem", "dynamodb:UpdateItem"},
        "Storage/Jobs/index/by-reference": {"dynamodb:Query"},
        "Storage/Lanes": {"dynamodb:UpdateItem"},
        "Storage/Batches": {"dynamodb:BatchGetItem"},
    }


ALLOWED: dict[str, dict[str, set[str]]] = {
    "Intake/Splitter": {
        "Intake/Splitter/Logs": WRITE_LOG,
        "Intake/Intake/Queue": CONSUME | {"sqs:SendMessage"},
        "Reporting/Reports/Queue": {"sqs:SendMessage"},
        **{f"{lane}/Jobs/Queue": RING for lane in LANES},
        "Storage/Inbox": {"s3:ListBucket"},
        "Storage/Inbox/*": {"s3:GetObject", "s3:GetObjectVersion"},
        "Storage/Metadata": {"s3:ListBucket"},
        "Storage/Metadata/batches/*": READ_WRITE_OBJECTS,
        "Storage/Metadata/recipes/*": {"s3:GetObject"},
        "Storage/Jobs": {
            "dynamodb:BatchGetItem",
            "dynamodb:PartiQLInsert",
            "dynamodb:UpdateItem",
        },
        "Storage/Batches": {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"},
        "Storage/Lanes": {"dynamodb:BatchGetItem"},
    },
    **{f"{lane}/Worker": worker_may(lane) for lane in LANES},
    "Api/Completion": {
        "Api/Completion/Logs": WRITE_LOG,
        **{f"{lane}/Jobs/Queue": {"sqs:SendMessage"} for lane in LANES},
        **{f"Account-{name}/{secret}": READ_SECRET for name in CALLED_BACK for secret in ("Key", "WebhookSecret")},
        "Api/SigningSecret": READ_SECRET,
        "Storage/Images": {"s3:ListBucket"},
        "Storage/Metadata": {"s3:ListBucket"},
        "Storage/Images/*": READ_WRITE_OBJECTS,
        "Storage/Metadata/jobs/*": READ_WRITE_OBJECTS,
        "Storage/Jobs": {"dynamodb:BatchGetItem", "dynamodb:UpdateItem"},
        "Storage/Jobs/index/by-reference": {"dynamodb:Query"},
    },
    "Reporting/Tracker": {
        "Reporting/Tracker/Logs": WRITE_LOG,
        "Storage/Jobs.StreamArn": {
            "dynamodb:DescribeStream",
            "dynamodb:GetRecords",
            "dynamodb:GetShardIterator",
            "dynamodb:ListStreams",
        },
        "Storage/Batches": {"dynamodb:UpdateItem"},
        "Storage/Lanes": {"dynamodb:UpdateItem"},
        "Reporting/Reports/Queue": {"sqs:SendMessage"},
        "Reporting/TrackerFailures": {"sqs:SendMessage"},
    },
    "Reporting/Reporter": {
        "Reporting/Reporter/Logs": WRITE_LOG,
        "Reporting/Reports/Queue": CONSUME | {"sqs:SendMessage"},
        "Intake/Intake/Queue": {"sqs:SendMessage"},
        "Storage/Metadata": {"s3:ListBucket"},
        "Storage/Metadata/batches/*": READ_WRITE_OBJECTS | {"s3:AbortMultipartUpload"},
        "Storage/Jobs": {"dynamodb:BatchGetItem", "dynamodb:UpdateItem"},
        "Storage/Batches": {"dynamodb:GetItem", "dynamodb:Query", "dynamodb:UpdateItem"},
        "Storage/Batches/index/by-listing": {"dynamodb:Query"},
    },
    "Guardrails/Governor": {
        "Guardrails/Governor/Logs": WRITE_LOG,
        "Storage/Lanes": {"dynamodb:BatchGetItem", "dynamodb:UpdateItem"},
        **{f"{MAPPING_ARN}:{mapping}": TURN_MAPPING for mapping in GOVERNED_MAPPINGS},
        # Reading alarms by name is checked against all of the account's.
        "arn:AWS::Partition:cloudwatch:AWS::Region:AWS::AccountId:alarm:*": {"cloudwatch:DescribeAlarms"},
        **{f"Account-{name}/Key": READ_SECRET for name in ACCOUNTS.values()},
        "Guardrails/Operator": {"sns:Publish"},
        "Guardrails/Key": {"kms:Decrypt", "kms:GenerateDataKey"},
        "Guardrails/GovernorFailures": {"sqs:SendMessage"},
    },
}
"""Role → resource → the actions it may use there, and no other."""


def environment(template: Template, function: str) -> dict[str, Any]:
    properties = template.all("AWS::Lambda::Function")[f"{function}/Function"]
    return dict(properties["Environment"]["Variables"])


@pytest.mark.parametrize("function", ALLOWED)
def test_a_role_may_do_exactly_what_its_function_does(template: Template, function: str) -> None:
    # "Logs.Arn" ends in ":*" in AWS, so it names the streams of that group; it is no wildcard in the template.
    assert template.allowed()[function] == ALLOWED[function]


def test_no_role_is_left_out_of_the_table(template: Template) -> None:
    assert set(template.allowed()) == set(ALLOWED)


def test_no_role_has_more_than_its_one_policy(template: Template) -> None:
    for role in template.all("AWS::IAM::Role").values():
        assert "ManagedPolicyArns" not in role
        assert "Policies" not in role
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}


def test_no_action_and_no_whole_service_is_a_wildcard(template: Template) -> None:
    for grants in template.allowed().values():
        assert "*" not in grants
        assert not [action for actions in grants.values() for action in actions if "*" in action]


def test_every_function_has_a_role_of_its_own(template: Template) -> None:
    functions = template.all("AWS::Lambda::Function")
    roles = {template.name(function["Role"]) for function in functions.values()}
    assert len(roles) == len(functions)


@pytest.mark.parametrize("function", SETTINGS)
def test_a_function_is_told_everything_its_settings_name(template: Template, function: str) -> None:
    wanted = {field.name.upper() for field in fields(SETTINGS[function])}
    common = {"POWERTOOLS_SERVICE_NAME", "POWERTOOLS_LOG_LEVEL"}
    assert set(environment(template, function)) == wanted | common


def test_every_address_points_at_the_resource_it_is_named_after(template: Template) -> None:
    places = {
        "INBOX_BUCKET": "Storage/Inbox",
        "IMAGES_BUCKET": "Storage/Images",
        "METADATA_BUCKET": "Storage/Metadata",
        "JOBS_TABLE": "Storage/Jobs",
        "BATCHES_TABLE": "Storage/Batches",
        "LANES_TABLE": "Storage/Lanes",
        "INTAKE_QUEUE_URL": "Intake/Intake/Queue",
        "REPORTS_QUEUE_URL": "Reporting/Reports/Queue",
        "INTAKE_MAPPING": "Intake/Splitter/Mapping",
        "OPERATOR_TOPIC": "Guardrails/Operator",
    }
    for function in SETTINGS:
        told = environment(template, function)
        for variable in places.keys() & told.keys():
            assert template.name(told[variable]) == places[variable]


@pytest.mark.parametrize("function", ["Intake/Splitter", "Api/Completion"])
def test_who_rings_knows_the_queue_of_every_lane(template: Template, function: str) -> None:
    queues = json.loads(template.name(environment(template, function)["LANE_QUEUES"]))
    assert queues == {model: f"{lane}/Jobs/Queue" for lane, model in LANES.items()}


@pytest.mark.parametrize(("name", "stack"), [("template", "imagebatch"), ("small_template", "trial")])
def test_every_function_calls_itself_by_its_stack(name: str, stack: str, request: pytest.FixtureRequest) -> None:
    """Its metrics and alarms are told apart from another stack's by this."""
    template: Template = request.getfixturevalue(name)
    assert {environment(template, function)["POWERTOOLS_SERVICE_NAME"] for function in SETTINGS} == {stack}


@pytest.mark.parametrize("lane", LANES)
def test_a_worker_knows_its_lane_and_its_accounts_secret_only(template: Template, lane: str) -> None:
    told = environment(template, f"{lane}/Worker")
    assert told["LANE"] == LANES[lane]
    assert template.name(told["LANE_QUEUE_URL"]) == f"{lane}/Jobs/Queue"
    assert template.name(told["DEAD_LETTER_QUEUE_URL"]) == f"{lane}/Jobs/DeadLetters"
    assert json.loads(told["PROVIDER_SECRETS"]) == {ACCOUNTS[lane]: f"imagebatch/provider/{ACCOUNTS[lane]}"}
    assert json.loads(told["PROVIDER_URLS"]) == {}
    assert told["LEASE_SECONDS"] == "120"
    assert told["CALLBACK_SECRET"] == "imagebatch/callback-signing"


def test_the_completion_function_knows_the_secrets_of_who_calls_back(template: Template) -> None:
    """Of a disabled model too: what was paid for may come late."""
    told = environment(template, "Api/Completion")
    assert json.loads(told["PROVIDER_SECRETS"]) == {name: f"imagebatch/provider/{name}" for name in CALLED_BACK}
    assert json.loads(told["WEBHOOK_SECRETS"]) == {name: f"imagebatch/webhook/{name}" for name in CALLED_BACK}
    assert json.loads(told["PROVIDER_URLS"]) == {}
    assert told["CALLBACK_SECRET"] == "imagebatch/callback-signing"


def test_the_governor_knows_what_it_turns_and_whom_it_asks_for_prices(template: Template) -> None:
    """Not the keys of accounts that nothing is bought through any more."""
    told = environment(template, "Guardrails/Governor")
    mappings = json.loads(template.name(told["LANE_MAPPINGS"]))
    assert mappings == {model: f"{lane}/Worker/Mapping" for lane, model in LANES.items()}
    assert json.loads(told["PROVIDER_SECRETS"]) == {
        name: f"imagebatch/provider/{name}" for name in ("wavespeed", "polled")
    }
    assert json.loads(told["PROVIDER_URLS"]) == {}
    assert (told["STACK"], told["ALARM_SECONDS"]) == ("imagebatch", "300")


def test_a_worker_without_an_api_to_be_called_back_at_is_told_so_by_an_empty_address(template: Template) -> None:
    told = environment(template, "Lane-quick/Worker")
    settings = read_settings(WorkerSettings, {name: str(value) for name, value in told.items()})
    assert settings.api_url == ""


def test_options_reach_the_functions(small_template: Template) -> None:
    worker = environment(small_template, "Lane-quick/Worker")
    assert json.loads(worker["PROVIDER_URLS"]) == {"wavespeed": "http://127.0.0.1:9999"}
    assert worker["LEASE_SECONDS"] == "30"
    assert environment(small_template, "Intake/Splitter")["CHUNK_ROWS"] == "100"
    governor = environment(small_template, "Guardrails/Governor")
    assert (governor["STACK"], governor["ALARM_SECONDS"]) == ("trial", "60")
    assert json.loads(governor["PROVIDER_URLS"]) == {"wavespeed": "http://127.0.0.1:9999"}


@pytest.mark.parametrize(("name", "architecture"), [("template", "arm64"), ("small_template", "x86_64")])
def test_functions_run_on_what_the_package_was_built_for(
    name: str, architecture: str, request: pytest.FixtureRequest
) -> None:
    template: Template = request.getfixturevalue(name)
    for function in template.all("AWS::Lambda::Function").values():
        assert function["Architectures"] == [architecture]
        assert function["Runtime"] == "python3.13"


def test_sizes_and_timeouts_are_what_the_work_needs(template: Template) -> None:
    sizes = {
        path.removesuffix("/Function"): (function["Timeout"], function["MemorySize"])
        for path, function in template.all("AWS::Lambda::Function").items()
    }
    assert sizes == {
        "Intake/Splitter": (120, 512),
        "Reporting/Tracker": (30, 256),
        "Reporting/Reporter": (600, 1024),
        "Api/Completion": (29, 512),
        "Guardrails/Governor": (60, 512),
        **{f"{lane}/Worker": (180, 1024) for lane in LANES},
    }


def test_only_who_sends_to_its_own_queue_may_feed_itself_for_long(template: Template) -> None:
    """A long scan and a recount that is wanted again continue more often than Lambda's loop detection lets them."""
    functions = template.all("AWS::Lambda::Function")
    assert {path for path, function in functions.items() if function.get("RecursiveLoop") == "Allow"} == {
        "Intake/Splitter/Function",
        "Reporting/Reporter/Function",
    }


def test_a_model_that_is_switched_off_costs_no_more_than_the_secrets_of_who_may_still_call_back(
    template: Template,
) -> None:
    assert "retired" not in json.dumps(template.body)
    assert "idle" not in json.dumps(template.body)
    assert "unused" not in json.dumps(template.body)


def test_the_command_line_finds_everything_in_the_outputs(template: Template) -> None:
    plain = {
        "InboxBucket": "Storage/Inbox",
        "ImagesBucket": "Storage/Images",
        "MetadataBucket": "Storage/Metadata",
        "JobsTable": "Storage/Jobs",
        "BatchesTable": "Storage/Batches",
        "LanesTable": "Storage/Lanes",
        "IntakeQueueUrl": "Intake/Intake/Queue",
        "IntakeDeadLetterQueueUrl": "Intake/Intake/DeadLetters",
        "IntakeMapping": "Intake/Splitter/Mapping",
        "ReportsQueueUrl": "Reporting/Reports/Queue",
        "OperatorTopic": "Guardrails/Operator",
        "Dashboard": "imagebatch-AWS::Region",
        "DashboardUrl": "https://AWS::Region.console.aws.amazon.com/cloudwatch/home?region=AWS::Region"
        "#dashboards/dashboard/imagebatch-AWS::Region",
    }
    secrets = {"ProviderSecrets", "WebhookSecrets", "CallbackSecret"}
    assert set(template.outputs) == {*plain, *secrets, "Lanes", "ApiUrl"}
    assert {key: template.name(template.outputs[key]["Value"]) for key in plain} == plain
    assert json.loads(template.name(template.outputs["Lanes"]["Value"])) == {
        model: {
            "queue_url": f"{lane}/Jobs/Queue",
            "dead_letter_queue_url": f"{lane}/Jobs/DeadLetters",
            "function": f"{lane}/Worker/Function",
            "mapping": f"{lane}/Worker/Mapping",
        }
        for lane, model in LANES.items()
    }
