"""Variants by weight, shadow variants, data capture, and updates that move the traffic step by step."""

import base64
import json
import threading
import time
import uuid
from collections import Counter
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from local.sagemaker import deployments, endpoints

from .clients import BUCKET, SageMaker, client, csv_of, wait_for

ORIGIN = np.zeros((1, 2))
INSTANCES: dict[str, Any] = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 2}


@pytest.fixture(scope="module")
def shifted(sagemaker: SageMaker, normal_rows: np.ndarray) -> str:
    """The artifact of a forest that finds the origin strange."""
    return sagemaker.train(sagemaker.put(normal_rows + 50))["ModelArtifacts"]["S3ModelArtifacts"]


@pytest.fixture(scope="module")
def models(sagemaker: SageMaker, artifact: str, shifted: str) -> tuple[str, str]:
    return sagemaker.model(artifact), sagemaker.model(shifted)


@pytest.fixture
def cloudwatch(s3_url: str) -> Any:
    return client("cloudwatch", s3_url)


def variant(name: str, model: str, weight: float = 1.0, **changes: Any) -> dict[str, Any]:
    return {"VariantName": name, "ModelName": model, "InitialVariantWeight": weight, **INSTANCES, **changes}


def config(sagemaker: SageMaker, *variants: dict[str, Any], **members: Any) -> str:
    name = f"config-{uuid.uuid4().hex}"
    sagemaker.control.create_endpoint_config(EndpointConfigName=name, ProductionVariants=list(variants), **members)
    return name


def answered_by(sagemaker: SageMaker, endpoint: str, times: int, target: str | None = None) -> Counter[str]:
    more = {"TargetVariant": target} if target else {}
    return Counter(
        sagemaker.runtime.invoke_endpoint(EndpointName=endpoint, ContentType="text/csv", Body=b"0,0", **more)[
            "InvokedProductionVariant"
        ]
        for _ in range(times)
    )


def test_traffic_is_split_by_weight_and_shifted_by_an_operation(
    sagemaker: SageMaker, models: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = sagemaker.endpoint(config(sagemaker, variant("old", models[0], 9), variant("new", models[1], 1)))
    assert 5 < answered_by(sagemaker, name, 200)["new"] < 45  # 20 expected, 3.5 standard deviations either side
    assert answered_by(sagemaker, name, 5, "new") == {"new": 5}

    monkeypatch.setattr(endpoints, "DEPLOY_SECONDS", 0.5)
    wanted = [
        {"VariantName": "old", "DesiredWeight": 0},
        {"VariantName": "new", "DesiredWeight": 2.5, "DesiredInstanceCount": 3},
    ]
    control = sagemaker.control
    control.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=wanted)
    assert control.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Updating"
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        control.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=wanted)
    old, new = sagemaker.settled(name)["ProductionVariants"]
    assert (old["CurrentWeight"], new["CurrentWeight"]) == (0, 2.5)
    assert (old["CurrentInstanceCount"], new["CurrentInstanceCount"]) == (2, 3)
    assert answered_by(sagemaker, name, 50) == {"new": 50}
    assert sagemaker.scores(name, ORIGIN)[0] > 2


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ([("other", 1)], r'"other" is/are not present within endpoint configuration'),
        ([("old", 1), ("old", 2)], "names a variant twice"),
        ([("old", 0), ("new", 0)], "weight above 0"),
        ([("old", -1)], "greater than or equal to 0"),
    ],
)
def test_weights_that_cannot_be(
    sagemaker: SageMaker, models: tuple[str, str], wanted: list[tuple[str, float]], reason: str
) -> None:
    name = sagemaker.endpoint(config(sagemaker, variant("old", models[0]), variant("new", models[1])))
    asked = [{"VariantName": each, "DesiredWeight": weight} for each, weight in wanted]
    with pytest.raises(ClientError, match=reason) as refused:
        sagemaker.control.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=asked)
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert [each["CurrentWeight"] for each in sagemaker.settled(name)["ProductionVariants"]] == [1, 1]


def capture(place: str, **changes: Any) -> dict[str, Any]:
    return {
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{BUCKET}/{place}",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
    } | changes


def captured(sagemaker: SageMaker, place: str) -> dict[str, list[dict[str, Any]]]:
    """The records of each variant."""
    found: dict[str, list[dict[str, Any]]] = {}
    for each in sagemaker.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{place}/").get("Contents", []):
        endpoint, name, *when, file = each["Key"].removeprefix(f"{place}/").split("/")
        assert endpoint.startswith("endpoint-")
        assert [len(part) for part in when] == [4, 2, 2, 2]
        assert file.endswith(".jsonl")
        body = sagemaker.s3.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read().decode()
        found.setdefault(name, []).extend(json.loads(line) for line in body.splitlines())
    return found


