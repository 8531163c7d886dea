"""Least privilege, proven: each role may do what the workflows' recorded calls need, and nothing else.

calls.json is written by `make record-calls` and held complete by tests/workflow/conftest.py.
"""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from policies import Record, Template, findings

READ_ALL = {"Sid": "ReadAll", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}


@pytest.fixture(scope="session")
def record() -> Record:
    return json.loads((Path(__file__).parent / "calls.json").read_text())


def roles(translated: Template) -> list[str]:
    return [name for name, resource in translated["Resources"].items() if resource["Type"] == "AWS::IAM::Role"]


def statements(translated: Template, role: str) -> list[dict[str, Any]]:
    """Those of a role, but for the ones on the key, which test_encryption.py is about."""
    found = [
        statement
        for policy in translated["Resources"][role]["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    return [statement for statement in found if "kms:" not in json.dumps(statement["Action"])]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def changed(translated: Template) -> Iterator[tuple[str, str, Template]]:
    """(role, what was done to it, template) for each way to add to, or take from, each statement of each role."""
    for role in roles(translated):
        for number, statement in enumerate(statements(translated, role)):
            for part, extra in (("Action", "s3:DeleteBucket"), ("Action", "s3:*"), ("Resource", "arn:aws:s3:::*")):
                more = [*as_list(statement[part]), extra]
                yield role, f"{extra} in {statement.get('Sid')}", _with(translated, role, number, part, more)
            for part in ("Action", "Resource"):
                values = as_list(statement[part])
                for value in values if len(values) > 1 else []:
                    rest = [other for other in values if other != value]
                    yield role, f"{value} no more", _with(translated, role, number, part, rest)


def _with(translated: Template, role: str, number: int, part: str, value: Any) -> Template:
    template = copy.copy(translated)
    template["Resources"] = {**translated["Resources"], role: copy.deepcopy(translated["Resources"][role])}
    statements(template, role)[number][part] = value
    return template


def test_roles_may_do_what_their_calls_need_and_nothing_else(translated: Template, record: Record) -> None:
    assert findings(translated, record) == []


def test_whatever_is_added_to_or_taken_from_a_role_is_found(translated: Template, record: Record) -> None:
    tried = [(role, what, findings(template, record, role)) for role, what, template in changed(translated)]

    assert {role for role, _, _ in tried} == set(roles(translated))
    assert [(role, what) for role, what, found in tried if not any(line.startswith(role) for line in found)] == []


def test_a_statement_or_a_policy_more_is_found(translated: Template, record: Record) -> None:
    for role in roles(translated):
        inline, attached = copy.deepcopy(translated), copy.deepcopy(translated)
        inline["Resources"][role]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"].append(READ_ALL)
        attached["Resources"]["Extra"] = {
            "Type": "AWS::IAM::Policy",
            "Properties": {"Roles": [{"Ref": role}], "PolicyDocument": {"Statement": [READ_ALL]}},
        }
        managed = copy.deepcopy(translated)
        managed["Resources"][role]["Properties"]["ManagedPolicyArns"] = ["arn:aws:iam::aws:policy/ReadOnlyAccess"]
        for template in (inline, attached, managed):
            assert any(line.startswith(role) for line in findings(template, record, role)), role


def test_a_wider_pattern_is_found(translated: Template, record: Record) -> None:
    """Not only a permission that nobody needs, but also one that reaches what another role needs."""
    widened = 0
    for role in roles(translated):
        for number, statement in enumerate(statements(translated, role)):
            for resource in as_list(statement["Resource"]):
                if isinstance(resource, dict) and "/runs/*/" in resource.get("Fn::Sub", ""):
                    bucket = resource["Fn::Sub"].split("/runs/")[0]
                    template = _with(translated, role, number, "Resource", {"Fn::Sub": f"{bucket}/runs/*"})
                    assert any("also reaches" in line for line in findings(template, record, role)), (role, resource)
                    widened += 1
    assert widened > 10
