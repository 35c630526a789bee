"""Alarms: on metrics that are published, silent when nothing is wrong, and heard by who can do something."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from functions import observability
from functions.core.jobs.records import State
from functions.core.lanes.governing_alarms import guarded
from functions.core.lanes.measures import Measures, Size
from tests.infra.template import Properties, Template

LANES = {"quick": "Lane-quick", "fine": "Lane-fine"}
"""Path of each lane of the tests' catalog."""

WORK_QUEUES = {
    "intake": "Intake/Intake",
    "reports": "Reporting/Reports",
    **{f"lane-{model}": f"{lane}/Jobs" for model, lane in LANES.items()},
}
DEAD_LETTERS = {
    "tracker": "Reporting/TrackerFailures",
    "governor": "Guardrails/GovernorFailures",
    **{name: f"{pair}/DeadLetters" for name, pair in WORK_QUEUES.items()},
}
FUNCTIONS = {
    "splitter": "Intake/Splitter",
    "completion": "Api/Completion",
    "tracker": "Reporting/Tracker",
    "reporter": "Reporting/Reporter",
    "governor": "Guardrails/Governor",
    **{f"worker-{model}": f"{lane}/Worker" for model, lane in LANES.items()},
}
ONE_QUERY = ("Metrics", "EvaluateLowSampleCountPercentile", "ExtendedStatistic", "ThresholdMetricId", "Unit")
"""Properties that make an alarm something else than a plain statistic of one metric in whatever unit."""

Watched = tuple[str, str, dict[str, str], str, int, float]
"""Namespace, metric, dimensions, statistic, period in seconds, threshold."""


def of_lane(metric: str, model: str, statistic: str, period: int, above: float) -> Watched:
    return ("imagebatch", metric, {"service": "imagebatch", "model": model}, statistic, period, above)


def of_queue(metric: str, queue: str, period: int, above: float) -> Watched:
    return ("AWS/SQS", metric, {"QueueName": f"{queue}.QueueName"}, "Maximum", period, above)


def of_function(metric: str, function: str, statistic: str, above: float) -> Watched:
    return ("AWS/Lambda", metric, {"FunctionName": f"{function}/Function"}, statistic, 300, above)


GOVERNED: dict[str, Watched] = {
    **{f"error-rate-{model}": of_lane("ProviderFault", model, "Average", 300, 0.05) for model in LANES},
    **{f"cost-{model}": of_lane("CostRatio", model, "Maximum", 60, 1.3) for model in LANES},
}
TOLD: dict[str, Watched] = {
    **{
        f"dead-letters-{name}": of_queue("ApproximateNumberOfMessagesVisible", path, 60, 0)
        for name, path in DEAD_LETTERS.items()
    },
    **{
        f"oldest-{name}": of_queue("ApproximateAgeOfOldestMessage", f"{path}/Queue", 300, 30 * 60)
        for name, path in WORK_QUEUES.items()
    },
    **{f"errors-{name}": of_function("Errors", path, "Sum", 0) for name, path in FUNCTIONS.items()},
    **{f"throttles-{name}": of_function("Throttles", path, "Sum", 0) for name, path in FUNCTIONS.items()},
    "behind-tracker": of_function("IteratorAge", "Reporting/Tracker", "Maximum", 5 * 60 * 1000),
}


def alarms(template: Template, stack: str = "imagebatch") -> dict[str, Properties]:
    """All alarms by their name, without the stack's."""
    found = {alarm["AlarmName"]: alarm for alarm in template.all("AWS::CloudWatch::Alarm").values()}
    assert all(name.startswith(f"{stack}-") for name in found)
    return {name.removeprefix(f"{stack}-"): alarm for name, alarm in found.items()}


def dimensions(template: Template, alarm: Properties) -> dict[str, str]:
    return {each["Name"]: template.name(each["Value"]) for each in alarm["Dimensions"]}


def watched(template: Template, alarm: Properties) -> Watched:
    return (
        alarm["Namespace"],
        alarm["MetricName"],
        dimensions(template, alarm),
        alarm["Statistic"],
        alarm["Period"],
        alarm["Threshold"],
    )


def actions(template: Template, alarm: Properties) -> dict[str, list[str]]:
    kinds = ("AlarmActions", "OKActions", "InsufficientDataActions")
    return {kind: [template.name(action) for action in alarm[kind]] for kind in kinds if kind in alarm}


