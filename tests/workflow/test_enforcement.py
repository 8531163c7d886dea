"""The tier runs with IAM enforced: what a role's policy does not allow, fails."""

import json

import boto3
import pytest
from botocore.exceptions import ClientError


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


@pytest.fixture
def stranger(workflow):
    """S3 in the name of a role that its own policy lets do everything there."""
    iam, everyone = workflow.cloud.client("iam"), {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": "*"}
    role = iam.create_role(RoleName="stranger", AssumeRolePolicyDocument=json.dumps({"Statement": [everyone]}))["Role"]
    everything = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam.put_role_policy(RoleName="stranger", PolicyName="all", PolicyDocument=json.dumps(everything))
    given = workflow.cloud.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="session")["Credentials"]
    yield boto3.client(
        "s3",
        endpoint_url=workflow.cloud.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )
    iam.delete_role_policy(RoleName="stranger", PolicyName="all")
    iam.delete_role(RoleName="stranger")


def test_only_start_preprocessing_ships_the_code_that_jobs_run(workflow, stranger):
    stranger.put_object(Bucket=workflow.bucket, Key="config/by-a-stranger.json", Body=b"{}")
    workflow.s3.delete_object(Bucket=workflow.bucket, Key="config/by-a-stranger.json")
    with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
        stranger.put_object(Bucket=workflow.bucket, Key="code/0000000000000000.zip", Body=b"")
