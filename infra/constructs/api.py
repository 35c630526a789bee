"""The HTTP API, by which the outside reaches the stack: providers post their callbacks to it."""

from __future__ import annotations

import json

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.cfn import resource_of
from infra.constructs.function import Package, ServiceFunction
from infra.nag import acknowledge

# Below the 30 s after which an HTTP API stops waiting, so that it is the function that says how it ended:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
_TIMEOUT = Duration.seconds(29)

# 50 pictures a second, a plan of 3,000 a minute, at some 0.8 s each. What is above it is refused and not lost: the
# provider sends it again, and the message of the job, the alarm clock, asks when no callback came. So a flood of forged
# callbacks takes no more than this of the account's concurrency.
_CONCURRENCY = 40

# A plan of 5,000 pictures a minute makes 83 callbacks a second; this is room for each to come twice, and for the bunch
# that a provider sends after a pause. What a flood of forged ones can cost is bounded by it: some $35 a day.
_RATE_PER_SECOND = 200
_BURST = 500

# Neither the query, which holds our signed key, nor the path beyond the route.
_ACCESS_LOG_FIELDS = {
    "request_id": "$context.requestId",
    "time": "$context.requestTime",
    "ip": "$context.identity.sourceIp",
    "route": "$context.routeKey",
    "status": "$context.status",
    "bytes": "$context.responseLength",
    "latency_ms": "$context.responseLatency",
    "function_latency_ms": "$context.integrationLatency",
    "error": "$context.error.message",
    "function_error": "$context.integrationErrorMessage",
}


class Api(Construct):
    """The HTTP API and the function behind its callback route.

    Attributes:
        api_id: the API's id, which is part of its address.
        url: its own address, without a slash at the end.
        completion: the function that a callback runs.
        secret_id: name of the secret `<stack>/callback-signing`, which callback URLs are signed with.
        secret_arn: its ARN, for policies.
    """

    def __init__(self, scope: Construct, construct_id: str, *, package: Package, reserve: bool) -> None:
        """Make it; `reserve` sets the completion function's share of the account's concurrency apart."""
        super().__init__(scope, construct_id)
        self.completion = ServiceFunction(
            self,
            "Completion",
            package=package,
            handler="functions.completion.handler",
            # One picture at a time: fetched, decoded, stored.
            memory_mb=512,
            timeout=_TIMEOUT,
            reserved_concurrency=_CONCURRENCY if reserve else None,
        )
        api = apigateway.HttpApi(
            self,
            "Http",
            api_name=Stack.of(self).stack_name,
            description="Callbacks of image providers",
            create_default_stage=False,
        )
        self.api_id = api.api_id
        self.url = api.api_endpoint
        self._stage(api)
        (route,) = api.add_routes(
            path="/callbacks/{provider}",
            methods=[apigateway.HttpMethod.POST],
            integration=integrations.HttpLambdaIntegration("Completion", self.completion.function),
        )
        acknowledge(
            route,
            "APIG4",
            "A provider can show no AWS identity. The function checks our signed key in the URL and the provider's "
            "signature before it parses anything.",
        )
        self.secret_id = f"{Stack.of(self).stack_name}/callback-signing"
        self.secret_arn = self._signing_secret()

    def _stage(self, api: apigateway.HttpApi) -> None:
        stage = apigateway.HttpStage(
            self,
            "Stage",
            http_api=api,
            auto_deploy=True,
            throttle=apigateway.ThrottleSettings(rate_limit=_RATE_PER_SECOND, burst_limit=_BURST),
        )
        log_group = logs.LogGroup(
            self,
            "AccessLogs",
            # API Gateway adds each log group to a resource policy of limited size, except those under this prefix:
            # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/AWS-logs-and-resource-policy.html
            log_group_name=f"/aws/vendedlogs/{Stack.of(self).stack_name}/api",
            retention=logs.RetentionDays.ONE_MONTH,
            removal_policy=RemovalPolicy.DESTROY,
        )
        # On the resource: the construct's own settings are an interface that only a class of one's own can fill.
        resource_of(stage, apigateway.CfnStage).access_log_settings = apigateway.CfnStage.AccessLogSettingsProperty(
            destination_arn=log_group.log_group_arn, format=json.dumps(_ACCESS_LOG_FIELDS)
        )

    def _signing_secret(self) -> str:
        secret = secretsmanager.Secret(
            self,
            "SigningSecret",
            secret_name=self.secret_id,
            description="Signs the callback URLs that providers are given",
            generate_secret_string=secretsmanager.SecretStringGenerator(exclude_punctuation=True, password_length=64),
        )
        acknowledge(
            secret,
            "SMG4",
            "Another secret makes the URLs of every call under way invalid, and it never leaves the stack: it is "
            "changed when the operator has a reason to.",
        )
        return secret.secret_arn
