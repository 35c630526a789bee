"""Acknowledging what cdk-nag finds, with the reason that makes it right here."""

from __future__ import annotations

from aws_cdk import Acknowledgment, Stack, Validations
from aws_cdk import aws_s3 as s3
from constructs import IConstruct

from infra.cfn import resource_of


def acknowledge(construct: IConstruct, rule: str, reason: str) -> None:
    """Accept a finding of the AwsSolutions pack on a construct and everything in it.

    Args:
        construct: where the finding is, or an ancestor of it.
        rule: the finding without the pack's name, such as `S1` or `IAM5[Resource::…]`.
        reason: why it is right here, for whoever audits the stack.
    """
    Validations.of(construct).acknowledge(Acknowledgment(id=f"AwsSolutions-{rule}", reason=reason))


def acknowledge_objects(construct: IConstruct, bucket: s3.Bucket, prefix: str) -> None:
    """Accept `<bucket>/<prefix>*` as the resource of a policy in a construct."""
    logical_id = Stack.of(bucket).get_logical_id(resource_of(bucket, s3.CfnBucket))
    acknowledge(
        construct,
        f"IAM5[Resource::<{logical_id}.Arn>/{prefix}*]",
        "Keys are made at run time from content and versions; bucket and prefix are as narrow as can be.",
    )
