"""The HTTP API: one route, bounded, logged without what its query holds, and known to those who need it alone."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.infra.template import Properties, Template

FUNCTION = "Api/Completion/Function"
API_WAITS_SECONDS = 30


def only(template: Template, kind: str) -> Properties:
    (properties,) = template.all(kind).values()
    return properties


def worker_api_url(template: Template, lane: str) -> Any:
    return template.all("AWS::Lambda::Function")[f"{lane}/Worker/Function"]["Environment"]["Variables"]["API_URL"]


def test_callbacks_are_posted_to_the_completion_function_and_nothing_else_is_routed(template: Template) -> None:
    route = only(template, "AWS::ApiGatewayV2::Route")
    integration = only(template, "AWS::ApiGatewayV2::Integration")
    assert route["RouteKey"] == "POST /callbacks/{provider}"
    assert template.name(route["Target"]).startswith("integrations/")
    assert (integration["IntegrationType"], integration["PayloadFormatVersion"]) == ("AWS_PROXY", "2.0")
    assert template.name(integration["IntegrationUri"]) == FUNCTION


def test_no_browser_of_another_site_is_let_in(template: Template) -> None:
    api = only(template, "AWS::ApiGatewayV2::Api")
    assert api["ProtocolType"] == "HTTP"
    assert "CorsConfiguration" not in api


def test_only_the_route_may_run_the_function(template: Template) -> None:
    (permission,) = (
        permission
        for permission in template.all("AWS::Lambda::Permission").values()
        if template.name(permission["FunctionName"]) == FUNCTION
    )
    assert permission["Principal"] == "apigateway.amazonaws.com"
    assert template.name(permission["SourceArn"]).endswith(":Api/Http/*/*/callbacks/{provider}")


def test_the_function_ends_before_the_api_stops_waiting(template: Template) -> None:
    assert template.all("AWS::Lambda::Function")[FUNCTION]["Timeout"] < API_WAITS_SECONDS
    waits_ms = only(template, "AWS::ApiGatewayV2::Integration").get("TimeoutInMillis", API_WAITS_SECONDS * 1000)
    assert template.all("AWS::Lambda::Function")[FUNCTION]["Timeout"] * 1000 < waits_ms


def test_a_flood_is_bounded(template: Template, small_template: Template) -> None:
    settings = only(template, "AWS::ApiGatewayV2::Stage")["DefaultRouteSettings"]
    assert settings == {"ThrottlingRateLimit": 200, "ThrottlingBurstLimit": 500}
    assert template.all("AWS::Lambda::Function")[FUNCTION]["ReservedConcurrentExecutions"] == 40
    assert "ReservedConcurrentExecutions" not in small_template.all("AWS::Lambda::Function")[FUNCTION]


def test_every_request_is_logged_without_query_and_path(template: Template) -> None:
    """The query holds our signed key: who reads the log must not be able to send it again."""
    stage = only(template, "AWS::ApiGatewayV2::Stage")
    settings = stage["AccessLogSettings"]
    assert (stage["StageName"], stage["AutoDeploy"]) == ("$default", True)
    assert template.name(settings["DestinationArn"]) == "Api/AccessLogs"
    variables = set(re.findall(r"\$context\.([A-Za-z.]+)", settings["Format"]))
    assert variables == {
        "error.message",
        "identity.sourceIp",
        "integrationErrorMessage",
        "integrationLatency",
        "requestId",
        "requestTime",
        "responseLatency",
        "responseLength",
        "routeKey",
        "status",
    }
    assert settings["Format"].count("$") == len(json.loads(settings["Format"])) == len(variables)


def test_only_lanes_in_callback_mode_ask_to_be_called_back(template: Template) -> None:
    assert template.name(worker_api_url(template, "Lane-fine")) == "Api/Http.ApiEndpoint"
    assert worker_api_url(template, "Lane-quick") == ""


@pytest.mark.parametrize("lane", ["Lane-fine", "Lane-quick"])
def test_without_callbacks_no_lane_asks(small_template: Template, lane: str) -> None:
    assert worker_api_url(small_template, lane) == ""


def test_the_address_is_the_apis_own_or_the_one_that_was_given(template: Template, small_template: Template) -> None:
    assert template.name(template.outputs["ApiUrl"]["Value"]) == "Api/Http.ApiEndpoint"
    assert small_template.name(small_template.outputs["ApiUrl"]["Value"]) == "https://images.example/Api/Http/v1"
