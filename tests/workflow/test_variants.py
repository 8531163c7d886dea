"""Another forest on the live model's real-time endpoint: split by weight, shadowed, moved to, and back by an alarm."""

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from local.activities import generate
from suspicious_lines.layout import VARIANT, RunFiles, invoices_kind

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def workflow(instances_workflow):
    return instances_workflow


@pytest.fixture(scope="module")
def live(workflow, activities) -> dict:
    """A live model whose endpoint has two instances."""
    assert workflow.drop(activities).status == "SUCCEEDED"
    return current(workflow)


def current(workflow) -> dict:
    return json.loads(workflow.s3.get_object(Bucket=workflow.bucket, Key="models/current.json")["Body"].read())


def settled(workflow, name) -> dict:
    for _ in range(600):
        found = workflow.sagemaker.describe_endpoint(EndpointName=name)
        if found["EndpointStatus"] == "InService":
            return found
        time.sleep(0.05)
    raise AssertionError(found["EndpointStatus"])


@pytest.fixture(scope="module")
def make(workflow, live):
    """Runs scripts/variants.py: (exit status, what it said)."""
    environment = os.environ | {"PYTHONPATH": "layers/core"}
    home = str(workflow.cloud.outbox.parent)

    def run(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "scripts/variants.py", *arguments, "--home", home]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture(scope="module")
def job(make) -> str:
    """Another forest on the features of the live run."""
    status, told = make("train", "--trees", "100", "--samples", "64")
    assert status == 0, told
    name, _, ended = told.splitlines()[-1].partition(" is ")
    assert ended == "Completed"
    return name


@pytest.fixture(autouse=True)
def alone(make):
    yield
    status, told = make("alone")
    assert status == 0, told


def variants(workflow, live) -> dict[str, float]:
    found = settled(workflow, live["endpoint_name"])
    return {each["VariantName"]: each["CurrentWeight"] for each in found["ProductionVariants"]}


def clear(workflow) -> list[str]:
    return workflow.invoke("DeleteOrphansFunction", {"run": "clear"})["hosted"]


def score(workflow):
    body = generate(seed=7, lines=400).drop(columns="Error").to_csv(index=False).encode()
    run = workflow.drop(body, "invoices/a.csv")
    assert run.status == "SUCCEEDED", run.cause
    return run


def test_weights_split_the_requests_and_shift_by_an_operation(workflow, live, make, job):
    before = workflow.hosted()
    assert make("split", "--job", job, "--weight", "10")[0] == 0
    assert variants(workflow, live) == {"forest": 90, "challenger": 10}
    assert clear(workflow) == [], "the janitor knows what is beside the live endpoint"
    runtime = workflow.cloud.client("sagemaker-runtime")
    features = workflow.read(score(workflow), parts_of(workflow)).splitlines(keepends=True)
    answers = {
        name: runtime.invoke_endpoint(
            EndpointName=live["endpoint_name"], ContentType="text/csv", Body=features[0], TargetVariant=name
        )["Body"].read()
        for name in ("forest", "challenger")
    }
    assert answers["forest"] != answers["challenger"]
    assert make("weights", "--weight", "100")[0] == 0
    assert variants(workflow, live) == {"forest": 0, "challenger": 100}
    answered = {
        runtime.invoke_endpoint(EndpointName=live["endpoint_name"], ContentType="text/csv", Body=features[0])[
            "InvokedProductionVariant"
        ]
        for _ in range(10)
    }
    assert answered == {"challenger"}
    assert make("alone")[0] == 0
    assert variants(workflow, live) == {"forest": pytest.approx(90)}
    after = workflow.hosted()
    assert after["models"] == before["models"]
    assert len(after["configs"] - before["configs"]) <= 1, "the one in use"


def parts_of(workflow) -> str:
    return f"features/{invoices_kind(current(workflow)['run'])}/part-00000.csv"


