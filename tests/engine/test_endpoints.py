"""Models, endpoint configurations and endpoints: their life and their refusals."""

import threading
import uuid
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from local.sagemaker import endpoints

from .clients import BUCKET, IMAGE, ROLE, SageMaker

SERVERLESS: dict[str, Any] = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
INSTANCES: dict[str, Any] = {"ServerlessConfig": None, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}


@pytest.fixture
def model(sagemaker: SageMaker, artifact: str) -> str:
    return sagemaker.model(artifact)


def key_of(artifact: str) -> str:
    return artifact.removeprefix(f"s3://{BUCKET}/")


def copy_of(sagemaker: SageMaker, artifact: str) -> str:
    key = f"copies/{uuid.uuid4().hex}/model.tar.gz"
    sagemaker.s3.copy_object(Bucket=BUCKET, Key=key, CopySource={"Bucket": BUCKET, "Key": key_of(artifact)})
    return f"s3://{BUCKET}/{key}"


def test_model_config_and_endpoint_live_and_die(
    sagemaker: SageMaker, model: str, artifact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = sagemaker.control
    described = control.describe_model(ModelName=model)
    assert described["PrimaryContainer"] == {"Image": IMAGE, "ModelDataUrl": artifact}
    assert described["ModelArn"].endswith(f":model/{model}")

    config = sagemaker.config(model)
    (variant,) = control.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
    assert variant["ServerlessConfig"] == SERVERLESS

    monkeypatch.setattr(endpoints, "DEPLOY_SECONDS", 1.0)
    name = f"life-{uuid.uuid4().hex}"
    arn = control.create_endpoint(EndpointName=name, EndpointConfigName=config)["EndpointArn"]
    assert arn == f"arn:aws:sagemaker:us-east-1:000000000000:endpoint/{name}"
    assert control.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Creating"
    with pytest.raises(ClientError, match=f"Endpoint {name} of account 000000000000 not found"):
        sagemaker.runtime.invoke_endpoint(EndpointName=name, ContentType="text/csv", Body=b"0,0")
    for too_early in (
        lambda: control.update_endpoint(EndpointName=name, EndpointConfigName=sagemaker.config(model)),
        lambda: control.delete_endpoint(EndpointName=name),
    ):
        with pytest.raises(ClientError, match=f'Cannot update in-progress endpoint "{arn}"'):
            too_early()

    endpoint = sagemaker.settled(name)
    assert endpoint["EndpointStatus"] == "InService"
    assert endpoint["EndpointConfigName"] == config
    assert endpoint["ProductionVariants"][0]["CurrentServerlessConfig"] == SERVERLESS
    assert name in [each["EndpointName"] for each in control.list_endpoints(StatusEquals="InService")["Endpoints"]]
    # What an endpoint was made of may go; it serves on.
    control.delete_model(ModelName=model)
    control.delete_endpoint_config(EndpointConfigName=config)
    assert len(sagemaker.scores(name, np.zeros((3, 2)))) == 3

    control.delete_endpoint(EndpointName=name)
    for call, message in (
        (lambda: control.describe_endpoint(EndpointName=name), f'Could not find endpoint "{arn}"'),
        (lambda: control.delete_endpoint(EndpointName=name), f'Could not find endpoint "{arn}"'),
        (lambda: control.describe_endpoint_config(EndpointConfigName=config), "Could not find endpoint configuration"),
        (lambda: control.delete_endpoint_config(EndpointConfigName=config), "Could not find endpoint configuration"),
        (lambda: control.describe_model(ModelName=model), 'Could not find model "arn:aws:sagemaker:us-east-1:'),
        (lambda: control.delete_model(ModelName=model), 'Could not find model "arn:aws:sagemaker:us-east-1:'),
    ):
        with pytest.raises(ClientError, match=message) as refused:
            call()
        assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_names_are_used_once(sagemaker: SageMaker, artifact: str, serving: str) -> None:
    model = sagemaker.model(artifact)
    config = sagemaker.config(model)
    container = {"Image": IMAGE, "ModelDataUrl": artifact}
    variant = {"VariantName": "AllTraffic", "ModelName": model, "ServerlessConfig": SERVERLESS}
    with pytest.raises(ClientError, match="Cannot create already existing model"):
        sagemaker.control.create_model(ModelName=model, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    with pytest.raises(ClientError, match="Cannot create already existing endpoint configuration"):
        sagemaker.control.create_endpoint_config(EndpointConfigName=config, ProductionVariants=[variant])
    with pytest.raises(ClientError, match="Cannot create already existing endpoint "):
        sagemaker.control.create_endpoint(EndpointName=serving, EndpointConfigName=config)


@pytest.mark.parametrize(
    ("container", "reason"),
    [
        ({"Image": "nginx:1", "ModelDataUrl": "s3://b/k"}, "built-in image randomcutforest:1 only"),
        ({"Image": IMAGE}, "needs the container's ModelDataUrl"),
        ({"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/none.tar.gz"}, "Could not find model data at s3://"),
    ],
)
def test_models_that_cannot_be(sagemaker: SageMaker, container: dict[str, str], reason: str) -> None:
    with pytest.raises(ClientError, match=reason):
        sagemaker.control.create_model(ModelName="bad", ExecutionRoleArn=ROLE, PrimaryContainer=container)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ServerlessConfig": {"MemorySizeInMB": 512, "MaxConcurrency": 5}}, "greater than or equal to 1024"),
        ({"ServerlessConfig": {"MemorySizeInMB": 7168, "MaxConcurrency": 5}}, "less than or equal to 6144"),
        ({"ServerlessConfig": {"MemorySizeInMB": 1500, "MaxConcurrency": 5}}, "Valid values are 1024, 2048, 3072"),
        ({"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 0}}, "greater than or equal to 1"),
        ({"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 201}}, "less than or equal to 200"),
        ({"ServerlessConfig": SERVERLESS | {"ProvisionedConcurrency": 6}}, "ProvisionedConcurrency must be"),
        ({"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}, "either a ServerlessConfig or an InstanceType"),
        ({"ServerlessConfig": None}, "needs a ServerlessConfig, or an InstanceType"),
        ({"ServerlessConfig": None, "InstanceType": "ml.m5.large"}, "needs a ServerlessConfig, or an InstanceType"),
        (INSTANCES | {"InstanceType": "ml.t3.medium"}, "'ml.t3.medium' at 'productionVariants.1.member.instanceType'"),
        (INSTANCES | {"InstanceType": "ml.g4dn.xlarge"}, "does not support GPU instances"),
        ({"ModelName": "nobody"}, "Could not find model"),
    ],
)
def test_variants_that_cannot_be(sagemaker: SageMaker, model: str, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ClientError, match=reason) as refused:
        sagemaker.config(model, **changes)
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_what_serverless_excludes(sagemaker: SageMaker, model: str, artifact: str) -> None:
    def create(models: list[str], **members: Any) -> None:
        variants = [
            {"VariantName": f"v{place}", "ModelName": name, "ServerlessConfig": SERVERLESS}
            for place, name in enumerate(models)
        ]
        sagemaker.control.create_endpoint_config(EndpointConfigName="x", ProductionVariants=variants, **members)

    capture = {
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{BUCKET}/capture",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }
    with pytest.raises(ClientError, match="one production variant only"):
        create([model, model])
    with pytest.raises(ClientError, match="do not support DataCaptureConfig"):
        create([model], DataCaptureConfig=capture)
    with pytest.raises(ClientError, match="do not support AsyncInferenceConfig"):
        create([model], AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": f"s3://{BUCKET}/async"}})
    sagemaker.control.create_model(
        ModelName="isolated",
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": artifact},
        EnableNetworkIsolation=True,
    )
    with pytest.raises(ClientError, match="network isolation"):
        create(["isolated"])


def test_an_endpoint_without_its_artifact_fails(sagemaker: SageMaker, artifact: str) -> None:
    gone = copy_of(sagemaker, artifact)
    config = sagemaker.config(sagemaker.model(gone))
    sagemaker.s3.delete_object(Bucket=BUCKET, Key=key_of(gone))
    name = sagemaker.endpoint(config)
    endpoint = sagemaker.control.describe_endpoint(EndpointName=name)
    assert endpoint["EndpointStatus"] == "Failed"
    assert endpoint["FailureReason"].startswith(
        f'Failed to download model data for container "container_1" from URL: "{gone}"'
    )
    with pytest.raises(ClientError, match="not found"):
        sagemaker.scores(name, np.zeros((1, 2)))
    with pytest.raises(ClientError, match="Cannot update failed endpoint"):
        sagemaker.control.update_endpoint(
            EndpointName=name, EndpointConfigName=sagemaker.config(sagemaker.model(artifact))
        )
    sagemaker.control.delete_endpoint(EndpointName=name)


@pytest.mark.parametrize("foreign", [b"not a tar", b""])
def test_an_endpoint_with_a_foreign_artifact_fails(sagemaker: SageMaker, foreign: bytes) -> None:
    sagemaker.s3.put_object(Bucket=BUCKET, Key="foreign.tar.gz", Body=foreign)
    name = sagemaker.endpoint(sagemaker.config(sagemaker.model(f"s3://{BUCKET}/foreign.tar.gz")))
    endpoint = sagemaker.control.describe_endpoint(EndpointName=name)
    assert endpoint["EndpointStatus"] == "Failed"
    assert "did not pass the ping health check" in endpoint["FailureReason"]


def test_an_update_serves_the_old_model_until_the_new_one_is_ready(
    sagemaker: SageMaker, artifact: str, normal_rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    shifted = sagemaker.train(sagemaker.put(normal_rows + 50))["ModelArtifacts"]["S3ModelArtifacts"]
    old, new = sagemaker.config(sagemaker.model(artifact)), sagemaker.config(sagemaker.model(shifted))
    name = sagemaker.endpoint(old)
    origin = np.zeros((1, 2))
    (before,) = sagemaker.scores(name, origin)
    monkeypatch.setattr(endpoints, "DEPLOY_SECONDS", 1.0)
    sagemaker.control.update_endpoint(EndpointName=name, EndpointConfigName=new)
    meanwhile = sagemaker.control.describe_endpoint(EndpointName=name)
    assert (meanwhile["EndpointStatus"], meanwhile["EndpointConfigName"]) == ("Updating", old)
    assert sagemaker.scores(name, origin) == [before]
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        sagemaker.control.update_endpoint(EndpointName=name, EndpointConfigName=old)
    after = sagemaker.settled(name)
    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", new)
    assert sagemaker.scores(name, origin)[0] > before + 1
    with pytest.raises(ClientError, match="currently in use endpoint configuration"):
        sagemaker.control.update_endpoint(EndpointName=name, EndpointConfigName=new)


def test_an_update_to_a_missing_artifact_rolls_back(sagemaker: SageMaker, artifact: str) -> None:
    gone = copy_of(sagemaker, artifact)
    good, bad = sagemaker.config(sagemaker.model(artifact)), sagemaker.config(sagemaker.model(gone))
    name = sagemaker.endpoint(good)
    sagemaker.s3.delete_object(Bucket=BUCKET, Key=key_of(gone))
    sagemaker.control.update_endpoint(EndpointName=name, EndpointConfigName=bad)
    endpoint = sagemaker.settled(name)
    assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == ("InService", good)
    assert gone in endpoint["FailureReason"]
    assert len(sagemaker.scores(name, np.zeros((2, 2)))) == 2


def test_instances_become_serverless_never_and_the_other_way_once(sagemaker: SageMaker, model: str) -> None:
    serverless, instances = sagemaker.config(model), sagemaker.config(model, **INSTANCES)
    name = sagemaker.endpoint(serverless)
    sagemaker.control.update_endpoint(EndpointName=name, EndpointConfigName=instances)
    assert sagemaker.settled(name)["ProductionVariants"][0]["CurrentInstanceCount"] == 1
    with pytest.raises(ClientError, match="from instances to serverless"):
        sagemaker.control.update_endpoint(EndpointName=name, EndpointConfigName=serverless)


def test_two_variants_share_the_traffic_by_weight(sagemaker: SageMaker, model: str) -> None:
    name = f"two-{uuid.uuid4().hex}"
    variants = [
        {"VariantName": each, "ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        | {"InitialVariantWeight": weight}
        for each, weight in (("live", 1.0), ("idle", 0.0))
    ]
    sagemaker.control.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants)
    sagemaker.control.create_endpoint(EndpointName=name, EndpointConfigName=name)
    sagemaker.settled(name)

    def answers(**target: str) -> str:
        return sagemaker.runtime.invoke_endpoint(EndpointName=name, ContentType="text/csv", Body=b"0,0", **target)[
            "InvokedProductionVariant"
        ]

    assert {answers() for _ in range(5)} == {"live"}
    assert answers(TargetVariant="idle") == "idle"
    with pytest.raises(ClientError, match="Variant nobody not found"):
        answers(TargetVariant="nobody")


def test_ten_endpoints_at_once(sagemaker: SageMaker, model: str) -> None:
    config = sagemaker.config(model)
    names: list[str] = []
    threads = [threading.Thread(target=lambda: names.append(sagemaker.endpoint(config))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    in_service = sagemaker.control.get_paginator("list_endpoints").paginate(
        StatusEquals="InService", NameContains="endpoint-", PaginationConfig={"PageSize": 3}
    )
    assert set(names) <= {each["EndpointName"] for page in in_service for each in page["Endpoints"]}
    for kind, result in (("models", "Models"), ("endpoint_configs", "EndpointConfigs")):
        pages = list(sagemaker.control.get_paginator(f"list_{kind}").paginate(PaginationConfig={"PageSize": 2}))
        listed = [each[f"{result[:-1]}Name"] for page in pages for each in page[result]]
        assert len(listed) == len(set(listed)) > 2
        assert {model, config} & set(listed)