def test_alarms_watch_what_their_names_say(template: Template) -> None:
    """No dead-letter queue and no function is left out."""
    assert {name: watched(template, alarm) for name, alarm in alarms(template).items()} == {**GOVERNED, **TOLD}
    dead_letters = {path for path, queue in template.all("AWS::SQS::Queue").items() if "RedrivePolicy" not in queue}
    assert set(DEAD_LETTERS.values()) == dead_letters
    functions = {path.removesuffix("/Function") for path in template.all("AWS::Lambda::Function")}
    assert set(FUNCTIONS.values()) == functions


def test_every_alarm_is_on_one_metric(template: Template) -> None:
    """Metric math and composite alarms cost more, and the embedded AWS refuses a template with one of them."""
    for alarm in alarms(template).values():
        assert not [name for name in ONE_QUERY if name in alarm]
    assert "AWS::CloudWatch::CompositeAlarm" not in json.dumps(template.body)


def test_where_nothing_is_published_nothing_is_wrong(template: Template) -> None:
    for alarm in alarms(template).values():
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["ComparisonOperator"] == "GreaterThanThreshold"


def test_an_error_rate_must_last_and_all_else_is_said_at_once(template: Template) -> None:
    for name, alarm in alarms(template).items():
        wanted = 2 if name.startswith("error-rate-") else 1
        assert (alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (wanted, wanted)


def test_the_period_of_the_error_rate_is_an_option(small_template: Template) -> None:
    found = alarms(small_template, "trial")
    assert {found[f"error-rate-{model}"]["Period"] for model in LANES} == {60}
    assert {found[f"cost-{model}"]["Period"] for model in LANES} == {60}
    assert {found[f"errors-{name}"]["Period"] for name in FUNCTIONS} == {300}


def test_the_governor_hears_when_an_alarm_begins_and_ends(template: Template) -> None:
    found = alarms(template)
    for name in GOVERNED:
        assert actions(template, found[name]) == {
            "AlarmActions": ["Guardrails/Alarms"],
            "OKActions": ["Guardrails/Alarms"],
        }


def test_the_governor_knows_its_alarms_by_their_names_and_no_others(template: Template) -> None:
    known = {name for name in alarms(template) if guarded(f"imagebatch-{name}", "imagebatch", LANES)}
    assert known == set(GOVERNED)


def test_the_operator_hears_of_what_the_governor_cannot_mend(template: Template) -> None:
    found = alarms(template)
    for name in TOLD:
        assert actions(template, found[name]) == {"AlarmActions": ["Guardrails/Operator"]}


def test_an_alarm_says_what_is_wrong(template: Template) -> None:
    for alarm in alarms(template).values():
        assert alarm["AlarmDescription"].endswith(".")
        assert "  " not in alarm["AlarmDescription"]


def published(capsys: pytest.CaptureFixture[str]) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """Every metric that the functions publish, with its dimensions, out of the lines that they write."""
    model = "quick"
    done = Measures(
        attempts=2,
        faults=1,
        refused=1,
        ended=Counter({State.SUCCESS: 1, State.FAILED: 1, State.HELD: 1}),
        tries=[1],
        costs_usd=[Decimal("0.003")],
        latencies_ms={size: [900] for size in Size},
    )
    observability.publish({model: done})
    observability.gauges(model, CostRatio=1.0, Workers=2, RateAllowed=500, InFlight=3)
    observability.log_event("payment_counted", model=model)
    observability.log_event("part_made", duplicates=1)
    metrics: set[tuple[str, frozenset[tuple[str, str]]]] = set()
    for line in capsys.readouterr().out.splitlines():
        document: dict[str, Any] = json.loads(line)
        for directive in document.get("_aws", {}).get("CloudWatchMetrics", ()):
            for names in directive["Dimensions"]:
                values = frozenset((name, document[name]) for name in names)
                metrics.update((metric["Name"], values) for metric in directive["Metrics"])
    return metrics


def test_alarms_and_panels_are_on_metrics_that_the_functions_publish(
    template: Template, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A metric is found by all its dimensions or not at all: one too few, and an alarm never speaks."""
    told = template.all("AWS::Lambda::Function")["Reporting/Tracker/Function"]["Environment"]["Variables"]
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", told["POWERTOOLS_SERVICE_NAME"])
    known = published(capsys)

    of_alarms = {
        (alarm["MetricName"], frozenset(dimensions(template, alarm).items()))
        for alarm in alarms(template).values()
        if alarm["Namespace"] == observability.NAMESPACE
    }
    of_panels = {
        (name, frozenset(found.items()))
        for namespace, name, found in template.dashboard_metrics()
        if namespace == observability.NAMESPACE
    }

    assert of_alarms
    assert of_panels
    assert {(name, found) for name, found in of_alarms | of_panels if ("model", "fine") not in found} <= known
