"""Queues and event source mappings: nothing is lost, seen twice too early, or pulled faster than it can run."""

from __future__ import annotations

from typing import Any

from tests.infra.template import Properties, Template

LANES = {"Lane-quick": 8, "Lane-fine": 2}
"""Workers of each lane of the tests' catalog."""

RECEIVES = {"Intake/Intake": 5, "Reporting/Reports": 5, **{f"{lane}/Jobs": 1000 for lane in LANES}}
"""How often a message is received before it is a dead letter, by pair of queues."""


def queue_mappings(template: Template) -> dict[str, Properties]:
    """Event source mappings of queues, by the queue's path."""
    return {
        template.name(mapping["EventSourceArn"]): mapping
        for mapping in template.all("AWS::Lambda::EventSourceMapping").values()
        if "StartingPosition" not in mapping
    }


def stream_mapping(template: Template) -> Properties:
    (mapping,) = (
        mapping for mapping in template.all("AWS::Lambda::EventSourceMapping").values() if "StartingPosition" in mapping
    )
    return mapping


def function_of(template: Template, mapping: Properties) -> Properties:
    return template.all("AWS::Lambda::Function")[template.name(mapping["FunctionName"])]


def test_every_source_queue_has_a_dead_letter_queue_of_its_own(template: Template) -> None:
    redrives = {
        path: (template.name(queue["RedrivePolicy"]["deadLetterTargetArn"]), queue["RedrivePolicy"]["maxReceiveCount"])
        for path, queue in template.all("AWS::SQS::Queue").items()
        if "RedrivePolicy" in queue
    }
    assert redrives == {f"{pair}/Queue": (f"{pair}/DeadLetters", receives) for pair, receives in RECEIVES.items()}
    assert set(redrives) == set(queue_mappings(template))


def test_every_other_queue_takes_what_failed_and_feeds_nothing(template: Template) -> None:
    rest = {path for path, queue in template.all("AWS::SQS::Queue").items() if "RedrivePolicy" not in queue}
    failures = template.name(stream_mapping(template)["DestinationConfig"]["OnFailure"]["Destination"])
    assert rest == {f"{pair}/DeadLetters" for pair in RECEIVES} | {failures, "Guardrails/GovernorFailures"}


def test_dead_letters_outlive_the_messages_they_were(template: Template) -> None:
    """A dead letter keeps the timestamp of its first sending."""
    day = 24 * 3600
    # Uploads wait in the intake for as long as it is paused.
    sources = {f"{pair}/Queue": 10 if pair == "Intake/Intake" else 4 for pair in RECEIVES}
    for path, queue in template.all("AWS::SQS::Queue").items():
        assert queue["MessageRetentionPeriod"] == sources.get(path, 14) * day


def test_a_message_stays_invisible_for_six_times_its_functions_timeout(template: Template) -> None:
    queues = template.all("AWS::SQS::Queue")
    for path, mapping in queue_mappings(template).items():
        assert queues[path]["VisibilityTimeout"] == 6 * function_of(template, mapping)["Timeout"]
        assert queues[path]["VisibilityTimeout"] <= 12 * 3600  # what SQS takes


def test_every_queue_consumer_reports_partial_batches(template: Template) -> None:
    for mapping in queue_mappings(template).values():
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_batches_and_concurrency_are_what_the_functions_are_made_for(template: Template) -> None:
    found = {
        path: (mapping["BatchSize"], mapping["ScalingConfig"]["MaximumConcurrency"])
        for path, mapping in queue_mappings(template).items()
    }
    assert found == {
        "Intake/Intake/Queue": (1, 10),
        "Reporting/Reports/Queue": (1, 2),
        **{f"{lane}/Jobs/Queue": (10, workers) for lane, workers in LANES.items()},
    }


def test_no_mapping_pulls_more_than_its_function_may_run(template: Template) -> None:
    reserved = {}
    for path, mapping in queue_mappings(template).items():
        reservation = function_of(template, mapping).get("ReservedConcurrentExecutions")
        if reservation is not None:
            assert 2 <= mapping["ScalingConfig"]["MaximumConcurrency"] <= reservation
            reserved[path.removesuffix("/Jobs/Queue")] = reservation
    assert reserved == LANES


