"""Reading a synthesized template by the names that the constructs have, never by generated ids."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Properties = Mapping[str, Any]


class Template:
    """A template whose resources go by their construct path: `Intake/Splitter/Function`."""

    def __init__(self, template: Mapping[str, Any], stack: str) -> None:
        self.body = template
        self.stack = stack
        self.outputs: Mapping[str, Any] = template["Outputs"]
        self._paths: dict[str, str] = {
            logical_id: resource["Metadata"]["aws:cdk:path"].removeprefix(f"{stack}/").removesuffix("/Resource")
            for logical_id, resource in template["Resources"].items()
        }

    def all(self, kind: str) -> dict[str, Properties]:
        """Properties of every resource of a type, by path; fails when there is none, so no loop over it is empty."""
        found = {
            self._paths[logical_id]: resource.get("Properties", {})
            for logical_id, resource in self.body["Resources"].items()
            if resource["Type"] == kind
        }
        assert found, f"the template has no {kind}"
        return found

    def resource(self, path: str, kind: str) -> Mapping[str, Any]:
        """The whole resource of a type at a path, with its policies and dependencies."""
        for logical_id, resource in self.body["Resources"].items():
            if self._paths[logical_id] == path and resource["Type"] == kind:
                return dict(resource)
        raise AssertionError(f"the template has no {kind} at {path}")

    def name(self, value: Any) -> str:
        """A reference as text: `Storage/Inbox/*` for the objects of the inbox, `Storage/Jobs.StreamArn`."""
        match value:
            case str():
                return value
            case {"Ref": str(logical_id)}:
                return self._paths.get(logical_id, logical_id)
            case {"Fn::GetAtt": [str(logical_id), "Arn"]}:
                return self._paths[logical_id]
            case {"Fn::GetAtt": [str(logical_id), str(attribute)]}:
                return f"{self._paths[logical_id]}.{attribute}"
            case {"Fn::Join": [separator, parts]}:
                return str(separator).join(self.name(part) for part in parts)
            case _:
                raise AssertionError(f"a reference of an unknown kind: {value}")

    def policies_on(self, kind: str, target: str) -> dict[str, list[Properties]]:
        """Statements of all bucket or queue policies, by the resource they belong to (property `target`)."""
        statements: dict[str, list[Properties]] = {}
        for policy in self.all(kind).values():
            targets = policy[target] if isinstance(policy[target], list) else [policy[target]]
            for each in targets:
                statements.setdefault(self.name(each), []).extend(policy["PolicyDocument"]["Statement"])
        return statements

    def dashboard(self) -> dict[str, Any]:
        """The body of the one dashboard, with references as text."""
        (dashboard,) = self.all("AWS::CloudWatch::Dashboard").values()
        return dict(json.loads(self.name(dashboard["DashboardBody"])))

    def dashboard_metrics(self) -> Iterator[tuple[str, str, dict[str, str]]]:
        """Namespace, name and dimensions of every metric of the dashboard."""
        for widget in self.dashboard()["widgets"]:
            for metric in widget["properties"]["metrics"]:
                namespace, name, *rest = [part for part in metric if isinstance(part, str)]
                yield namespace, name, dict(zip(rest[::2], rest[1::2], strict=True))

    def allowed(self) -> dict[str, dict[str, set[str]]]:
        """What each role may do: role → resource → actions."""
        roles: dict[str, dict[str, set[str]]] = {self._owner(role): {} for role in self.all("AWS::IAM::Role")}
        for policy in self.all("AWS::IAM::Policy").values():
            for role in policy["Roles"]:
                grants = roles[self._owner(self.name(role))]
                for statement in policy["PolicyDocument"]["Statement"]:
                    assert statement["Effect"] == "Allow"
                    assert "NotAction" not in statement
                    assert "NotResource" not in statement
                    for resource in _listed(statement["Resource"]):
                        grants.setdefault(self.name(resource), set()).update(_listed(statement["Action"]))
        return roles

    @staticmethod
    def _owner(role_path: str) -> str:
        return role_path.removesuffix("/Role")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
