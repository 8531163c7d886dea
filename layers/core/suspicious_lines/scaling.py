"""How the endpoint of a live model scales: its target and policies at Application Auto Scaling, and what wakes it.

https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling.html
https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-autoscale.html
"""

from typing import Any

from botocore.exceptions import ClientError

from suspicious_lines.aws import client, error_code
from suspicious_lines.hosting_modes import host_of, mode_of
from suspicious_lines.layout import VARIANT
from suspicious_lines.settings import ScalingSettings


def start_scaling(name: str, settings: ScalingSettings) -> None:
    """Lets the endpoint of a model scale, which must be InService; where its mode does not, nothing is called.

    It may be repeated: what is there is written again.
    """
    name = host_of(name)
    scaling = mode_of(name).scaling(name, settings)
    if scaling is None:
        return
    autoscaling, target = client("application-autoscaling"), _target(name, scaling.dimension)
    autoscaling.register_scalable_target(**target, MinCapacity=scaling.least, MaxCapacity=scaling.most)
    for policy, (kind, configuration) in scaling.policies.items():
        put = autoscaling.put_scaling_policy(
            **target,
            PolicyName=f"{name}-{policy}",
            PolicyType=kind,
            **{f"{kind}PolicyConfiguration": configuration},
        )
        if kind == "StepScaling":
            _wake_by(name, put["PolicyARN"])


def stop_scaling(name: str) -> None:
    """Takes away what `start_scaling` made, its policies with the target; it may be repeated."""
    dimension = mode_of(name).dimension
    if dimension is None:
        return
    try:
        client("application-autoscaling").deregister_scalable_target(**_target(name, dimension))
    except ClientError as error:
        if error_code(error) != "ObjectNotFoundException":
            raise
    if mode_of(name).queue:
        client("cloudwatch").delete_alarms(AlarmNames=[_alarm(name)])


def _wake_by(name: str, policy_arn: str) -> None:
    """The alarm that adds the first instance: something waits, and there is none."""
    client("cloudwatch").put_metric_alarm(
        AlarmName=_alarm(name),
        AlarmDescription="Requests wait and the endpoint has no instance: its policy starts one. Nobody need act.",
        AlarmActions=[policy_arn],
        Namespace="AWS/SageMaker",
        MetricName="HasBacklogWithoutCapacity",
        Dimensions=[{"Name": "EndpointName", "Value": name}],
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        DatapointsToAlarm=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="missing",
    )


def _target(name: str, dimension: str) -> dict[str, Any]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{name}/variant/{VARIANT}",
        "ScalableDimension": dimension,
    }


def _alarm(name: str) -> str:
    return f"{name}-wake"