def test_without_reservations_the_mappings_still_bound_the_lanes(small_template: Template) -> None:
    functions = small_template.all("AWS::Lambda::Function")
    assert all("ReservedConcurrentExecutions" not in function for function in functions.values())
    mappings = queue_mappings(small_template)
    bounds = {lane: mappings[f"{lane}/Jobs/Queue"]["ScalingConfig"]["MaximumConcurrency"] for lane in LANES}
    assert bounds == LANES


def test_every_queue_is_encrypted(template: Template) -> None:
    assert all(queue["SqsManagedSseEnabled"] is True for queue in template.all("AWS::SQS::Queue").values())


def test_every_queue_refuses_requests_without_tls(template: Template) -> None:
    statements = template.policies_on("AWS::SQS::QueuePolicy", "Queues")
    for queue in template.all("AWS::SQS::Queue"):
        (denied,) = (statement for statement in statements[queue] if statement["Effect"] == "Deny")
        assert denied["Action"] == "sqs:*"
        assert denied["Principal"] == {"AWS": "*"}
        assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert template.name(denied["Resource"]) == queue


def test_only_the_inbox_the_tick_and_the_alarms_topic_may_send_from_outside(template: Template) -> None:
    allowed: dict[str, list[tuple[Any, Any]]] = {}
    for queue, statements in template.policies_on("AWS::SQS::QueuePolicy", "Queues").items():
        for statement in statements:
            if statement["Effect"] == "Allow":
                assert statement["Condition"], "a service may only send on behalf of this account"
                allowed.setdefault(queue, []).append((statement["Principal"]["Service"], statement["Condition"]))
    assert {queue: [service for service, _ in senders] for queue, senders in allowed.items()} == {
        "Intake/Intake/Queue": ["s3.amazonaws.com"],
        "Reporting/Reports/Queue": ["events.amazonaws.com"],
        "Guardrails/GovernorFailures": ["sns.amazonaws.com"],
    }
    ((_, inbox_condition),) = allowed["Intake/Intake/Queue"]
    assert inbox_condition == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    ((_, tick_condition),) = allowed["Reporting/Reports/Queue"]
    assert template.name(tick_condition["ArnEquals"]["aws:SourceArn"]) == "Reporting/Tick"
    ((_, topic_condition),) = allowed["Guardrails/GovernorFailures"]
    assert template.name(topic_condition["ArnEquals"]["aws:SourceArn"]) == "Guardrails/Alarms"


def test_every_upload_becomes_a_message_once_the_queue_takes_it(template: Template) -> None:
    inbox = template.resource("Storage/Inbox", "AWS::S3::Bucket")
    (configuration,) = inbox["Properties"]["NotificationConfiguration"]["QueueConfigurations"]
    assert configuration["Event"] == "s3:ObjectCreated:*"
    assert template.name(configuration["Queue"]) == "Intake/Intake/Queue"
    assert "Intake/Intake/Queue/Policy" in {template.name({"Ref": each}) for each in inbox["DependsOn"]}


def test_no_other_bucket_triggers_anything(template: Template) -> None:
    """An output that lands in a bucket that triggers the input is a loop that costs money."""
    buckets = template.all("AWS::S3::Bucket")
    assert [path for path in buckets if "NotificationConfiguration" in buckets[path]] == ["Storage/Inbox"]


def test_the_reporter_gets_a_tick_each_minute(template: Template) -> None:
    rule = template.all("AWS::Events::Rule")["Reporting/Tick"]
    (target,) = rule["Targets"]
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(1 minute)", "ENABLED")
    assert (template.name(target["Arn"]), target["Input"]) == ("Reporting/Reports/Queue", '{"kind":"tick"}')


def test_the_tracker_follows_the_stream_and_cannot_be_stopped_by_one_record(template: Template) -> None:
    mapping = stream_mapping(template)
    assert template.name(mapping["EventSourceArn"]) == "Storage/Jobs.StreamArn"
    assert function_of(template, mapping)["Handler"] == "functions.tracker.handler"
    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    assert (mapping["BatchSize"], mapping["MaximumBatchingWindowInSeconds"]) == (100, 1)
    assert mapping["BisectBatchOnFunctionError"] is True
    assert mapping["MaximumRetryAttempts"] == 10
    assert template.name(mapping["DestinationConfig"]["OnFailure"]["Destination"]) == "Reporting/TrackerFailures"
