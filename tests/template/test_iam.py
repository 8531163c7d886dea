"""Least privilege: no role may do everything, or do something to everything, but for the exceptions listed here."""

import json
import re
from collections.abc import Iterator
from typing import Any

# Actions that AWS lets nobody narrow to a resource, and what needs them.
ANY_RESOURCE = {
    "logs:CreateLogDelivery": "state machine logging",
    "logs:GetLogDelivery": "state machine logging",
    "logs:UpdateLogDelivery": "state machine logging",
    "logs:DeleteLogDelivery": "state machine logging",
    "logs:ListLogDeliveries": "state machine logging",
    "logs:PutResourcePolicy": "state machine logging",
    "logs:DescribeResourcePolicies": "state machine logging",
    "logs:DescribeLogGroups": "state machine logging",
    "xray:PutTraceSegments": "state machine tracing",
    "xray:PutTelemetryRecords": "state machine tracing",
    "xray:GetSamplingRules": "state machine tracing",
    "xray:GetSamplingTargets": "state machine tracing",
    "cloudwatch:PutMetricData": "SageMaker's training metrics; narrowed by namespace",
    "ecr:GetAuthorizationToken": "SageMaker logs in to the registry of the built-in image",
    "sagemaker:ListEndpoints": "upkeep finds leftovers; what it deletes is named",
    "sagemaker:ListEndpointConfigs": "upkeep finds leftovers; what it deletes is named",
    "sagemaker:ListModels": "upkeep finds leftovers; what it deletes is named",
    "sagemaker:ListTrainingJobs": "upkeep finds leftovers; what it deletes is named",
    "sagemaker:ListProcessingJobs": "upkeep finds leftovers; what it deletes is named",
    "sagemaker:ListTransformJobs": "upkeep finds leftovers; what it deletes is named",
    "sagemaker:ListTrials": "the end of the experiment; what it deletes is named",
    "sagemaker:ListTrialComponents": "the end of the experiment; what it deletes is named",
    "sagemaker:ListTags": "SageMaker lists tags over all of its kinds of resource",
    "application-autoscaling:RegisterScalableTarget": "a target's ARN says nothing of what it scales; by namespace",
    "application-autoscaling:PutScalingPolicy": "as RegisterScalableTarget",
    "application-autoscaling:DeregisterScalableTarget": "as RegisterScalableTarget",
    "ec2:CreateNetworkInterface": "training in the network; narrowed by network",
    "ec2:CreateNetworkInterfacePermission": "training in the network; narrowed by network",
    "ec2:DeleteNetworkInterface": "training in the network; narrowed by network",
    "ec2:DeleteNetworkInterfacePermission": "training in the network; narrowed by network",
    "ec2:DescribeDhcpOptions": "training in the network",
    "ec2:DescribeNetworkInterfaces": "training in the network",
    "ec2:DescribeSecurityGroups": "training in the network",
    "ec2:DescribeSubnets": "training in the network",
    "ec2:DescribeVpcs": "training in the network",
}
MANAGED_POLICIES = {
    "AWSLambdaBasicExecutionRole": "a function writes its logs",
    "AWSXrayWriteOnlyAccess": "a function writes its traces",
    "AWSXRayDaemonWriteAccess": "a function writes its traces",
    "AWSLambdaVPCAccessExecutionRole": "Lambda plugs functions into the network; denied to the functions themselves",
}

Statement = dict[str, Any]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def roles(translated: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        name: resource["Properties"]
        for name, resource in translated["Resources"].items()
        if resource["Type"] == "AWS::IAM::Role"
    }


def statements(translated: dict[str, Any]) -> Iterator[tuple[str, Statement]]:
    """Every statement of every identity policy, with the name of what holds it."""
    for name, resource in translated["Resources"].items():
        properties = resource.get("Properties", {})
        documents = [
            policy["PolicyDocument"] for policy in properties.get("Policies", []) if "PolicyDocument" in policy
        ]
        if resource["Type"] in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
            documents.append(properties["PolicyDocument"])
        for document in documents:
            for statement in as_list(document["Statement"]):
                yield f"{name}/{statement.get('Sid')}", statement


def text_of(resource: Any) -> str:
    """A resource as text: what CloudFormation fills in becomes ${...}."""
    if isinstance(resource, str):
        return resource
    if "Fn::Sub" in resource:
        return resource["Fn::Sub"]
    return "${" + json.dumps(resource) + "}"