def test_a_shadow_answers_into_the_capture_only(sagemaker: SageMaker, models: tuple[str, str]) -> None:
    place = f"capture/{uuid.uuid4().hex}"
    shadow = [variant("shadow", models[1])]
    name = sagemaker.endpoint(
        config(
            sagemaker,
            variant("production", models[0]),
            ShadowProductionVariants=shadow,
            DataCaptureConfig=capture(place),
        )
    )
    described = sagemaker.control.describe_endpoint(EndpointName=name)
    assert [each["VariantName"] for each in described["ShadowProductionVariants"]] == ["shadow"]
    assert described["DataCaptureConfig"]["CaptureStatus"] == "Started"
    rows = np.array([[0.0, 0.0], [3.0, 3.0]])
    answer = sagemaker.runtime.invoke_endpoint(
        EndpointName=name, ContentType="text/csv", Body=csv_of(rows), InferenceId="one"
    )
    assert answer["InvokedProductionVariant"] == "production"
    scores = [each["score"] for each in json.loads(answer["Body"].read())["scores"]]
    found = wait_for(lambda: len(records := captured(sagemaker, place)) == 2 and records)
    ((production,), (other,)) = found["production"], found["shadow"]
    for record in (production, other):
        asked, given = record["captureData"]["endpointInput"], record["captureData"]["endpointOutput"]
        assert asked == {
            "observedContentType": "text/csv", "mode": "INPUT", "data": csv_of(rows).decode(), "encoding": "CSV",
        }  # fmt: skip
        assert (given["observedContentType"], given["mode"], given["encoding"]) == (
            "application/json",
            "OUTPUT",
            "JSON",
        )
        assert record["eventMetadata"]["inferenceId"] == "one"
        assert record["eventVersion"] == "0"
    told = [each["score"] for each in json.loads(production["captureData"]["endpointOutput"]["data"])["scores"]]
    theirs = [each["score"] for each in json.loads(other["captureData"]["endpointOutput"]["data"])["scores"]]
    assert told == scores
    assert theirs[0] > scores[0] + 1


def test_the_shadow_gets_the_share_of_its_weight(sagemaker: SageMaker, models: tuple[str, str]) -> None:
    place = f"capture/{uuid.uuid4().hex}"
    name = sagemaker.endpoint(
        config(
            sagemaker,
            variant("production", models[0], 1),
            ShadowProductionVariants=[variant("shadow", models[1], 0.25)],
            DataCaptureConfig=capture(place),
        )
    )
    answered_by(sagemaker, name, 120)
    time.sleep(0.3)
    found = captured(sagemaker, place)
    assert len(found["production"]) == 120
    assert 12 < len(found["shadow"]) < 50  # 30 expected


@pytest.mark.parametrize(
    ("changes", "least", "most"),
    [
        ({"InitialSamplingPercentage": 0}, 0, 0),
        ({"InitialSamplingPercentage": 30}, 10, 50),
        ({"EnableCapture": False}, 0, 0),
    ],
)
def test_a_sample_is_captured(
    sagemaker: SageMaker, models: tuple[str, str], changes: dict[str, Any], least: int, most: int
) -> None:
    place = f"capture/{uuid.uuid4().hex}"
    name = sagemaker.endpoint(
        config(sagemaker, variant("only", models[0]), DataCaptureConfig=capture(place, **changes))
    )
    answered_by(sagemaker, name, 100)
    assert least <= len(captured(sagemaker, place).get("only", [])) <= most


def test_what_no_header_names_is_captured_as_base64(sagemaker: SageMaker, models: tuple[str, str]) -> None:
    place = f"capture/{uuid.uuid4().hex}"
    asked = capture(place, CaptureOptions=[{"CaptureMode": "Input"}])
    del asked["CaptureContentTypeHeader"]
    name = sagemaker.endpoint(config(sagemaker, variant("only", models[0]), DataCaptureConfig=asked))
    answered_by(sagemaker, name, 1)
    ((record,),) = captured(sagemaker, place).values()
    assert set(record["captureData"]) == {"endpointInput"}
    assert record["captureData"]["endpointInput"]["encoding"] == "BASE64"
    assert base64.b64decode(record["captureData"]["endpointInput"]["data"]) == b"0,0"


