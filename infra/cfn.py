"""Reaching the CloudFormation resource behind a construct."""

from __future__ import annotations

from typing import TypeVar

from aws_cdk import CfnResource
from constructs import IConstruct

T = TypeVar("T", bound=CfnResource)


def resource_of(construct: IConstruct, kind: type[T]) -> T:
    """The resource that a construct wraps, for what the construct itself cannot say.

    Raises:
        TypeError: when the construct wraps something else.
    """
    resource = construct.node.default_child
    if not isinstance(resource, kind):
        raise TypeError(f"{construct.node.path} is no {kind.__name__}")
    return resource
