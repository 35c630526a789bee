"""The metrics are lines in CloudWatch's embedded metric format, with the dimensions that alarms name."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from functions.core.jobs.records import State
from functions.core.lanes.measures import Measures, Size
from functions.observability import gauges, log_event, publish

Lines = Callable[[], list[dict[str, Any]]]
MOST_VALUES = 100
"""An array has at most so many
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html)."""

MEASURES = Measures(
    attempts=3,
    faults=1,
    refused=4,
    ended=Counter({State.SUCCESS: 2, State.HELD: 1}),
    tries=[1, 2],
    costs_usd=[Decimal("0.003"), Decimal("0.006")],
    latencies_ms={Size.SMALL: [1200], Size.LARGE: [2400]},
)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lines:
    """Gives the metrics that were written since it was last asked: dimensions, and values and unit by metric."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "imagebatch")

    def read() -> list[dict[str, Any]]:
        printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [_read(line) for line in printed if "_aws" in line]

    return read


def _read(line: dict[str, Any]) -> dict[str, Any]:
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    (dimensions,) = directive["Dimensions"]
    assert directive["Namespace"] == "imagebatch"
    assert line.keys() == {"_aws", *dimensions, *(metric["Name"] for metric in directive["Metrics"])}
    return {
        "dimensions": {name: line[name] for name in dimensions},
        **{metric["Name"]: (line[metric["Name"]], metric["Unit"]) for metric in directive["Metrics"]},
    }


def of(**dimensions: str) -> dict[str, str]:
    return {"service": "imagebatch", **dimensions}


def test_a_lane_is_one_line_and_one_for_each_outcome_and_size(lines: Lines) -> None:
    publish({"m": MEASURES})
    assert lines() == [
        {
            "dimensions": of(model="m"),
            "ProviderFault": ([1, 0, 0], "Count"),
            "RateLimited": ([4], "Count"),
            "Tries": ([1, 2], "Count"),
            "CostUsd": ([0.003, 0.006], "None"),
        },
        {"dimensions": of(model="m", outcome="success"), "Jobs": ([2], "Count")},
        {"dimensions": of(model="m", outcome="held"), "Jobs": ([1], "Count")},
        {"dimensions": of(model="m", size="small"), "Latency": ([1200], "Milliseconds")},
        {"dimensions": of(model="m", size="large"), "Latency": ([2400], "Milliseconds")},
    ]


def test_what_did_not_happen_is_not_published(lines: Lines) -> None:
    publish({"m": Measures(refused=2)})
    assert lines() == [{"dimensions": of(model="m"), "RateLimited": ([2], "Count")}]


def test_lanes_and_lines_share_no_values_and_no_dimensions(lines: Lines) -> None:
    publish({"m": MEASURES, "n": Measures(attempts=1)})
    gauges("o", Workers=3)
    log_event("callback", result="forged")
    *_, of_n, of_o, refused = lines()
    assert of_n == {"dimensions": of(model="n"), "ProviderFault": ([0], "Count")}
    assert of_o == {"dimensions": of(model="o"), "Workers": ([3], "Count")}
    assert refused == {"dimensions": of(reason="forged"), "CallbacksRefused": ([1], "Count")}


@pytest.mark.parametrize("attempts", [MOST_VALUES - 1, MOST_VALUES, MOST_VALUES + 1, 2 * MOST_VALUES + 50])
def test_values_beyond_what_a_line_may_have_are_on_other_lines(lines: Lines, attempts: int) -> None:
    publish({"m": Measures(attempts=attempts, faults=30, tries=[1] * attempts, refused=1)})
    written = lines()
    assert {json.dumps(line["dimensions"]) for line in written} == {json.dumps(written[0]["dimensions"])}
    for metric, total, count in (("ProviderFault", 30, attempts), ("Tries", attempts, attempts), ("RateLimited", 1, 1)):
        arrays = [line[metric][0] for line in written if metric in line]
        assert max(len(array) for array in arrays) <= MOST_VALUES
        assert sum(len(array) for array in arrays) == count
        assert sum(sum(array) for array in arrays) == total


def test_gauges_say_where_a_lane_stands_as_far_as_it_is_known(lines: Lines) -> None:
    gauges("m", CostRatio=Decimal("1.4"), Workers=8, RateAllowed=Decimal(500), InFlight=0)
    gauges("m", CostRatio=None, Workers=2)
    gauges("m", CostRatio=None)
    assert lines() == [
        {
            "dimensions": of(model="m"),
            "CostRatio": ([1.4], "None"),
            "Workers": ([8], "Count"),
            "RateAllowed": ([500], "Count"),
            "InFlight": ([0], "Count"),
        },
        {"dimensions": of(model="m"), "Workers": ([2], "Count")},
    ]


def test_what_happens_rarely_is_counted_where_it_is_logged(lines: Lines) -> None:
    log_event("job_ended", outcome="held", model="m")
    log_event("repaid", model="m")
    log_event("payment_counted", model="m")
    log_event("callback", result="finished")
    log_event("part_made", batch_id="b", duplicates=7)
    log_event("part_made", batch_id="b", duplicates=0)
    assert lines() == [
        {"dimensions": of(model="m"), "JobsRepaid": ([1], "Count")},
        {"dimensions": of(model="m"), "PaidTwice": ([1], "Count")},
        {"dimensions": of(), "DuplicatesPrevented": ([7], "Count")},
    ]
