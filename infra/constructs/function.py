"""A Lambda function with a role and a log group of its own."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.nag import acknowledge, acknowledge_objects


def service_of(scope: Construct) -> str:
    """What the functions of a stack call themselves in logs and metrics: its name.

    Stacks of one account and region share the namespace of the metrics, and each must see its own alone.
    """
    return Stack.of(scope).stack_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """The code that all functions share, and the processor it was built for."""

    code: lambda_.Code
    architecture: lambda_.Architecture


class ServiceFunction(Construct):
    """A function that may do nothing but write its log until it is allowed more.

    Attributes:
        function: the Lambda function.
        role: its execution role, used by no other function.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        package: Package,
        handler: str,
        memory_mb: int,
        timeout: Duration,
        reserved_concurrency: int | None = None,
        recursive_loop: lambda_.RecursiveLoop | None = None,
    ) -> None:
        """Make the function.

        Args:
            handler: module path of the handler inside the package.
            memory_mb: memory in MiB, and with it the share of a processor.
            timeout: after which Lambda kills the invocation.
            reserved_concurrency: hard ceiling of parallel invocations; None leaves it to the account's pool.
            recursive_loop: whether Lambda stops chains in which the function feeds itself (its default).
        """
        super().__init__(scope, construct_id)
        log_group = logs.LogGroup(
            self, "Logs", retention=logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY
        )
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        self.function = lambda_.Function(
            self,
            "Function",
            code=package.code,
            architecture=package.architecture,
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler=handler,
            memory_size=memory_mb,
            timeout=timeout,
            role=self.role,
            log_group=log_group,
            reserved_concurrent_executions=reserved_concurrency,
            recursive_loop=recursive_loop,
            # No X-Ray: sampled traces cost as much again as the invocations, need a policy on every resource,
            # and show what the log lines of a job show by its id.
            tracing=lambda_.Tracing.DISABLED,
        )
        acknowledge(
            self.function,
            "L1",
            "The package's compiled dependencies are locked for Python 3.13; a newer runtime comes with a new "
            "lock, not by itself.",
        )
        self.allow("logs:CreateLogStream", "logs:PutLogEvents", on=[log_group.log_group_arn])
        self.environment(POWERTOOLS_SERVICE_NAME=service_of(self), POWERTOOLS_LOG_LEVEL="INFO")

    def environment(self, **variables: str) -> None:
        """Set environment variables of the function."""
        for name, value in variables.items():
            self.function.add_environment(name, value)

    def allow(self, *actions: str, on: list[str]) -> None:
        """Allow exactly these IAM actions on exactly these resources (ARNs)."""
        self.role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=on))

    def allow_objects(self, *actions: str, bucket: s3.Bucket, prefix: str = "") -> None:
        """Allow IAM actions on the objects of a bucket whose keys start with a prefix."""
        self.allow(*actions, on=[bucket.arn_for_objects(f"{prefix}*")])
        acknowledge_objects(self.role, bucket, prefix)

    def consume(self, queue: sqs.Queue, *, batch_size: int, max_concurrency: int) -> lambda_.EventSourceMapping:
        """Run the function on a queue's messages, with partial batch responses."""
        self.allow("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", on=[queue.queue_arn])
        return lambda_.EventSourceMapping(
            self,
            "Mapping",
            target=self.function,
            event_source_arn=queue.queue_arn,
            batch_size=batch_size,
            max_concurrency=max_concurrency,
            report_batch_item_failures=True,
        )