def test_shadows_and_captures_that_cannot_be(sagemaker: SageMaker, models: tuple[str, str]) -> None:
    one, two = variant("a", models[0]), variant("b", models[1])
    serverless = {
        "VariantName": "s", "ModelName": models[0], "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5},
    }  # fmt: skip
    twice = [{"CaptureMode": "Input"}, {"CaptureMode": "Input"}]
    for variants, members, reason in (
        ([one, two], {"ShadowProductionVariants": [variant("c", models[0])]}, "only one production and one shadow"),
        ([one], {"ShadowProductionVariants": [two, variant("c", models[0])]}, "only one production and one shadow"),
        ([one], {"ShadowProductionVariants": [variant("a", models[0])]}, "must be unique"),
        ([one], {"ShadowProductionVariants": [serverless]}, "do not support ShadowProductionVariants"),
        ([one], {"DataCaptureConfig": capture("x", DestinationS3Uri="https://x/y")}, "is not an s3:// URI"),
        ([one], {"DataCaptureConfig": capture("x", CaptureOptions=twice)}, "names a CaptureMode twice"),
        ([one], {"DataCaptureConfig": capture("x", InitialSamplingPercentage=101)}, "less than or equal to 100"),
    ):
        with pytest.raises(ClientError, match=reason):
            config(sagemaker, *variants, **members)


def blue_green(kind: str, wait: int = 1, alarms: tuple[str, ...] = (), ends: int = 0, **size: Any) -> dict[str, Any]:
    routing = {"Type": kind, "WaitIntervalInSeconds": wait} | size
    policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": ends}
    rollback = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarms]}} if alarms else {}
    return {"BlueGreenUpdatePolicy": policy, **rollback}


def percent(value: int) -> dict[str, Any]:
    return {"Type": "CAPACITY_PERCENT", "Value": value}


@pytest.fixture
def fleets(sagemaker: SageMaker, models: tuple[str, str]) -> tuple[str, str]:
    """A serving endpoint, and the configuration of another model to update it to."""
    old, new = (config(sagemaker, variant("v", model)) for model in models)
    return sagemaker.endpoint(old), new


def share_of_new(sagemaker: SageMaker, name: str, times: int = 60) -> float:
    """Of the invocations now, those that the new model answers."""
    return float(np.mean([sagemaker.scores(name, ORIGIN)[0] > 2 for _ in range(times)]))


@pytest.mark.parametrize(
    ("deployment", "steps"),
    [
        (blue_green("ALL_AT_ONCE"), [1.0]),
        (blue_green("CANARY", CanarySize=percent(20)), [0.2, 1.0]),
        (blue_green("CANARY", CanarySize={"Type": "INSTANCE_COUNT", "Value": 1}), [0.25, 1.0]),
        (blue_green("LINEAR", LinearStepSize=percent(40)), [0.4, 0.8, 1.0]),
        (blue_green("LINEAR", LinearStepSize=percent(50)), [0.5, 1.0]),
        (blue_green("LINEAR", LinearStepSize={"Type": "INSTANCE_COUNT", "Value": 1}), [0.25, 0.5, 0.75, 1.0]),
        ({}, [1.0]),
    ],
)
def test_the_steps_are_those_of_the_policy(deployment: dict[str, Any], steps: list[float]) -> None:
    fleet = {"ProductionVariants": [{"InitialInstanceCount": 3}, {"InitialInstanceCount": 1}]}
    assert list(deployments.shares(deployment, fleet)) == steps


@pytest.mark.parametrize(
    ("deployment", "share"),
    [
        (blue_green("ALL_AT_ONCE", ends=4), 1.0),
        (blue_green("CANARY", wait=4, CanarySize=percent(20)), 0.2),
        (blue_green("LINEAR", wait=4, LinearStepSize=percent(50)), 0.5),
    ],
    ids=["all at once", "canary", "linear"],
)
def test_traffic_moves_while_the_update_goes_on(
    sagemaker: SageMaker, fleets: tuple[str, str], deployment: dict[str, Any], share: float
) -> None:
    name, new = fleets
    assert share_of_new(sagemaker, name, 5) == 0
    sagemaker.control.update_endpoint(EndpointName=name, EndpointConfigName=new, DeploymentConfig=deployment)
    described = wait_for(lambda: "PendingDeploymentSummary" in (d := describe(sagemaker, name)) and d)
    assert described["EndpointStatus"] == "Updating"
    assert described["PendingDeploymentSummary"]["EndpointConfigName"] == new
    time.sleep(0.1)
    found = share_of_new(sagemaker, name)
    assert describe(sagemaker, name)["EndpointStatus"] == "Updating", "the machine is too slow for this test"
    assert abs(found - share) <= 4 * np.sqrt(share * (1 - share) / 60)
    ended = sagemaker.settled(name)
    assert (ended["EndpointStatus"], ended["EndpointConfigName"]) == ("InService", new)
    assert ended["LastDeploymentConfig"] == deployment
    assert "PendingDeploymentSummary" not in ended
    assert share_of_new(sagemaker, name, 5) == 1


