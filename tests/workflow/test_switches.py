"""What is off by default, all of it switched on: the stack deploys, and training runs with what it is given."""

import json
import time

from local.activities import generate
from local.cloud import STACK, Cloud

PARAMETERS = {
    "PollSeconds": "1",
    "LinesPerPart": "500",
    "NumTrees": "50",
    "NetworkPrefixLists": "pl-0a0a0a0a,pl-0b0b0b0b",
    "MonthlyBudgetDollars": "100",
    "DataFunctionConcurrency": "10",
    "JudgedRetentionDays": "365",
    "Monitoring": "true",
    "Dashboard": "true",
    "ModelRegistry": "true",
    "FeatureStore": "true",
    "TrainOnStoredDays": "30",
    "Experiments": "true",
    "HyperparameterSweep": "true",
}
SECONDS = 120


def test_a_stack_with_everything_switched_on_trains_in_its_own_network(tmp_path, monkeypatch):
    monkeypatch.setenv("SFN_WAIT_SCALE", "0.1")
    with Cloud(tmp_path, port=0, engine_port=0, parameters=PARAMETERS) as cloud:
        body = generate(lines=1500).to_csv(index=False).encode()
        cloud.client("s3").put_object(Bucket=cloud.outputs["DataBucketName"], Key="incoming/activities.csv", Body=body)
        assert ended(cloud) == "SUCCEEDED"

        sagemaker, ec2 = cloud.client("sagemaker"), cloud.client("ec2")
        (summary,) = sagemaker.list_training_jobs()["TrainingJobSummaries"]
        job = sagemaker.describe_training_job(TrainingJobName=summary["TrainingJobName"])
        (vpc,) = {endpoint["VpcId"] for endpoint in ec2.describe_vpc_endpoints()["VpcEndpoints"]}
        subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
        assert sorted(job["VpcConfig"]["Subnets"]) == sorted(subnet["SubnetId"] for subnet in subnets)
        groups = ec2.describe_security_groups(GroupIds=job["VpcConfig"]["SecurityGroupIds"])["SecurityGroups"]
        assert [group["VpcId"] for group in groups] == [vpc]
        assert job["EnableNetworkIsolation"] is True
        dashboard = cloud.client("cloudwatch").get_dashboard(DashboardName=STACK)["DashboardBody"]
        shown = json.dumps([widget["properties"]["metrics"] for widget in json.loads(dashboard)["widgets"]])
        made = [r["PhysicalResourceId"] for r in cloud.resources() if r["ResourceType"] == "AWS::Lambda::Function"]
        assert [name for name in made if name not in shown] == []
        key = cloud.outputs["DataKeyArn"]
        assert (job["OutputDataConfig"]["KmsKeyId"], job["ResourceConfig"]["VolumeKmsKeyId"]) == (key, key)


def ended(cloud):
    """The status of the one training run."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        runs = cloud.client("stepfunctions").list_executions(stateMachineArn=cloud.outputs["TrainStateMachineArn"])
        if runs["executions"] and runs["executions"][0]["status"] != "RUNNING":
            return runs["executions"][0]["status"]
        time.sleep(0.2)
    return "RUNNING"
