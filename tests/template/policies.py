"""What the roles of the translated template grant, against what was recorded that they need.

What they may do with the key follows from the rest: test_encryption.py.
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from unrecorded import MANAGED, NOT_OF_JOBS, SAME_CODE, UNRECORDED

from local.cloud import STACK
from local.emulator.needs import ACCOUNT, REGION, SAGEMAKER

Template = dict[str, Any]
Record = dict[str, list[str]]

_PSEUDO = {"AWS::Partition": "aws", "AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::StackName": STACK}
# What a reference to a resource's ARN stands for here: as in the record, with its logical id in place of its name.
_ARNS = {
    "AWS::S3::Bucket": "arn:aws:s3:::{}",
    "AWS::DynamoDB::Table": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{{}}",
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{{}}",
    "AWS::KMS::Key": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{{}}",
    "AWS::Lambda::Function": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{{}}",
    "AWS::SNS::Topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:{{}}",
    "AWS::SQS::Queue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{{}}",
    "AWS::StepFunctions::StateMachine": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{{}}",
}
_OPERATORS = {"StringEquals", "StringLike", "ArnEquals", "ArnLike"}  # whose values may be read as patterns here
_PARAMETERS = {"MlflowServerArn"}  # of the template, that policies name
_ARN_BY_REF = {"AWS::SNS::Topic"}


@dataclass(frozen=True)
class Need:
    """An action on a resource, and what conditions see of the request."""

    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Grant:
    """One action on one pattern of resources, with the statement's conditions."""

    role: str
    sid: str
    action: str
    resource: str
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()

    def allows(self, need: Need) -> bool:
        return self.action == need.action and self.reaches(need.resource) and self._holds(dict(need.context))

    def reaches(self, resource: str) -> bool:
        return _like(self.resource, resource)

    def _holds(self, context: dict[str, str]) -> bool:
        return all(
            key in context and any(_like(pattern, context[key]) for pattern in patterns)
            for _, key, patterns in self.conditions
        )


def findings(translated: Template, record: Record, only: str = "") -> list[str]:
    """Each permission that a role lacks, has without needing it, or has on more than it needs; `only` of one role."""
    granted, needed = list(_grants(translated)), _needed(translated, record)
    everything = {need.resource for needs in needed.values() for need in needs}
    found = list(_attached(translated))
    if only:
        granted, needed = [grant for grant in granted if grant.role == only], {only: needed.get(only, set())}
    for role, needs in needed.items():
        for need in sorted(needs, key=str):
            if not any(grant.role == role and grant.allows(need) for grant in granted):
                found.append(f"{role} lacks {need.action} on {need.resource} {dict(need.context) or ''}")
    for grant in granted:
        needs = needed.get(grant.role, set())
        used = {need.resource for need in needs if grant.allows(need)}
        where = f"{grant.role}/{grant.sid}: {grant.action} on {grant.resource}"
        if not used and not _idle(grant, granted, needs):
            found.append(f"{where} is never used")
        elif grant.resource not in used:  # but for actions that know no resource
            more = {resource for resource in everything if grant.reaches(resource) and _means(grant, resource)}
            more = {resource for resource in more if not any(_like(pattern, resource) for pattern in used)}
            found += [f"{where} also reaches {resource}" for resource in sorted(more)]
    return found


def _idle(grant: Grant, granted: list[Grant], needs: set[Need]) -> bool:
    """Whether action and resource stand in one statement, but have nothing to do with each other, each used apart."""
    peers = [other for other in granted if (other.role, other.sid) == (grant.role, grant.sid)]
    return not _means(grant, grant.resource) and all(
        any(other.allows(need) for other in peers if getattr(other, part) == getattr(grant, part) for need in needs)
        for part in ("action", "resource")
    )


def _means(grant: Grant, resource: str) -> bool:
    """False for an action of SageMaker on a kind of resource that it is not about."""
    kinds = SAGEMAKER.get(grant.action.removeprefix("sagemaker:"))
    return kinds is None or resource.split(":")[-1].split("/")[0] in kinds


def _needed(translated: Template, record: Record) -> dict[str, set[Need]]:
    """Role (logical id) -> all that it needs."""
    resources = translated["Resources"]
    needed: dict[str, set[Need]] = {}
    for role, functions in SAME_CODE.items():
        lines = [line for function in functions for line in record.get(function, []) if NOT_OF_JOBS not in line]
        needed[role] = set(map(_parsed, lines))
    for caller, lines in record.items():
        for need in map(_parsed, lines):
            for role in _roles(resources, caller, need):
                needed.setdefault(role, set()).add(need)
    for holder, lines, _ in UNRECORDED:
        for name in [name for name, resource in resources.items() if holder in (name, resource["Type"])]:
            for need in map(_parsed, lines):
                for role in _roles(resources, name, need):
                    needed.setdefault(role, set()).add(need)
    return needed


