"""The tier runs with IAM enforced: what a role's policy does not allow, fails."""

import json

import pytest


@pytest.fixture
def without(workflow):
    """Takes an action from a role of the template; the policy is as it was after the test."""
    iam = workflow.cloud.client("iam")
    changed = []

    def take(role: str, action: str) -> None:
        (name,) = [physical for physical, logical in workflow.logical.items() if logical == role]
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
            changed.append({"RoleName": name, "PolicyName": policy, "PolicyDocument": json.dumps(document)})
            for statement in document["Statement"]:
                actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                statement["Action"] = [other for other in actions if other != action] or ["sts:GetCallerIdentity"]
            iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document))

    yield take
    for policy in changed:
        iam.put_role_policy(**policy)


@pytest.mark.parametrize(
    ("role", "action"),
    [
        ("PreprocessFunctionRole", "s3:GetObjectVersion"),  # the embedded AWS judges by itself
        ("StartTrainingFunctionRole", "iam:PassRole"),  # the engine asks it
        ("TrainStateMachineRole", "lambda:InvokeFunction"),  # it is asked in the name of a state machine
        ("TrainStateMachineRole", "sagemaker:DescribeTrainingJob"),
    ],
)
def test_a_role_without_a_permission_is_refused(workflow, activities, without, role, action):
    without(role, action)
    run = workflow.drop(activities)
    assert run.status == "FAILED"
    assert f"not authorized to perform: {action}" in run.cause