def describe(sagemaker: SageMaker, name: str) -> dict[str, Any]:
    return sagemaker.control.describe_endpoint(EndpointName=name)


def put_alarm(cloudwatch: Any, state: str = "OK") -> str:
    name = f"alarm-{uuid.uuid4().hex}"
    cloudwatch.put_metric_alarm(
        AlarmName=name, Namespace="Tests", MetricName="Errors", Statistic="Sum", Period=60, EvaluationPeriods=1,
        Threshold=1, ComparisonOperator="GreaterThanOrEqualToThreshold", TreatMissingData="notBreaching",
    )  # fmt: skip
    cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="as the test wants")
    return name


@pytest.mark.parametrize("when", ["canary", "termination"])
def test_an_alarm_rolls_the_update_back(
    sagemaker: SageMaker, fleets: tuple[str, str], cloudwatch: Any, when: str
) -> None:
    name, new = fleets
    old, alarm = describe(sagemaker, name)["EndpointConfigName"], put_alarm(cloudwatch)
    waits = {"wait": 30} if when == "canary" else {"wait": 0, "ends": 30}
    deployment = blue_green("CANARY", alarms=(alarm,), CanarySize=percent(50), **waits)
    sagemaker.control.update_endpoint(EndpointName=name, EndpointConfigName=new, DeploymentConfig=deployment)
    wait_for(lambda: share_of_new(sagemaker, name, 8) > 0)
    assert describe(sagemaker, name)["EndpointStatus"] == "Updating"
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.add(describe(sagemaker, name)["EndpointStatus"])
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="as the test wants")
    ended = wait_for(lambda: (d := describe(sagemaker, name))["EndpointStatus"] == "InService" and d)
    done.set()
    watcher.join()
    assert "RollingBack" in seen
    assert ended["EndpointConfigName"] == old
    assert alarm in ended["FailureReason"]
    assert share_of_new(sagemaker, name, 20) == 0


def test_an_alarm_that_is_off_lets_the_update_through(
    sagemaker: SageMaker, fleets: tuple[str, str], cloudwatch: Any
) -> None:
    name, new = fleets
    deployment = blue_green("CANARY", alarms=(put_alarm(cloudwatch),), wait=0, CanarySize=percent(10))
    sagemaker.control.update_endpoint(EndpointName=name, EndpointConfigName=new, DeploymentConfig=deployment)
    assert sagemaker.settled(name)["EndpointConfigName"] == new


@pytest.mark.parametrize(
    ("deployment", "reason"),
    [
        (blue_green("CANARY"), "needs CanarySize"),
        (blue_green("LINEAR"), "needs LinearStepSize"),
        (blue_green("ALL_AT_ONCE", CanarySize=percent(10)), "takes no CanarySize"),
        (blue_green("LINEAR", LinearStepSize=percent(10), CanarySize=percent(10)), "takes no CanarySize"),
        (blue_green("CANARY", CanarySize=percent(51)), "from 1 to 50 percent"),
        (blue_green("LINEAR", LinearStepSize=percent(9)), "from 10 to 50 percent"),
        (blue_green("CANARY", CanarySize={"Type": "INSTANCE_COUNT", "Value": 2}), "more than half"),
        (blue_green("ALL_AT_ONCE", wait=3601), "less than or equal to 3600"),
        (blue_green("SUDDENLY"), "satisfy enum value set"),
        (blue_green("ALL_AT_ONCE", alarms=("nobody-made-it",)), "alarms that do not exist: nobody-made-it"),
        (
            {"RollingUpdatePolicy": {"MaximumBatchSize": percent(10), "WaitIntervalInSeconds": 0}},
            "BlueGreenUpdatePolicy",
        ),
    ],
)
def test_deployments_that_cannot_be(
    sagemaker: SageMaker, fleets: tuple[str, str], deployment: dict[str, Any], reason: str
) -> None:
    name, new = fleets
    with pytest.raises(ClientError, match=reason) as refused:
        sagemaker.control.update_endpoint(EndpointName=name, EndpointConfigName=new, DeploymentConfig=deployment)
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert describe(sagemaker, name)["EndpointStatus"] == "InService"


def test_serverless_has_no_guardrails(sagemaker: SageMaker, models: tuple[str, str]) -> None:
    name, new = sagemaker.endpoint(sagemaker.config(models[0])), sagemaker.config(models[1])
    with pytest.raises(ClientError, match="not supported for serverless"):
        sagemaker.control.update_endpoint(
            EndpointName=name, EndpointConfigName=new, DeploymentConfig=blue_green("ALL_AT_ONCE")
        )
