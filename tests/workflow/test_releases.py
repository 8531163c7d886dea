"""Releases of the real stack: a run keeps to the machine and the functions that it began with, whatever is deployed
meanwhile; the next runs go over to what was deployed."""

import json
import time

import pytest

from local.activities import generate
from local.cloud import ROOT, STACK, Cloud
from local.emulator.deploy import deploy

FIRST, SECOND = "r-0badcafe-1", "r-0badcafe-2"
# Long enough to deploy while a run waits.
PARAMETERS = {"PollSeconds": "10", "NumTrees": "50", "ReviewBudget": "7", "Deployment": "CANARY"}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """One that enforces IAM, with a first release."""
    home = tmp_path_factory.mktemp("released")
    given = PARAMETERS | {"Release": FIRST}
    with Cloud(home, port=0, engine_port=0, parameters=given, enforce=True) as cloud:
        yield cloud


def dropped(cloud: Cloud, seed: int) -> str:
    """The execution that a new file starts."""
    sfn, machine = cloud.client("stepfunctions"), cloud.outputs["TrainStateMachineArn"]
    before = {found["executionArn"] for found in sfn.list_executions(stateMachineArn=machine)["executions"]}
    body = generate(lines=1_500, seed=seed).to_csv(index=False).encode()
    cloud.client("s3").put_object(Bucket=cloud.outputs["DataBucketName"], Key=f"incoming/{seed}.csv", Body=body)
    for _ in range(200):
        for found in sfn.list_executions(stateMachineArn=machine)["executions"]:
            if found["executionArn"] not in before:
                return found["executionArn"]
        time.sleep(0.1)
    raise AssertionError("the upload started no execution")


def ended(cloud: Cloud, arn: str) -> dict:
    for _ in range(1200):
        found = cloud.client("stepfunctions").describe_execution(executionArn=arn)
        if found["status"] != "RUNNING":
            return found
        time.sleep(0.1)
    raise AssertionError(f"{arn} still runs")


def function(cloud: Cloud, stack: str, logical_id: str) -> str:
    """The physical name of a function of a nested stack."""
    cloudformation = cloud.client("cloudformation")
    nested = cloudformation.describe_stack_resource(StackName=STACK, LogicalResourceId=stack)["StackResourceDetail"]
    resources = cloudformation.describe_stack_resources(StackName=nested["PhysicalResourceId"])["StackResources"]
    (name,) = [found["PhysicalResourceId"] for found in resources if found["LogicalResourceId"] == logical_id]
    return name


def test_a_run_keeps_to_the_release_that_it_began_with(cloud):
    lambdas, sfn = cloud.client("lambda"), cloud.client("stepfunctions")
    running = dropped(cloud, seed=1)
    given = PARAMETERS | {"Release": SECOND}
    deploy(ROOT / "template.yaml", STACK, given, cloud.client("s3"), cloud.client("cloudformation"))
    assert sfn.describe_execution(executionArn=running)["status"] == "RUNNING", "it ended before the second release"

    name = function(cloud, "Results", "ChooseThresholdFunction")
    configurations = {
        release: lambdas.get_function_configuration(FunctionName=name, Qualifier=release) for release in (FIRST, SECOND)
    }
    assert {found["Environment"]["Variables"]["RELEASE"] for found in configurations.values()} == {FIRST, SECOND}
    assert len({found["Version"] for found in configurations.values()}) == 2

    # Without the second release's last function its runs fail; the first one's do not, and it has no part in them.
    lambdas.delete_alias(FunctionName=name, Name=SECOND)
    after = dropped(cloud, seed=2)
    end = ended(cloud, running)
    assert end["status"] == "SUCCEEDED", end.get("cause")
    failed = ended(cloud, after)
    assert failed["status"] == "FAILED"
    assert name in failed["cause"]


def test_the_alias_leads_to_the_newest_version_of_the_machine(cloud):
    sfn, machine = cloud.client("stepfunctions"), cloud.outputs["TrainStateMachineArn"]
    versions = sfn.list_state_machine_versions(stateMachineArn=machine)["stateMachineVersions"]
    arns = sorted(version["stateMachineVersionArn"] for version in versions)
    (route,) = sfn.describe_state_machine_alias(stateMachineAliasArn=f"{machine}:live")["routingConfiguration"]
    assert (len(arns), route["stateMachineVersionArn"]) == (2, arns[1])
    for arn, release in zip(arns, (FIRST, SECOND), strict=True):
        definition = json.loads(sfn.describe_state_machine(stateMachineArn=arn)["definition"])
        called = definition["States"]["ChooseThreshold"]["Parameters"]["FunctionName"]
        assert called.endswith(f":{release}")