@functools.cache
def _parsed(line: str) -> Need:
    action, resource, *context = line.split(" ")
    return Need(action, resource, tuple(tuple(pair.split("=", 1)) for pair in context))  # type: ignore[misc]


def _roles(resources: dict[str, Any], caller: str, need: Need) -> Iterator[str]:
    """The roles in whose name the caller calls: rules have one each, by what they start."""
    if caller == "EventBridge":
        for rule in resources.values():
            for target in rule["Properties"]["Targets"] if rule["Type"] == "AWS::Events::Rule" else []:
                if "RoleArn" in target and text(target["Arn"], resources) == need.resource:
                    yield target["RoleArn"]["Fn::GetAtt"][0]
        return
    properties = resources[caller]["Properties"]
    role = properties.get("Role") or properties.get("RoleArn") or properties.get("Target", {}).get("RoleArn")
    yield role["Fn::GetAtt"][0] if role else caller


def _grants(translated: Template) -> Iterator[Grant]:
    for role, document in _documents(translated):
        for statement in _list(document["Statement"]):
            if statement["Effect"] == "Allow" and not _on_key(statement):
                conditions = tuple(
                    (operator, key, tuple(text(value, translated["Resources"]) for value in _list(values)))
                    for operator, keys in statement.get("Condition", {}).items()
                    for key, values in keys.items()
                )
                assert {operator for operator, _, _ in conditions} <= _OPERATORS, f"{role}: {conditions}"
                for action in _list(statement.get("Action", "NotAction")):
                    for resource in _list(statement.get("Resource", "NotResource")):
                        where = text(resource, translated["Resources"])
                        yield Grant(role, statement.get("Sid", ""), action, where, conditions)


def _on_key(statement: dict[str, Any]) -> bool:
    return all(action.startswith("kms:") for action in _list(statement.get("Action", "NotAction")))


def _documents(translated: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    """(role, policy) of each policy in a role or attached to it."""
    for name, resource in translated["Resources"].items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::IAM::Role":
            for policy in properties.get("Policies", []):
                yield name, policy["PolicyDocument"]
        elif resource["Type"] in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy"):
            for role in [*properties.get("Roles", []), *_list(properties.get("RoleName", []))]:
                yield text(role, translated["Resources"]), properties["PolicyDocument"]


def _attached(translated: Template) -> Iterator[str]:
    """Policies of AWS's own that a role has beyond what all roles of its service have."""
    for name, resource in translated["Resources"].items():
        if resource["Type"] == "AWS::IAM::Role":
            (statement,) = _list(resource["Properties"]["AssumeRolePolicyDocument"]["Statement"])
            expected = MANAGED if statement["Principal"]["Service"] == "lambda.amazonaws.com" else {}
            arns = {text(arn, translated["Resources"]) for arn in resource["Properties"].get("ManagedPolicyArns", [])}
            yield from (f"{name} has {arn}" for arn in sorted(arns - set(expected)))


def text(value: Any, resources: dict[str, Any]) -> str:
    """A string, or what the intrinsic function stands for: names as in the record."""
    if isinstance(value, str):
        return value
    if "Ref" in value:
        return _reference(value["Ref"], resources)
    if "Fn::If" in value:  # where everything is switched on
        return text(value["Fn::If"][1], resources)
    if "Fn::GetAtt" in value:
        return _reference(".".join(value["Fn::GetAtt"]), resources)
    return re.sub(r"\$\{([\w.:]+)\}", lambda match: _reference(match[1], resources), value["Fn::Sub"])


def _reference(name: str, resources: dict[str, Any]) -> str:
    if name in _PSEUDO:
        return _PSEUDO[name]
    if name in _PARAMETERS:
        return f"{{{name}}}"
    identifier, _, attribute = name.partition(".")
    kind = resources[identifier]["Type"]
    if kind == "AWS::StepFunctions::StateMachine":  # which policies on its executions name, and cannot refer to
        return _ARNS[kind].format(text(resources[identifier]["Properties"]["StateMachineName"], resources))
    return _ARNS[kind].format(identifier) if attribute == "Arn" or kind in _ARN_BY_REF else identifier


@functools.cache
def _like(pattern: str, value: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), value) is not None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
