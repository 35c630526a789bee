"""Alarms: on metrics that are published, silent when nothing is wrong, and heard by who can do something."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from functions import observability
from functions.core.governing.alarms import guarded
from functions.core.jobs.records import State
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
OLDEST = {"intake": 30 * 60, "reports": 30 * 60}
SLOWEST_LANE = 200 * 60
"""Seconds that a message of a queue may wait. A lane of one image a minute is well with 100 messages in its queue, and
gets 100 more at once when a batch comes."""

ONE_QUERY = ("Metrics", "EvaluateLowSampleCountPercentile", "ExtendedStatistic", "ThresholdMetricId", "Unit")
"""Properties that make an alarm something else than a plain statistic of one metric in whatever unit."""

Watched = tuple[str, str, dict[str, str], str, int, float]
"""Namespace, metric, dimensions, statistic, period in seconds, threshold."""


def of_lane(metric: str, model: str, statistic: str, period: int, above: float, **more: str) -> Watched:
    return ("imagebatch", metric, {"service": "imagebatch", "model": model, **more}, statistic, period, above)


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
        f"oldest-{name}": of_queue(
            "ApproximateAgeOfOldestMessage", f"{path}/Queue", 300, OLDEST.get(name, SLOWEST_LANE)
        )
        for name, path in WORK_QUEUES.items()
    },
    **{f"held-{model}": of_lane("Jobs", model, "Sum", 300, 0, outcome="held") for model in LANES},
    **{f"paid-twice-{model}": of_lane("PaidTwice", model, "Sum", 300, 0) for model in LANES},
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


Series = set[tuple[str, frozenset[tuple[str, str]]]]
"""Names of metrics with their dimensions."""


def published(template: Template, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Series:
    """Every metric that the functions of a stack publish of the lane quick and of the whole, out of their lines."""
    told = {
        function["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
        for function in template.all("AWS::Lambda::Function").values()
    }
    (service,) = told
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", service)
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
    observability.log_event("repaid", model=model)
    observability.log_event("part_made", duplicates=1)
    for reason in observability.REFUSALS:
        observability.log_event("callback", result=reason)
    metrics: Series = set()
    for line in capsys.readouterr().out.splitlines():
        document: dict[str, Any] = json.loads(line)
        for directive in document.get("_aws", {}).get("CloudWatchMetrics", ()):
            for names in directive["Dimensions"]:
                values = frozenset((name, document[name]) for name in names)
                metrics.update((metric["Name"], values) for metric in directive["Metrics"])
    return metrics


def of_alarms(template: Template) -> Series:
    """Our own metrics that alarms are on, without the second lane's."""
    every = {
        (alarm["MetricName"], frozenset(dimensions(template, alarm).items()))
        for alarm in alarms(template, template.stack).values()
        if alarm["Namespace"] == observability.NAMESPACE
    }
    return {(name, found) for name, found in every if ("model", "fine") not in found}


def of_panels(template: Template) -> Series:
    """Our own metrics that panels show, without the second lane's."""
    every = {
        (name, frozenset(found.items()))
        for namespace, name, found in template.dashboard_metrics()
        if namespace == observability.NAMESPACE
    }
    return {(name, found) for name, found in every if ("model", "fine") not in found}


@pytest.mark.parametrize("stack", ["template", "small_template"])
def test_alarms_and_panels_are_on_metrics_that_the_functions_publish_and_on_all_of_them(
    stack: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A metric is found by all its dimensions or not at all: one too few, and an alarm never speaks. One that nobody
    looks at is paid for none the less."""
    template: Template = request.getfixturevalue(stack)
    assert of_alarms(template)
    assert of_alarms(template) | of_panels(template) == published(template, monkeypatch, capsys)


def test_stacks_of_one_account_share_no_metric(template: Template, small_template: Template) -> None:
    """Else the faults of one would halve the workers of the other."""
    one, other = (of_alarms(each) | of_panels(each) for each in (template, small_template))
    assert one
    assert not one & other
