"""No confused deputy: a service acts on the stack's things for this account and, where it says so, this stack only."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

BOTH = {"aws:SourceAccount", "aws:SourceArn"}
# Service -> the keys that it sets when it assumes a role or calls, and who says so.
KEYS = {
    # A function's ARN is made up when the function is created, which must be able to assume the role by then.
    "lambda.amazonaws.com": ({"aws:SourceAccount"}, "https://github.com/serverless/serverless/pull/13125"),
    "states.amazonaws.com": (
        BOTH,
        "https://docs.aws.amazon.com/step-functions/latest/dg/procedure-create-iam-role.html",
    ),
    "events.amazonaws.com": (
        BOTH,
        "https://docs.aws.amazon.com/eventbridge/latest/userguide/policy-keys-eventbridge.html",
    ),
    "scheduler.amazonaws.com": (
        BOTH,
        "https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html",
    ),
    "sagemaker.amazonaws.com": (
        BOTH,
        "https://docs.aws.amazon.com/sagemaker/latest/dg/security-confused-deputy-prevention.html",
    ),
    "cloudwatch.amazonaws.com": (
        BOTH,
        "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html",
    ),
    "budgets.amazonaws.com": (
        BOTH,
        "https://docs.aws.amazon.com/cost-management/latest/userguide/budgets-sns-policy.html",
    ),
    # CloudWatch Logs names the group that it encrypts instead.
    "logs.${AWS::Region}.${AWS::URLSuffix}": (
        {"kms:EncryptionContext:aws:logs:arn"},
        "https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html",
    ),
}
DOCUMENTS = ("AssumeRolePolicyDocument", "PolicyDocument", "KeyPolicy")

Statement = dict[str, Any]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def trusting(translated: dict[str, Any]) -> Iterator[tuple[str, str, Statement]]:
    """(resource, service, statement) for each service that a policy of the stack lets do something."""
    for name, resource in translated["Resources"].items():
        for document in DOCUMENTS:
            for statement in as_list(resource["Properties"].get(document, {}).get("Statement", [])):
                principal = statement.get("Principal")
                if statement["Effect"] == "Allow" and isinstance(principal, dict):
                    for service in as_list(principal.get("Service", [])):
                        yield name, service if isinstance(service, str) else service["Fn::Sub"], statement


def test_services_act_for_this_account_and_stack_only(translated: dict[str, Any]) -> None:
    found = list(trusting(translated))

    assert {service for _, service, _ in found} <= set(KEYS)
    for name, service, statement in found:
        conditions = statement.get("Condition", {})
        assert set(conditions) <= {"StringEquals", "ArnLike"}, name  # not ...IfExists, which a missing key fulfils
        assert {key for keys in conditions.values() for key in keys} == KEYS[service][0], f"{name}: {service}"
        assert conditions.get("StringEquals", {}).get("aws:SourceAccount") in (None, {"Ref": "AWS::AccountId"}), name


@pytest.mark.parametrize("service", ["states", "events"])
def test_roles_are_assumed_for_one_source_by_name(translated: dict[str, Any], service: str) -> None:
    sources = [
        json.dumps(statement["Condition"]["ArnLike"]["aws:SourceArn"])
        for name, principal, statement in trusting(translated)
        if principal == f"{service}.amazonaws.com" and translated["Resources"][name]["Type"] == "AWS::IAM::Role"
    ]
    assert sources
    assert len(set(sources)) == len(sources)
    assert [source for source in sources if "*" in source] == []


def test_rules_may_invoke_a_function_by_their_own_arn(translated: dict[str, Any]) -> None:
    permissions = [r["Properties"] for r in translated["Resources"].values() if r["Type"] == "AWS::Lambda::Permission"]

    assert permissions
    for permission in permissions:
        assert "SourceArn" in permission, permission
