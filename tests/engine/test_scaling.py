"""Scalable targets and policies of endpoints: kept, described, and refused as Application Auto Scaling does."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from .clients import SageMaker

COUNT, PROVISIONED = "sagemaker:variant:DesiredInstanceCount", "sagemaker:variant:DesiredProvisionedConcurrency"
INSTANCES: dict[str, Any] = {"ServerlessConfig": None, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
SERVERLESS: dict[str, Any] = {"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 4}}
AWAKE: dict[str, Any] = {"ServerlessConfig": SERVERLESS["ServerlessConfig"] | {"ProvisionedConcurrency": 2}}


@pytest.fixture(scope="module")
def target(sagemaker: SageMaker, artifact: str) -> Any:
    """Of an endpoint with the given variant."""
    made: dict[str, str] = {}

    def of(variant: dict[str, Any], dimension: str) -> dict[str, Any]:
        if str(variant) not in made:
            made[str(variant)] = sagemaker.endpoint(sagemaker.config(sagemaker.model(artifact), **variant))
        resource = f"endpoint/{made[str(variant)]}/variant/AllTraffic"
        return {"ServiceNamespace": "sagemaker", "ResourceId": resource, "ScalableDimension": dimension}

    return of


def tracking(metric: str) -> dict[str, Any]:
    specification = {"PredefinedMetricType": metric}
    configuration = {"TargetValue": 60.0, "PredefinedMetricSpecification": specification}
    return {"PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": configuration}


@pytest.mark.parametrize(
    ("variant", "dimension", "metric"),
    [
        (INSTANCES, COUNT, "SageMakerVariantInvocationsPerInstance"),
        (AWAKE, PROVISIONED, "SageMakerVariantProvisionedConcurrencyUtilization"),
    ],
    ids=["real-time", "provisioned"],
)
def test_a_target_lives_with_its_policies_and_dies_with_them(
    scaling: Any, target: Any, variant: dict[str, Any], dimension: str, metric: str
) -> None:
    place = target(variant, dimension)
    asked = {"ServiceNamespace": "sagemaker", "ResourceId": place["ResourceId"]}
    scaling.register_scalable_target(**place, MinCapacity=1, MaxCapacity=2)
    scaling.register_scalable_target(**place, MaxCapacity=4)  # the other stays
    put = scaling.put_scaling_policy(**place, PolicyName="load", **tracking(metric))

    (found,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[place["ResourceId"]])[
        "ScalableTargets"
    ]
    assert (found["MinCapacity"], found["MaxCapacity"]) == (1, 4)
    (policy,) = scaling.describe_scaling_policies(**asked)["ScalingPolicies"]
    assert policy["PolicyARN"] == put["PolicyARN"]
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 60

    scaling.deregister_scalable_target(**place)
    assert scaling.describe_scaling_policies(**asked)["ScalingPolicies"] == []
    with pytest.raises(ClientError) as refused:
        scaling.deregister_scalable_target(**place)
    assert refused.value.response["Error"]["Code"] == "ObjectNotFoundException"


@pytest.mark.parametrize(
    ("variant", "dimension", "least", "most", "why"),
    [
        (INSTANCES, COUNT, 0, 2, "greater than or equal to 1"),
        (INSTANCES, COUNT, 3, 2, "cannot be greater than maximum"),
        (INSTANCES, PROVISIONED, 1, 2, "does not scale by"),
        (SERVERLESS, COUNT, 1, 2, "does not scale by"),
        (SERVERLESS, PROVISIONED, 1, 2, "does not scale by"),
    ],
    ids=["zero of real-time", "bounds", "instances provisioned", "serverless", "serverless without provisioned"],
)
def test_what_cannot_scale_is_refused(
    scaling: Any, target: Any, variant: dict[str, Any], dimension: str, least: int, most: int, why: str
) -> None:
    with pytest.raises(ClientError, match=why) as refused:
        scaling.register_scalable_target(**target(variant, dimension), MinCapacity=least, MaxCapacity=most)
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_a_target_needs_a_variant_in_service_and_a_policy_needs_a_target(scaling: Any, target: Any) -> None:
    place = target(INSTANCES, COUNT)
    with pytest.raises(ClientError, match="Could not find a variant"):
        scaling.register_scalable_target(
            **place | {"ResourceId": "endpoint/nobody/variant/forest"}, MinCapacity=1, MaxCapacity=1
        )
    load = tracking("SageMakerVariantInvocationsPerInstance")
    with pytest.raises(ClientError) as refused:
        scaling.put_scaling_policy(**place, PolicyName="load", **load)
    assert refused.value.response["Error"]["Code"] == "ObjectNotFoundException"
    scaling.register_scalable_target(**place, MinCapacity=1, MaxCapacity=2)
    with pytest.raises(ClientError, match="is no metric of"):
        scaling.put_scaling_policy(
            **place, PolicyName="load", **tracking("SageMakerVariantProvisionedConcurrencyUtilization")
        )
    scaling.deregister_scalable_target(**place)


def test_provisioned_concurrency_is_bounded_by_the_concurrency(sagemaker: SageMaker, artifact: str) -> None:
    model = sagemaker.model(artifact)
    for provisioned, why in ((5, "less than or equal to MaxConcurrency"), (0, "greater than or equal to 1")):
        with pytest.raises(ClientError, match=why):
            sagemaker.config(
                model, ServerlessConfig=SERVERLESS["ServerlessConfig"] | {"ProvisionedConcurrency": provisioned}
            )
    name = sagemaker.endpoint(sagemaker.config(model, **AWAKE))
    (variant,) = sagemaker.control.describe_endpoint(EndpointName=name)["ProductionVariants"]
    assert variant["CurrentServerlessConfig"]["ProvisionedConcurrency"] == 2