def names_nothing(resource: str) -> bool:
    """True where a resource is all of a service, kind or bucket: `*`, `arn:...:endpoint/*`, `${DataBucket.Arn}/*`."""
    filled = re.sub(r"\$\{[^}]+\}", "X", resource)
    name = filled.split(":", 5)[-1] if filled.startswith("arn:") else filled
    return re.fullmatch(r"[*/?]*|[a-z-]+[/:]\*|X/\*", name) is not None


def written_statements(node: Any) -> Iterator[Statement]:
    """The statements of a template as written, wherever they are."""
    if isinstance(node, dict) and "Effect" in node:
        yield node
    elif isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from written_statements(child)


def test_statements_say_what_they_are_for(template: dict[str, Any]) -> None:
    nameless = [
        s for s in written_statements(template["Resources"]) if "Sid" not in s and s["Action"] != "sts:AssumeRole"
    ]

    assert nameless == []


def test_no_statement_allows_a_wildcard_action(translated: dict[str, Any]) -> None:
    for holder, statement in statements(translated):
        if statement["Effect"] == "Allow":
            assert "NotAction" not in statement, holder
            assert not [action for action in as_list(statement["Action"]) if "*" in action], holder


def test_only_the_listed_actions_reach_every_resource(translated: dict[str, Any]) -> None:
    for holder, statement in statements(translated):
        if statement["Effect"] == "Allow":
            assert "NotResource" not in statement, holder
            if any(names_nothing(text_of(resource)) for resource in as_list(statement["Resource"])):
                assert set(as_list(statement["Action"])) <= set(ANY_RESOURCE), holder
                assert as_list(statement["Resource"]) == ["*"], f"{holder}: mixes named resources with all of them"


def test_metrics_are_narrowed_by_namespace(translated: dict[str, Any]) -> None:
    for holder, statement in statements(translated):
        if "cloudwatch:PutMetricData" in as_list(statement["Action"]):
            assert "cloudwatch:namespace" in json.dumps(statement.get("Condition", {})), holder


def test_roles_are_passed_to_sagemaker_only(translated: dict[str, Any]) -> None:
    passing = [(holder, s) for holder, s in statements(translated) if "iam:PassRole" in as_list(s["Action"])]

    assert passing
    for holder, statement in passing:
        assert statement["Condition"]["StringEquals"]["iam:PassedToService"] == "sagemaker.amazonaws.com", holder
        for resource in as_list(statement["Resource"]):
            role, attribute = resource["Fn::GetAtt"]
            assert (translated["Resources"][role]["Type"], attribute) == ("AWS::IAM::Role", "Arn"), holder


def test_only_the_function_that_ships_code_writes_what_jobs_run(translated: dict[str, Any]) -> None:
    writers = {
        holder.split("/")[0]
        for holder, s in statements(translated)
        if "s3:PutObject" in as_list(s["Action"])
        and any(text_of(resource).endswith("/code/*") for resource in as_list(s["Resource"]))
    }
    assert writers == {"StartPreprocessingFunctionRole"}
    policy = translated["Resources"]["DataBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    (denied,) = [s for s in policy if s["Sid"] == "NobodyElseShipsCode"]
    assert (denied["Effect"], denied["Principal"], denied["Action"]) == ("Deny", "*", "s3:PutObject")
    assert text_of(denied["Resource"]).endswith("/code/*")
    role = {"Fn::GetAtt": ["StartPreprocessingFunctionRole", "Arn"]}
    assert denied["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": role}}


def test_managed_policies_are_the_listed_ones(translated: dict[str, Any]) -> None:
    for name, role in roles(translated).items():
        for arn in role.get("ManagedPolicyArns", []):
            assert re.sub(r"[^\w]+$", "", text_of(arn)).split("/")[-1] in MANAGED_POLICIES, name


def test_each_function_has_a_role_of_its_own(translated: dict[str, Any]) -> None:
    for name, resource in translated["Resources"].items():
        if resource["Type"] == "AWS::Lambda::Function":
            assert resource["Properties"]["Role"] == {"Fn::GetAtt": [f"{name}Role", "Arn"]}, name


def test_roles_are_assumed_by_services_only(translated: dict[str, Any]) -> None:
    for name, role in roles(translated).items():
        for statement in as_list(role["AssumeRolePolicyDocument"]["Statement"]):
            assert set(statement["Principal"]) == {"Service"}, name
