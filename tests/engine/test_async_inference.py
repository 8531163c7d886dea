"""Asynchronous endpoints: queue, answers and failures in S3, topics, limits, and scaling to zero and back."""

import json
import uuid
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from local.sagemaker import asynchronous

from .clients import BUCKET, SageMaker, csv_of, wait_for

INSTANCES: dict[str, Any] = {"ServerlessConfig": None, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
DIMENSION = "sagemaker:variant:DesiredInstanceCount"


@pytest.fixture(scope="module")
def topics(sns: Any, sqs: Any) -> dict[str, tuple[str, str]]:
    """SuccessTopic and ErrorTopic: the ARN, and the queue that hears of it."""
    found = {}
    for name in ("SuccessTopic", "ErrorTopic"):
        arn, queue = sns.create_topic(Name=name)["TopicArn"], sqs.create_queue(QueueName=name)["QueueUrl"]
        told = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=told)
        found[name] = arn, queue
    return found


@pytest.fixture(scope="module")
def queued(sagemaker: SageMaker, artifact: str, topics: dict[str, tuple[str, str]]) -> str:
    """An asynchronous endpoint of `artifact` on one instance."""
    return asynchronous_endpoint(sagemaker, artifact, {name: arn for name, (arn, _) in topics.items()})


def asynchronous_endpoint(sagemaker: SageMaker, artifact: str, notify: dict[str, str]) -> str:
    name = f"async-{uuid.uuid4().hex}"
    output = {"S3OutputPath": f"s3://{BUCKET}/answers/{name}", "S3FailurePath": f"s3://{BUCKET}/failures/{name}"}
    variant = {"VariantName": "forest", "ModelName": sagemaker.model(artifact)} | INSTANCES
    del variant["ServerlessConfig"]
    sagemaker.control.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[variant],
        AsyncInferenceConfig={"OutputConfig": output | {"NotificationConfig": notify}},
    )
    return sagemaker.endpoint(name)


def send(sagemaker: SageMaker, endpoint: str, body: bytes, **more: Any) -> dict[str, Any]:
    place = f"{sagemaker.put(body)}part-0.csv"
    return sagemaker.runtime.invoke_endpoint_async(
        EndpointName=endpoint, InputLocation=place, ContentType="text/csv", Accept="application/json", **more
    )


def read(sagemaker: SageMaker, uri: str) -> bytes | None:
    try:
        return sagemaker.s3.get_object(Bucket=BUCKET, Key=uri.removeprefix(f"s3://{BUCKET}/"))["Body"].read()
    except ClientError:
        return None


def told(sqs: Any, queue: str, inference: str) -> dict[str, Any]:
    """What the topic was told of an inference."""

    def found() -> dict[str, Any] | None:
        for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=0).get(
            "Messages", []
        ):
            said = json.loads(json.loads(message["Body"])["Message"])
            if said["inferenceId"] == inference:
                return said
        return None

    return wait_for(found)


def instances(sagemaker: SageMaker, endpoint: str) -> int:
    (variant,) = sagemaker.control.describe_endpoint(EndpointName=endpoint)["ProductionVariants"]
    return variant["CurrentInstanceCount"]


def test_a_request_is_answered_in_s3_as_a_direct_one_would_be(
    sagemaker: SageMaker, queued: str, serving: str, normal_rows: np.ndarray, sqs: Any, topics: dict[str, Any]
) -> None:
    rows = normal_rows[:200]
    accepted = send(sagemaker, queued, csv_of(rows))

    assert accepted["ResponseMetadata"]["HTTPStatusCode"] == 202
    answer = json.loads(wait_for(lambda: read(sagemaker, accepted["OutputLocation"])))
    assert [each["score"] for each in answer["scores"]] == sagemaker.scores(serving, rows)
    said = told(sqs, topics["SuccessTopic"][1], accepted["InferenceId"])
    assert said["invocationStatus"] == "Completed"
    assert said["requestParameters"]["endpointName"] == queued
    assert said["responseParameters"]["outputLocation"] == accepted["OutputLocation"]
    assert read(sagemaker, accepted["FailureLocation"]) is None


@pytest.mark.parametrize(
    ("body", "why"), [(b"a,b\n", "Received client error"), (b"1,2,3\n", "Received client error")], ids=["text", "dim"]
)
def test_what_the_model_refuses_is_told_in_s3_and_on_the_error_topic(
    sagemaker: SageMaker, queued: str, sqs: Any, topics: dict[str, Any], body: bytes, why: str
) -> None:
    accepted = send(sagemaker, queued, body)

    assert why in wait_for(lambda: read(sagemaker, accepted["FailureLocation"])).decode()
    said = told(sqs, topics["ErrorTopic"][1], accepted["InferenceId"])
    assert (said["invocationStatus"], why in said["failureReason"]) == ("Failed", True)
    assert read(sagemaker, accepted["OutputLocation"]) is None