def test_what_the_endpoint_is_asked_and_answers_is_captured(workflow, live):
    run = score(workflow)
    place = f"{RunFiles(live['run']).captured}/{live['endpoint_name']}/{VARIANT}/"
    found = workflow.s3.list_objects_v2(Bucket=workflow.bucket, Prefix=place)["Contents"]
    bodies = [workflow.s3.get_object(Bucket=workflow.bucket, Key=each["Key"])["Body"].read() for each in found]
    records = [json.loads(line)["captureData"] for body in bodies for line in body.splitlines()]
    captured = {record["endpointInput"]["data"]: json.loads(record["endpointOutput"]["data"]) for record in records}
    part = f"{invoices_kind(live['run'])}/part-00000"
    told = pd.read_parquet(io.BytesIO(workflow.read(run, f"scores/{part}.parquet")))
    answered = captured[workflow.read(run, f"features/{part}.csv").decode()]["scores"]
    assert [each["score"] for each in answered] == told["score"].tolist()
    assert len(captured) > 1, "what explains a line is asked as well"


def test_a_shadow_is_compared_by_what_was_captured(workflow, live, make, job):
    assert "no shadow variant" in make("report")[1]
    assert make("shadow", "--job", job)[0] == 0
    assert "nothing was captured of both yet" in make("report")[1]
    run = score(workflow)
    time.sleep(0.5)  # the shadow answers in the background
    status, told = make("report")
    assert status == 0, told
    found = dict(line.split(maxsplit=1) for line in told.splitlines()[1:] if not line[0].isdigit())
    lines = workflow.read(run, parts_of(workflow)).count(b"\n")
    assert int(found["lines"]) >= lines > 0
    flags = [int(found[name]) for name in ("both", "only_live", "only_challenger")]
    assert float(found["agreement"]) == pytest.approx(1 - (flags[1] + flags[2]) / int(found["lines"]))
    assert 0.5 < float(found["rank_correlation"]) < 1
    assert settled(workflow, live["endpoint_name"])["ShadowProductionVariants"][0]["VariantName"] == "challenger"


def test_a_canary_moves_to_the_other_forest(workflow, live, make, job):
    status, told = make("shift", "--job", job, "--type", "canary", "--size", "50", "--wait", "0")
    assert status == 0, told
    found = settled(workflow, live["endpoint_name"])
    config = workflow.sagemaker.describe_endpoint_config(EndpointConfigName=found["EndpointConfigName"])
    assert config["ProductionVariants"][0]["ModelName"] in current(workflow)["beside"]
    assert found["LastDeploymentConfig"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"] == "CANARY"
    assert clear(workflow) == []
    assert score(workflow)


def test_an_alarm_rolls_a_shift_back(workflow, live, make, job):
    cloudwatch = workflow.cloud.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="invocation-errors", Namespace="AWS/SageMaker", MetricName="Invocation5XXErrors", Statistic="Sum",
        Period=60, EvaluationPeriods=1, Threshold=0, ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )  # fmt: skip
    cloudwatch.set_alarm_state(AlarmName="invocation-errors", StateValue="ALARM", StateReason="as the test wants")
    before = settled(workflow, live["endpoint_name"])["EndpointConfigName"]
    status, told = make(
        "shift", "--job", job, "--type", "linear", "--size", "50", "--wait", "60", "--alarm", "invocation-errors"
    )
    assert status == 1
    assert "the update was rolled back" in told
    assert "invocation-errors" in told
    assert settled(workflow, live["endpoint_name"])["EndpointConfigName"] == before


def test_forests_of_other_features_are_refused(workflow, live, make, job):
    like = workflow.sagemaker.describe_training_job(TrainingJobName=job)
    channel = like["InputDataConfig"][0]
    source = channel["DataSource"]["S3DataSource"]
    other = source | {"S3Uri": source["S3Uri"].replace("/train/", "/validation/")}
    members = ("RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition", "HyperParameters")
    image = {name: like["AlgorithmSpecification"][name] for name in ("TrainingImage", "TrainingInputMode")}
    workflow.sagemaker.create_training_job(
        TrainingJobName="other",
        AlgorithmSpecification=image,
        InputDataConfig=[channel | {"DataSource": {"S3DataSource": other}}],
        **{member: like[member] for member in members},
    )
    for action in (["split", "--weight", "10"], ["shadow"], ["shift"]):
        status, told = make(*action, "--job", "other")
        assert status == 1
        assert "variants must share the live run's features" in told
