"""Multi-model endpoints: several forests behind one, told by TargetModel and loaded when they are first asked for."""

import json
import uuid
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from .clients import BUCKET, IMAGE, ROLE, SageMaker, csv_of

ROWS = np.array([[0.0, 0.0], [9.0, -9.0], [100.0, 100.0]])


@pytest.fixture(scope="module")
def far_artifact(sagemaker: SageMaker) -> str:
    """A forest of rows around (100, 100)."""
    rows = 100 + np.random.default_rng(2).normal(size=(5000, 2))
    return sagemaker.train(sagemaker.put(rows))["ModelArtifacts"]["S3ModelArtifacts"]


@pytest.fixture
def prefix() -> str:
    return f"multi/{uuid.uuid4().hex}/"


def model(sagemaker: SageMaker, url: str, mode: str = "MultiModel") -> str:
    name = f"multi-{uuid.uuid4().hex}"
    container = {"Image": IMAGE, "ModelDataUrl": url, "Mode": mode}
    sagemaker.control.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    return name


@pytest.fixture
def shared(sagemaker: SageMaker, prefix: str) -> str:
    """An endpoint over a prefix that holds nothing yet."""
    instances: dict[str, Any] = {"ServerlessConfig": None, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    return sagemaker.endpoint(sagemaker.config(model(sagemaker, f"s3://{BUCKET}/{prefix}"), **instances))


def place(sagemaker: SageMaker, prefix: str, artifact: str, name: str) -> str:
    source = {"Bucket": BUCKET, "Key": artifact.removeprefix(f"s3://{BUCKET}/")}
    sagemaker.s3.copy_object(Bucket=BUCKET, Key=prefix + name, CopySource=source)
    return name


def scores(sagemaker: SageMaker, endpoint: str, target: str) -> list[float]:
    answer = sagemaker.runtime.invoke_endpoint(
        EndpointName=endpoint, ContentType="text/csv", Body=csv_of(ROWS), TargetModel=target
    )
    return [each["score"] for each in json.loads(answer["Body"].read())["scores"]]


def refused(sagemaker: SageMaker, endpoint: str, **more: str) -> dict[str, Any]:
    with pytest.raises(ClientError) as error:
        sagemaker.runtime.invoke_endpoint(EndpointName=endpoint, ContentType="text/csv", Body=csv_of(ROWS), **more)
    return error.value.response["Error"]


def test_each_target_is_scored_by_its_own_forest(
    sagemaker: SageMaker, shared: str, prefix: str, artifact: str, far_artifact: str, serving: str
) -> None:
    assert sagemaker.control.describe_endpoint(EndpointName=shared)["EndpointStatus"] == "InService"
    near, far = (place(sagemaker, prefix, each, f"{place_}.tar.gz") for place_, each in
                 (("near", artifact), ("below/far", far_artifact)))  # fmt: skip
    assert scores(sagemaker, shared, near) == sagemaker.scores(serving, ROWS)
    found = scores(sagemaker, shared, far)
    assert found[2] < 1 < found[0]


def test_a_model_is_added_while_the_endpoint_serves_and_served_from_memory_once_it_is_deleted(
    sagemaker: SageMaker, shared: str, prefix: str, artifact: str
) -> None:
    error = refused(sagemaker, shared, TargetModel="late.tar.gz")
    assert error["Code"] == "ValidationError"
    assert f"Failed to download model data(bucket: {BUCKET}, key: {prefix}late.tar.gz)" in error["Message"]
    place(sagemaker, prefix, artifact, "late.tar.gz")
    expected = scores(sagemaker, shared, "late.tar.gz")
    sagemaker.s3.delete_object(Bucket=BUCKET, Key=f"{prefix}late.tar.gz")
    assert scores(sagemaker, shared, "late.tar.gz") == expected
    for number in range(9):  # others take its place in memory
        scores(sagemaker, shared, place(sagemaker, prefix, artifact, f"{number}.tar.gz"))
    assert "Failed to download" in refused(sagemaker, shared, TargetModel="late.tar.gz")["Message"]


def test_an_archive_without_a_forest_is_not_ready(sagemaker: SageMaker, shared: str, prefix: str) -> None:
    sagemaker.s3.put_object(Bucket=BUCKET, Key=f"{prefix}broken.tar.gz", Body=b"x")
    assert refused(sagemaker, shared, TargetModel="broken.tar.gz")["Code"] == "ModelNotReadyException"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({}, "is a multi-model endpoint and needs the target model header"),
        ({"TargetModel": "model"}, "is not the relative path of an archive"),
        ({"TargetModel": "../other/model.tar.gz"}, "is not the relative path of an archive"),
    ],
)
def test_the_target_must_be_an_archive_below_the_prefix(
    sagemaker: SageMaker, shared: str, more: dict[str, str], message: str
) -> None:
    error = refused(sagemaker, shared, **more)
    assert (error["Code"], message in error["Message"]) == ("ValidationError", True)


def test_an_endpoint_of_one_model_takes_no_target(sagemaker: SageMaker, serving: str) -> None:
    error = refused(sagemaker, serving, TargetModel="model.tar.gz")
    assert "is not a multi-model endpoint and does not support target model header" in error["Message"]


def test_what_cannot_be_hosted_so_is_refused(sagemaker: SageMaker, prefix: str, artifact: str) -> None:
    with pytest.raises(ClientError, match="must be an S3 prefix that ends in /"):
        model(sagemaker, artifact)
    with pytest.raises(ClientError, match="Could not find model data"):
        model(sagemaker, f"s3://{BUCKET}/{prefix}", "SingleModel")
    with pytest.raises(ClientError, match="Serverless endpoints do not support multi-model containers"):
        sagemaker.config(model(sagemaker, f"s3://{BUCKET}/{prefix}"))
    many = model(sagemaker, f"s3://{BUCKET}/{prefix}")
    variant = {"VariantName": "x", "ModelName": many, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    with pytest.raises(ClientError, match="Asynchronous endpoints do not support multi-model containers"):
        sagemaker.control.create_endpoint_config(
            EndpointConfigName=f"config-{uuid.uuid4().hex}",
            ProductionVariants=[variant],
            AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": f"s3://{BUCKET}/out"}},
        )
    with pytest.raises(ClientError, match="Batch Transform does not support multi-model containers"):
        sagemaker.control.create_transform_job(
            TransformJobName=f"job-{uuid.uuid4().hex}",
            ModelName=many,
            TransformInput={"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/in"}}},
            TransformOutput={"S3OutputPath": f"s3://{BUCKET}/out"},
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        )