def test_an_input_that_is_missing_or_too_large_fails(
    sagemaker: SageMaker, queued: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = sagemaker.runtime.invoke_endpoint_async(EndpointName=queued, InputLocation=f"s3://{BUCKET}/nothing")
    assert wait_for(lambda: read(sagemaker, gone["FailureLocation"]))
    monkeypatch.setattr(asynchronous, "LARGEST_INPUT", 3)
    large = send(sagemaker, queued, b"0.5,0.5\n")
    assert b"larger than 1 GB" in wait_for(lambda: read(sagemaker, large["FailureLocation"]))


def test_a_fault_that_a_test_ordered_fails_one_request(sagemaker: SageMaker, queued: str) -> None:
    sagemaker.own_path("POST", "/_faults", {"target": "AsyncInvocation", "error": "x", "message": "out of luck"})
    first = send(sagemaker, queued, b"0,0\n")
    assert wait_for(lambda: read(sagemaker, first["FailureLocation"])) == b"out of luck"
    second = send(sagemaker, queued, b"0,0\n")
    assert wait_for(lambda: read(sagemaker, second["OutputLocation"]))


@pytest.mark.parametrize(
    ("name", "value"),
    [("InvocationTimeoutSeconds", 3601), ("InvocationTimeoutSeconds", 0), ("RequestTTLSeconds", 59)],
)
def test_limits_are_sagemakers(sagemaker: SageMaker, queued: str, name: str, value: int) -> None:
    with pytest.raises(ClientError, match=f"{name} must be between"):
        send(sagemaker, queued, b"0,0\n", **{name: value})


def test_each_kind_of_endpoint_takes_its_own_invocations_only(sagemaker: SageMaker, queued: str, serving: str) -> None:
    with pytest.raises(ClientError, match="takes asynchronous invocations only"):
        sagemaker.scores(queued, np.zeros((1, 2)))
    with pytest.raises(ClientError, match="does not support asynchronous inference"):
        send(sagemaker, serving, b"0,0\n")
    with pytest.raises(ClientError, match="not found") as refused:
        send(sagemaker, "nobody", b"0,0\n")
    assert refused.value.response["Error"]["Code"] == "ValidationError"


def test_serverless_and_several_variants_cannot_be_asynchronous(sagemaker: SageMaker, artifact: str) -> None:
    output = {"OutputConfig": {"S3OutputPath": f"s3://{BUCKET}/x"}}
    model = sagemaker.model(artifact)
    on_instances = {"ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    serverless = {"ModelName": model, "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}}
    for variants, config, why in (
        ([serverless | {"VariantName": "a"}], output, "do not support AsyncInferenceConfig"),
        ([on_instances | {"VariantName": name} for name in "ab"], output, "one production variant only"),
        ([on_instances | {"VariantName": "a"}], {"OutputConfig": {}}, "needs S3OutputPath"),
    ):
        with pytest.raises(ClientError, match=why):
            sagemaker.control.create_endpoint_config(
                EndpointConfigName=f"c-{uuid.uuid4().hex}", ProductionVariants=variants, AsyncInferenceConfig=config
            )


def test_an_idle_endpoint_goes_to_zero_and_comes_back_when_something_waits(
    sagemaker: SageMaker, artifact: str, scaling: Any, cloudwatch: Any
) -> None:
    name = asynchronous_endpoint(sagemaker, artifact, {})
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{name}/variant/forest",
        "ScalableDimension": DIMENSION,
    }
    scaling.register_scalable_target(**target, MinCapacity=0, MaxCapacity=3)
    metric = {
        "MetricName": "ApproximateBacklogSizePerInstance",
        "Namespace": "AWS/SageMaker",
        "Dimensions": [{"Name": "EndpointName", "Value": name}],
        "Statistic": "Average",
    }
    tracking = {"TargetValue": 5.0, "CustomizedMetricSpecification": metric, "ScaleInCooldown": 60}
    scaling.put_scaling_policy(
        **target,
        PolicyName="backlog",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=tracking,
    )
    wait_for(lambda: instances(sagemaker, name) == 0)

    # Nothing wakes it before somebody says what does.
    waiting = send(sagemaker, name, b"0,0\n")
    steps = {
        "AdjustmentType": "ChangeInCapacity",
        "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
    }
    wake = scaling.put_scaling_policy(
        **target, PolicyName="wake", PolicyType="StepScaling", StepScalingPolicyConfiguration=steps
    )
    assert instances(sagemaker, name) == 0
    assert read(sagemaker, waiting["OutputLocation"]) is None
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        AlarmActions=[wake["PolicyARN"]],
        Namespace="AWS/SageMaker",
        MetricName="HasBacklogWithoutCapacity",
        Dimensions=[{"Name": "EndpointName", "Value": name}],
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
    )
    assert json.loads(wait_for(lambda: read(sagemaker, waiting["OutputLocation"])))["scores"]
    wait_for(lambda: instances(sagemaker, name) == 0)
    scaling.deregister_scalable_target(**target)
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[target["ResourceId"]])[
        "ScalableTargets"
    ] == []  # fmt: skip


def test_a_queue_dies_with_its_endpoint(sagemaker: SageMaker, artifact: str) -> None:
    name = asynchronous_endpoint(sagemaker, artifact, {})
    sagemaker.control.delete_endpoint(EndpointName=name)
    with pytest.raises(ClientError, match="not found"):
        send(sagemaker, name, b"0,0\n")
