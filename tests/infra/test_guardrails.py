"""Guardrails: alarms get through to the governor, what it cannot take is kept, and nobody else may speak to it."""

from __future__ import annotations

import pytest

from tests.infra.template import Template

GOVERNOR = "Guardrails/Governor/Function"
TOPICS = ("Guardrails/Alarms", "Guardrails/Operator")
OWN_ACCOUNT = {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}


def test_topics_are_encrypted_with_a_key_that_lets_alarms_through(template: Template) -> None:
    """With the key that AWS keeps for SNS, CloudWatch could not publish, and nobody would hear of it."""
    (key,) = template.all("AWS::KMS::Key").values()
    for topic in TOPICS:
        assert template.name(template.all("AWS::SNS::Topic")[topic]["KmsMasterKeyId"]) == "Guardrails/Key"
    owner, alarms = key["KeyPolicy"]["Statement"]
    assert template.name(owner["Principal"]["AWS"]) == "arn:AWS::Partition:iam::AWS::AccountId:root"
    assert alarms["Effect"] == "Allow"
    assert alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert alarms["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    assert alarms["Condition"] == {"StringEquals": OWN_ACCOUNT}
    assert key["EnableKeyRotation"] is True


def test_only_alarms_of_the_stack_may_publish_from_outside(template: Template) -> None:
    statements = template.policies_on("AWS::SNS::TopicPolicy", "Topics")
    assert set(statements) == set(TOPICS)
    for topic in TOPICS:
        (allowed,) = (statement for statement in statements[topic] if statement["Effect"] == "Allow")
        assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        assert allowed["Action"] == "sns:Publish"
        assert template.name(allowed["Resource"]) == topic
        assert allowed["Condition"]["StringEquals"] == OWN_ACCOUNT
        source = template.name(allowed["Condition"]["ArnLike"]["aws:SourceArn"])
        assert source == "arn:AWS::Partition:cloudwatch:AWS::Region:AWS::AccountId:alarm:imagebatch-*"


def test_every_topic_refuses_requests_without_tls(template: Template) -> None:
    for topic, statements in template.policies_on("AWS::SNS::TopicPolicy", "Topics").items():
        (denied,) = (statement for statement in statements if statement["Effect"] == "Deny")
        assert denied["Action"] == "sns:Publish"
        assert denied["Principal"] == "*"
        assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert template.name(denied["Resource"]) == topic


def test_the_governor_hears_the_alarms_and_what_does_not_reach_it_is_kept(template: Template) -> None:
    (subscription,) = template.all("AWS::SNS::Subscription").values()
    assert template.name(subscription["TopicArn"]) == "Guardrails/Alarms"
    assert (subscription["Protocol"], template.name(subscription["Endpoint"])) == ("lambda", GOVERNOR)
    dead_letters = subscription["RedrivePolicy"]["deadLetterTargetArn"]
    assert template.name(dead_letters) == "Guardrails/GovernorFailures"


def test_what_the_governor_fails_at_is_tried_again_and_kept(template: Template) -> None:
    """But not for long: many old ticks at once would let a lane climb back too fast."""
    (retries,) = template.all("AWS::Lambda::EventInvokeConfig").values()
    assert (template.name(retries["FunctionName"]), retries["Qualifier"]) == (GOVERNOR, "$LATEST")
    assert (retries["MaximumRetryAttempts"], retries["MaximumEventAgeInSeconds"]) == (2, 300)
    destination = retries["DestinationConfig"]["OnFailure"]["Destination"]
    assert template.name(destination) == "Guardrails/GovernorFailures"


def test_the_governor_gets_a_tick_each_minute(template: Template) -> None:
    rule = template.all("AWS::Events::Rule")["Guardrails/Tick"]
    (target,) = rule["Targets"]
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(1 minute)", "ENABLED")
    assert (template.name(target["Arn"]), target["Input"]) == (GOVERNOR, '{"kind":"tick"}')
    assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] == 60


def test_nobody_but_the_alarms_topic_and_the_tick_may_run_the_governor(template: Template) -> None:
    allowed = {
        permission["Principal"]: template.name(permission["SourceArn"])
        for permission in template.all("AWS::Lambda::Permission").values()
        if template.name(permission["FunctionName"]) == GOVERNOR
    }
    assert allowed == {"sns.amazonaws.com": "Guardrails/Alarms", "events.amazonaws.com": "Guardrails/Tick"}


def test_the_governor_runs_when_workers_have_taken_all_concurrency(template: Template) -> None:
    assert template.all("AWS::Lambda::Function")[GOVERNOR]["ReservedConcurrentExecutions"] == 5


@pytest.mark.parametrize("name", ["template", "small_template"])
def test_the_operator_is_told_by_mail_if_there_is_an_address(name: str, request: pytest.FixtureRequest) -> None:
    template: Template = request.getfixturevalue(name)
    mails = {
        subscription["Endpoint"]: template.name(subscription["TopicArn"])
        for subscription in template.all("AWS::SNS::Subscription").values()
        if subscription["Protocol"] == "email"
    }
    assert mails == ({} if name == "template" else {"ops@images.example": "Guardrails/Operator"})


def test_the_key_goes_with_the_stack(template: Template) -> None:
    """What it encrypts is delivered within minutes, and a key that stays costs money each month."""
    key = template.resource("Guardrails/Key", "AWS::KMS::Key")
    assert (key["DeletionPolicy"], key["Properties"]["PendingWindowInDays"]) == ("Delete", 7)
