"""Application Auto Scaling for the engine's endpoints: scalable targets, their policies, and how asynchronous endpoints
follow their queue.

Cooldowns pass a thousand times faster than they say. Only asynchronous endpoints change their number of instances here:
a target of zero is left when the alarm that a StepScaling policy needs is there and something waits, backlogs are
shared by more instances, and after ScaleInCooldown without one the number goes to MinCapacity. Of all others, targets
and policies are kept and checked and nothing follows from them.
"""

import math
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from local.sagemaker import shapes
from local.sagemaker.asynchronous import AsyncInference
from local.sagemaker.endpoints import Endpoints, Variant
from local.sagemaker.errors import ApiError, invalid

SERVICE = "application-autoscaling"
TARGET_PREFIX = "AnyScaleFrontendService."
INSTANCES, PROVISIONED = "sagemaker:variant:DesiredInstanceCount", "sagemaker:variant:DesiredProvisionedConcurrency"
METRICS = {
    "SageMakerVariantInvocationsPerInstance": INSTANCES,
    "SageMakerVariantConcurrentRequestsPerModelHighResolution": INSTANCES,
    "SageMakerVariantProvisionedConcurrencyUtilization": PROVISIONED,
}
BACKLOG, WAITING = "ApproximateBacklogSizePerInstance", "HasBacklogWithoutCapacity"
ROLE = (
    "arn:aws:iam::000000000000:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)
COOLDOWN_SCALE = 0.001
LOOK_SECONDS = 0.05
DEFAULT_COOLDOWN = 300
_RESOURCE = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")

Alarms = Callable[[], list[dict[str, Any]]]


@dataclass
class Target:
    """One variant's dimension. `quiet_since`: when something was last seen in its queue (monotonic)."""

    request: dict[str, Any]
    arn: str
    created: float
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    quiet_since: float | None = None


class Scaling:
    """The six operations, and a thread that scales asynchronous endpoints."""

    def __init__(self, endpoints: Endpoints, queues: AsyncInference, alarms: Alarms, region: str, account: str) -> None:
        self._endpoints, self._queues, self._alarms = endpoints, queues, alarms
        self._arn = f"arn:aws:{SERVICE}:{region}:{account}"
        self._policy_arn = f"arn:aws:autoscaling:{region}:{account}:scalingPolicy"
        self._targets: dict[tuple[str, str], Target] = {}
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self.operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "RegisterScalableTarget": self.register,
            "DeregisterScalableTarget": self.deregister,
            "DescribeScalableTargets": self.describe_targets,
            "PutScalingPolicy": self.put_policy,
            "DeleteScalingPolicy": self.delete_policy,
            "DescribeScalingPolicies": self.describe_policies,
        }

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Raises ApiError."""
        if operation not in self.operations:
            raise ApiError("UnknownOperationException", f"The local engine does not implement {operation}.", 404)
        shapes.check(operation, request, SERVICE)
        if request["ServiceNamespace"] != "sagemaker":
            raise invalid("The local engine scales the namespace sagemaker only.")
        with self._lock:
            return self.operations[operation](request)

    def register(self, request: dict[str, Any]) -> dict[str, Any]:
        name, variant = self._variant(request)
        key = (request["ResourceId"], request["ScalableDimension"])
        known = self._targets.get(key)
        both = (known.request if known else {}) | request
        if "MinCapacity" not in both or "MaxCapacity" not in both:
            raise invalid("A new scalable target needs MinCapacity and MaxCapacity.")
        least, most = both["MinCapacity"], both["MaxCapacity"]
        if least > most:
            raise invalid("Minimum capacity cannot be greater than maximum capacity.")
        asynchronous = "AsyncInferenceConfig" in self._endpoints.configuration(name)
        if least < 1 and not asynchronous:
            raise invalid(f"Minimum capacity of {key[0]} must be greater than or equal to 1.")
        self._refuse_dimension(key[1], variant)
        if known:
            known.request = both
        else:
            identity = f"{abs(hash(key)):032x}"
            self._targets[key] = Target(both, f"{self._arn}:scalable-target/{identity}", round(time.time(), 3))
        if asynchronous and self._thread is None:
            self._thread = threading.Thread(target=self._follow, daemon=True)
            self._thread.start()
        return {"ScalableTargetARN": self._targets[key].arn}

    def deregister(self, request: dict[str, Any]) -> dict[str, Any]:
        self._find(request)
        del self._targets[request["ResourceId"], request["ScalableDimension"]]
        return {}

    def describe_targets(self, request: dict[str, Any]) -> dict[str, Any]:
        wanted = request.get("ResourceIds")
        found = [
            {
                **{name: value for name, value in target.request.items() if name != "Tags"},
                "RoleARN": ROLE,
                "CreationTime": target.created,
                "ScalableTargetARN": target.arn,
            }
            for (resource, dimension), target in self._targets.items()
            if (not wanted or resource in wanted) and request.get("ScalableDimension", dimension) == dimension
        ]
        return {"ScalableTargets": found}

    def put_policy(self, request: dict[str, Any]) -> dict[str, Any]:
        target = self._find(request)
        name, known = request["PolicyName"], target.policies.get(request["PolicyName"])
        policy = (known or {}) | request
        kind = policy.get("PolicyType", "StepScaling")
        configuration = policy.get(f"{kind}PolicyConfiguration")
        if configuration is None:
            raise invalid(f"A policy of the type {kind} needs its configuration.")
        if kind == "TargetTrackingScaling":
            _check_tracking(configuration, request["ScalableDimension"])
        elif kind != "StepScaling" or not configuration.get("StepAdjustments"):
            raise invalid("A step scaling policy needs StepAdjustments.")
        arn = f"{self._policy_arn}:{target.arn.rpartition('/')[2]}:resource/sagemaker/{request['ResourceId']}"
        target.policies[name] = policy | {
            "PolicyType": kind,
            "PolicyARN": f"{arn}:policyName/{name}",
            "CreationTime": round(time.time(), 3),
        }
        return {"PolicyARN": f"{arn}:policyName/{name}", "Alarms": []}

    def delete_policy(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._find(request).policies.pop(request["PolicyName"], None) is None:
            raise ApiError("ObjectNotFoundException", f"No scaling policy found for {request['PolicyName']}.")
        return {}

    def describe_policies(self, request: dict[str, Any]) -> dict[str, Any]:
        found = [
            policy
            for (resource, _), target in self._targets.items()
            for policy in target.policies.values()
            if request.get("ResourceId", resource) == resource
        ]
        return {"ScalingPolicies": found}

    def _find(self, request: dict[str, Any]) -> Target:
        key = (request["ResourceId"], request["ScalableDimension"])
        if key not in self._targets:
            where = f"service namespace: sagemaker, resource ID: {key[0]}, scalable dimension: {key[1]}"
            raise ApiError("ObjectNotFoundException", f"No scalable target found for {where}")
        return self._targets[key]

    def _variant(self, request: dict[str, Any]) -> tuple[str, Variant]:
        match = _RESOURCE.fullmatch(request["ResourceId"])
        if match is None:
            raise invalid(f"Unsupported resource ID: {request['ResourceId']}. It is endpoint/NAME/variant/NAME.")
        try:
            return match[1], self._endpoints.variant(match[1], match[2])
        except ApiError as error:
            raise invalid(f"Could not find a variant in service for {request['ResourceId']}: {error}") from None

    def _refuse_dimension(self, dimension: str, variant: Variant) -> None:
        serverless = variant.request.get("ServerlessConfig")
        if dimension == INSTANCES and serverless is None:
            return
        if dimension == PROVISIONED and serverless and "ProvisionedConcurrency" in serverless:
            return
        raise invalid(f"The variant {variant.name} does not scale by {dimension}.")

    def _follow(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            with self._lock:
                targets = list(self._targets.items())
            for (resource, dimension), target in targets:
                name, _, variant = resource.removeprefix("endpoint/").partition("/variant/")
                try:
                    if dimension == INSTANCES and "AsyncInferenceConfig" in self._endpoints.configuration(name):
                        self._scale(name, variant, target)
                except ApiError:  # the endpoint is deleted, and its target left behind
                    continue

    def _scale(self, name: str, variant: str, target: Target) -> None:
        least, most = target.request["MinCapacity"], target.request["MaxCapacity"]
        count, backlog = self._endpoints.instances(name), self._queues.backlog(name)
        now = time.monotonic()
        target.quiet_since = now if backlog or target.quiet_since is None else target.quiet_since
        wanted = count
        for policy in list(target.policies.values()):
            if policy["PolicyType"] == "StepScaling":
                step = policy["StepScalingPolicyConfiguration"]["StepAdjustments"][0]
                if not count and backlog and self._alarmed(policy["PolicyARN"], name):
                    wanted = max(wanted, step["ScalingAdjustment"])
            elif count:
                tracking = policy["TargetTrackingScalingPolicyConfiguration"]
                if backlog:
                    wanted = max(wanted, math.ceil(backlog / tracking["TargetValue"]))
                elif now - target.quiet_since > tracking.get("ScaleInCooldown", DEFAULT_COOLDOWN) * COOLDOWN_SCALE:
                    wanted = least
        if wanted != count:
            self._endpoints.scale(name, variant, max(least, min(most, wanted)))

    def _alarmed(self, policy_arn: str, endpoint: str) -> bool:
        """Whether CloudWatch has the alarm that starts the policy when something waits for the endpoint."""
        return any(
            policy_arn in alarm.get("AlarmActions", [])
            and alarm.get("ActionsEnabled", True)
            and alarm.get("MetricName") == WAITING
            and {"Name": "EndpointName", "Value": endpoint} in alarm.get("Dimensions", [])
            for alarm in self._alarms()
        )


def alarms_of(cloudwatch: Any) -> Alarms:
    """The metric alarms of the CloudWatch that the client reaches."""

    def alarms() -> list[dict[str, Any]]:
        pages = cloudwatch.get_paginator("describe_alarms").paginate()
        return [alarm for page in pages for alarm in page["MetricAlarms"]]

    return alarms


def _check_tracking(configuration: dict[str, Any], dimension: str) -> None:
    predefined = configuration.get("PredefinedMetricSpecification")
    customized = configuration.get("CustomizedMetricSpecification")
    if (predefined is None) == (customized is None):
        raise invalid("A target tracking policy has either a predefined or a customized metric.")
    if predefined and METRICS.get(predefined["PredefinedMetricType"]) != dimension:
        raise invalid(f"{predefined['PredefinedMetricType']} is no metric of {dimension}.")
