"""The dashboard: eight panels on plain metrics, for all lanes, with words and units that a stranger understands."""

from __future__ import annotations

import json
from typing import Any

from tests.infra.template import Template

PANELS = {
    "Queue length": {"ApproximateNumberOfMessagesVisible"},
    "Pictures per minute": {"Jobs"},
    "Error rate (provider faults)": {"ProviderFault", "RateLimited", "CallbacksRefused"},
    "Latency of a picture, p95, by size": {"Latency"},
    "Retry depth (calls per finished job)": {"Tries"},
    "Concurrency and rate": {"ConcurrentExecutions", "Workers", "InFlight", "RateAllowed"},
    "Cost: per image and in total": {"CostUsd"},
    "Duplicates prevented": {"DuplicatesPrevented", "PaidTwice", "JobsRepaid"},
}
"""Metrics of each panel."""

LANES = ("quick", "fine")
MOST_METRICS_OF_A_PANEL = 500  # what CloudWatch takes


def panels(template: Template) -> dict[str, dict[str, Any]]:
    return {widget["properties"]["title"]: widget["properties"] for widget in template.dashboard()["widgets"]}


def rows(panel: dict[str, Any]) -> list[tuple[list[str], dict[str, Any]]]:
    """Names and options of each metric of a panel."""
    return [
        ([part for part in metric if isinstance(part, str)], metric[-1] if isinstance(metric[-1], dict) else {})
        for metric in panel["metrics"]
    ]


def test_there_is_a_panel_for_each_question(template: Template) -> None:
    assert {title: {names[1] for names, _ in rows(panel)} for title, panel in panels(template).items()} == PANELS


def test_the_panels_fill_two_columns(template: Template) -> None:
    places = [(widget["x"], widget["y"], widget["width"]) for widget in template.dashboard()["widgets"]]
    heights = {widget["height"] for widget in template.dashboard()["widgets"]}
    (height,) = heights
    assert places == [(12 * (at % 2), height * (at // 2), 12) for at in range(8)]


def test_every_lane_is_in_every_panel(template: Template) -> None:
    for title, panel in panels(template).items():
        labels = " ".join(options["label"] for _, options in rows(panel))
        assert all(lane in labels for lane in LANES), title


def test_panels_show_plain_metrics(template: Template) -> None:
    """Searches and metric math are slower and cost more, and the embedded AWS has none."""
    for panel in panels(template).values():
        assert len(panel["metrics"]) <= MOST_METRICS_OF_A_PANEL
        assert not [options for _, options in rows(panel) if "expression" in options]


def test_every_line_has_a_name_and_every_axis_a_unit(template: Template) -> None:
    for panel in panels(template).values():
        sides = {options.get("yAxis", "left") for _, options in rows(panel)}
        assert all(panel["yAxis"][side]["label"] for side in sides)
        assert all(panel["yAxis"][side]["min"] == 0 for side in sides)
        labels = [options["label"] for _, options in rows(panel)]
        assert len(set(labels)) == len(labels)


def test_latency_is_the_95th_percentile_of_each_size(template: Template) -> None:
    panel = panels(template)["Latency of a picture, p95, by size"]
    sizes = {names[names.index("size") + 1] for names, _ in rows(panel)}
    assert sizes == {"small", "medium", "large"}
    assert {options["stat"] for _, options in rows(panel)} == {"p95"}


def test_an_error_rate_is_seen_against_the_alarm(template: Template) -> None:
    panel = panels(template)["Error rate (provider faults)"]
    (line,) = panel["annotations"]["horizontal"]
    assert (line["value"], line["yAxis"]) == (0.05, "left")
    shares = [options for names, options in rows(panel) if names[1] == "ProviderFault"]
    assert {(options.get("stat", "Average"), options.get("yAxis", "left")) for options in shares} == {
        ("Average", "left")
    }


def test_cost_is_shown_per_image_and_per_hour(template: Template) -> None:
    panel = panels(template)["Cost: per image and in total"]
    shown = {
        (options.get("yAxis", "left"), options.get("stat", "Average"), options.get("period", 300))
        for _, options in rows(panel)
    }
    assert shown == {("left", "Average", 300), ("right", "Sum", 3600)}


def test_its_name_is_the_stacks_in_this_region(template: Template, small_template: Template) -> None:
    """Dashboards are the account's: the same name in another region would be the same dashboard."""
    for stack, each in {"imagebatch": template, "trial": small_template}.items():
        (dashboard,) = each.all("AWS::CloudWatch::Dashboard").values()
        assert each.name(dashboard["DashboardName"]) == f"{stack}-AWS::Region"


def test_no_panel_names_a_lane_that_is_off(template: Template) -> None:
    assert "retired" not in json.dumps(template.dashboard())
