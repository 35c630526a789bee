"""Buckets, tables, secrets and logs: private, encrypted, kept or removed as asked."""

from __future__ import annotations

import json

import pytest

from functions.core.jobs.callback_key import SHORTEST_SECRET
from tests.infra.template import Template

KEPT = {
    "AWS::S3::Bucket": {"Storage/Inbox", "Storage/Images", "Storage/Metadata"},
    "AWS::DynamoDB::Table": {"Storage/Jobs", "Storage/Batches", "Storage/Lanes"},
}


def test_no_bucket_is_public(template: Template) -> None:
    for bucket in template.all("AWS::S3::Bucket").values():
        assert bucket["PublicAccessBlockConfiguration"] == {
            "BlockPublicAcls": True,
            "BlockPublicPolicy": True,
            "IgnorePublicAcls": True,
            "RestrictPublicBuckets": True,
        }
        assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def test_every_bucket_is_encrypted(template: Template) -> None:
    for bucket in template.all("AWS::S3::Bucket").values():
        assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"] == [
            {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        ]


def test_every_bucket_refuses_requests_without_tls(template: Template) -> None:
    statements = template.policies_on("AWS::S3::BucketPolicy", "Bucket")
    for bucket in template.all("AWS::S3::Bucket"):
        denied = [statement for statement in statements[bucket] if statement["Effect"] == "Deny"]
        assert len(denied) == 1
        assert denied[0]["Action"] == "s3:*"
        assert denied[0]["Principal"] == {"AWS": "*"}
        assert denied[0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert {template.name(resource) for resource in denied[0]["Resource"]} == {bucket, f"{bucket}/*"}


def test_nobody_outside_is_allowed_into_a_bucket(template: Template) -> None:
    for statements in template.policies_on("AWS::S3::BucketPolicy", "Bucket").values():
        assert {statement["Effect"] for statement in statements} == {"Deny"}


def test_the_inbox_keeps_versions_for_a_month(template: Template) -> None:
    inbox = template.all("AWS::S3::Bucket")["Storage/Inbox"]
    assert inbox["VersioningConfiguration"] == {"Status": "Enabled"}
    assert inbox["LifecycleConfiguration"]["Rules"][0]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}


def test_no_current_object_expires_and_broken_uploads_are_cleared(template: Template) -> None:
    for bucket in template.all("AWS::S3::Bucket").values():
        (rule,) = bucket["LifecycleConfiguration"]["Rules"]
        assert rule["Status"] == "Enabled"
        assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
        assert "ExpirationInDays" not in rule


def test_the_tables_have_the_keys_that_the_functions_use(template: Template) -> None:
    keys = {
        path: [key["AttributeName"] for key in table["KeySchema"]]
        for path, table in template.all("AWS::DynamoDB::Table").items()
    }
    assert keys == {
        "Storage/Jobs": ["job_id"],
        "Storage/Batches": ["batch_id", "item"],
        "Storage/Lanes": ["name"],
    }


def test_the_indexes_have_the_names_and_keys_that_the_functions_use(template: Template) -> None:
    tables = template.all("AWS::DynamoDB::Table")
    indexes = {
        (path, index["IndexName"]): [key["AttributeName"] for key in index["KeySchema"]]
        for path, table in tables.items()
        for index in table.get("GlobalSecondaryIndexes", [])
    }
    assert indexes == {
        ("Storage/Jobs", "by-reference"): ["reference"],
        ("Storage/Jobs", "by-held"): ["held", "held_at"],
        ("Storage/Batches", "by-listing"): ["listing", "created_at"],
    }
    for table in tables.values():
        for index in table.get("GlobalSecondaryIndexes", []):
            assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}


def test_tables_are_paid_by_request_and_can_be_restored(template: Template) -> None:
    for table in template.all("AWS::DynamoDB::Table").values():
        assert table["BillingMode"] == "PAY_PER_REQUEST"
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        # Absent means the AWS-owned key: encrypted, and no KMS request to pay for.
        assert "SSESpecification" not in table


def test_only_minutes_of_lanes_expire(template: Template) -> None:
    expiring = {
        path: table["TimeToLiveSpecification"]
        for path, table in template.all("AWS::DynamoDB::Table").items()
        if "TimeToLiveSpecification" in table
    }
    assert expiring == {"Storage/Lanes": {"AttributeName": "expires_at", "Enabled": True}}


def test_changes_of_jobs_are_streamed_with_both_images(template: Template) -> None:
    tables = template.all("AWS::DynamoDB::Table")
    assert tables["Storage/Jobs"]["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}
    assert all("StreamSpecification" not in tables[path] for path in tables if path != "Storage/Jobs")


@pytest.mark.parametrize(("name", "policy"), [("template", "Retain"), ("small_template", "Delete")])
def test_what_was_paid_for_outlives_the_stack_unless_asked(
    name: str, policy: str, request: pytest.FixtureRequest
) -> None:
    template: Template = request.getfixturevalue(name)
    for kind, paths in KEPT.items():
        for path in paths:
            resource = template.resource(path, kind)
            assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == (policy, policy)


@pytest.mark.parametrize(("name", "stack"), [("template", "imagebatch"), ("small_template", "trial")])
def test_each_account_in_use_has_secrets_that_hold_nothing_yet(
    name: str, stack: str, request: pytest.FixtureRequest
) -> None:
    template: Template = request.getfixturevalue(name)
    secrets = template.all("AWS::SecretsManager::Secret")
    accounts = ("wavespeed", "polled", "former")
    assert {path: (secret["Name"], secret.get("SecretString")) for path, secret in secrets.items()} == {
        **{f"Account-{name}/Key": (f"{stack}/provider/{name}", "unset") for name in accounts},
        **{f"Account-{name}/WebhookSecret": (f"{stack}/webhook/{name}", "unset") for name in accounts},
        "Api/SigningSecret": (f"{stack}/callback-signing", None),
    }
    keys, webhooks = (json.loads(template.outputs[name]["Value"]) for name in ("ProviderSecrets", "WebhookSecrets"))
    assert keys == {name: f"{stack}/provider/{name}" for name in accounts}
    assert webhooks == {name: f"{stack}/webhook/{name}" for name in accounts}
    assert template.outputs["CallbackSecret"]["Value"] == f"{stack}/callback-signing"


def test_the_secret_of_callback_urls_is_made_by_aws_and_long_enough(template: Template) -> None:
    secret = template.all("AWS::SecretsManager::Secret")["Api/SigningSecret"]
    assert secret["GenerateSecretString"] == {"ExcludePunctuation": True, "PasswordLength": 64}
    assert secret["GenerateSecretString"]["PasswordLength"] >= SHORTEST_SECRET


def test_logs_are_kept_for_a_month_and_no_function_shares_them(template: Template) -> None:
    groups = template.all("AWS::Logs::LogGroup")
    assert all(group["RetentionInDays"] == 30 for group in groups.values())
    used = [
        template.name(function["LoggingConfig"]["LogGroup"])
        for function in template.all("AWS::Lambda::Function").values()
    ]
    assert sorted([*used, "Api/AccessLogs"]) == sorted(groups)
