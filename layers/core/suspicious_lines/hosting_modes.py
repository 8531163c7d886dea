"""The hosting modes: how a model is served, how what serves it scales, and so what is left to delete.

A model's name tells its mode (layout.MARKS), so that whoever has the name can score by it and delete it, whatever mode
the stack has been switched to since.
"""

from typing import Any, NamedTuple

from suspicious_lines.layout import RunFiles, mark_of, resource_name
from suspicious_lines.settings import LOCAL_DISK, HostingSettings, ScalingSettings

INSTANCES, PROVISIONED = "sagemaker:variant:DesiredInstanceCount", "sagemaker:variant:DesiredProvisionedConcurrency"
# The share of what provisioned concurrency can take at once that is in use before there is more of it.
UTILIZATION = 0.7
# Requests waiting for each instance before there are more instances.
BACKLOG = 5.0
# More soon; less only when it has been quiet for longer than the pause between two parts of a file.
SCALE_OUT_SECONDS, SCALE_IN_SECONDS = 60, 600


class Scaling(NamedTuple):
    """What Application Auto Scaling is told of a variant; `policies`: type and configuration by name."""

    dimension: str
    least: int
    most: int
    policies: dict[str, tuple[str, dict[str, Any]]]


class Mode:
    """What one hosting mode makes of a model; `endpoint`: whether one serves it; `shared`: whether that serves all the
    models of the mode; `queue`: whether it answers from a queue, with instances only while there is something in it;
    `dimension`: what of it scales."""

    name: str
    mark: str
    endpoint = True
    shared = False
    queue = False
    dimension: str | None = None

    def variant(self, settings: HostingSettings) -> dict[str, Any]:
        """The mode's part of the production variant."""
        raise NotImplementedError

    def configuration(self, settings: HostingSettings, files: RunFiles) -> dict[str, Any]:
        """What the endpoint configuration has beside its variant; `files`: of the run that trained the model."""
        return {}

    def scaling(self, name: str, settings: ScalingSettings) -> Scaling | None:
        return None


class Serverless(Mode):
    """Costs nothing while nobody asks, and takes some seconds to wake up."""

    name, mark = "serverless", ""

    def variant(self, settings: HostingSettings) -> dict[str, Any]:
        size = {"MemorySizeInMB": settings.endpoint_memory_mb, "MaxConcurrency": settings.endpoint_max_concurrency}
        return {"ServerlessConfig": size}


class Provisioned(Serverless):
    """Serverless with copies of the model that are always awake, more of them while they are busy."""

    name, mark, dimension = "provisioned", "pc", PROVISIONED

    def variant(self, settings: HostingSettings) -> dict[str, Any]:
        size = super().variant(settings)["ServerlessConfig"]
        awake = min(settings.provisioned_concurrency, settings.endpoint_max_concurrency)  # SageMaker refuses more
        return {"ServerlessConfig": size | {"ProvisionedConcurrency": awake}}

    def scaling(self, name: str, settings: ScalingSettings) -> Scaling | None:
        metric = {"PredefinedMetricType": "SageMakerVariantProvisionedConcurrencyUtilization"}
        tracking = _tracking(UTILIZATION, PredefinedMetricSpecification=metric)
        least, most = settings.provisioned_concurrency, settings.endpoint_max_concurrency
        return Scaling(PROVISIONED, min(least, most), most, {"utilization": tracking})


class RealTime(Mode):
    """Instances that always run, more of them while they are busy; what they are asked and answer can be captured."""

    name, mark, dimension = "real-time", "rt", INSTANCES

    def variant(self, settings: HostingSettings) -> dict[str, Any]:
        return _instances(settings)

    def configuration(self, settings: HostingSettings, files: RunFiles) -> dict[str, Any]:
        if not settings.capture_percent:
            return _volume(settings)
        capture = {
            "EnableCapture": True,
            "InitialSamplingPercentage": settings.capture_percent,
            "DestinationS3Uri": f"s3://{settings.data_bucket}/{files.captured}",
            "KmsKeyId": settings.data_key_arn,
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
        }
        return _volume(settings) | {"DataCaptureConfig": capture}

    def scaling(self, name: str, settings: ScalingSettings) -> Scaling | None:
        metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
        tracking = _tracking(settings.invocations_per_instance, PredefinedMetricSpecification=metric)
        return Scaling(INSTANCES, 1, settings.endpoint_max_instances, {"invocations": tracking})


class MultiModel(Mode):
    """The models of all families behind one real-time endpoint, each loaded when it is first asked for. That endpoint
    has a name of its own, which is of the mode real-time: it is what scales."""

    name, mark, shared = "multi-model", "mm", True

    def variant(self, settings: HostingSettings) -> dict[str, Any]:
        return _instances(settings)

    def configuration(self, settings: HostingSettings, files: RunFiles) -> dict[str, Any]:
        return _volume(settings)  # nothing is captured: that would lie in the folder of one run


class Asynchronous(Mode):
    """Instances that work off a queue: none while it has been empty for a while, the first some minutes after."""

    name, mark, dimension, queue = "async", "as", INSTANCES, True

    def variant(self, settings: HostingSettings) -> dict[str, Any]:
        return _instances(settings)

    def configuration(self, settings: HostingSettings, files: RunFiles) -> dict[str, Any]:
        output = {
            "S3OutputPath": f"s3://{settings.data_bucket}/{files.asynchronous('answers')}",
            "S3FailurePath": f"s3://{settings.data_bucket}/{files.asynchronous('failures')}",
            "KmsKeyId": settings.data_key_arn,
            "NotificationConfig": {
                "SuccessTopic": settings.success_topic_arn,
                "ErrorTopic": settings.error_topic_arn,
            },
        }
        return _volume(settings) | {"AsyncInferenceConfig": {"OutputConfig": output}}

    def scaling(self, name: str, settings: ScalingSettings) -> Scaling | None:
        """Target tracking cannot leave zero, where no instance divides the backlog: the step "wake" does."""
        metric = {
            "MetricName": "ApproximateBacklogSizePerInstance",
            "Namespace": "AWS/SageMaker",
            "Dimensions": [{"Name": "EndpointName", "Value": name}],
            "Statistic": "Average",
        }
        wake = {
            "AdjustmentType": "ChangeInCapacity",
            "Cooldown": SCALE_OUT_SECONDS,
            "MetricAggregationType": "Average",
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        }
        policies = {"backlog": _tracking(BACKLOG, CustomizedMetricSpecification=metric), "wake": ("StepScaling", wake)}
        return Scaling(INSTANCES, 0, settings.endpoint_max_instances, policies)


class Batch(Mode):
    """A model alone, which costs nothing: transform jobs score by it."""

    name, mark, endpoint = "batch", "bt", False


MODES: dict[str, Mode] = {
    mode.name: mode for mode in (Serverless(), Provisioned(), RealTime(), MultiModel(), Asynchronous(), Batch())
}
_BY_MARK = {mode.mark: mode for mode in MODES.values()}


def mode_of(name: str) -> Mode:
    """The mode of a model, by its name."""
    return _BY_MARK[mark_of(name)]


def mode_for(hosting_mode: str, family: str) -> Mode:
    """The mode of a run's model in a stack of this hosting mode: on instances, families share an endpoint."""
    return MODES["multi-model" if family and hosting_mode == "real-time" else hosting_mode]


def host_of(name: str) -> str:
    """The endpoint that serves a model, by its name: its own, but for models that share one."""
    if not mode_of(name).shared:
        return name
    prefix = name.rsplit("-", 2)[0]
    return resource_name(prefix, "families/", mark=MODES["real-time"].mark)  # no run is called so


def _instances(settings: HostingSettings) -> dict[str, Any]:
    return {"InstanceType": settings.endpoint_instance_type, "InitialInstanceCount": settings.endpoint_instances}


def _volume(settings: HostingSettings) -> dict[str, Any]:
    """The key of the instances' disks."""
    return {} if LOCAL_DISK.match(settings.endpoint_instance_type) else {"KmsKeyId": settings.data_key_arn}


def _tracking(target: float, **metric: Any) -> tuple[str, dict[str, Any]]:
    cooldowns = {"ScaleOutCooldown": SCALE_OUT_SECONDS, "ScaleInCooldown": SCALE_IN_SECONDS}
    return "TargetTrackingScaling", {"TargetValue": float(target), **metric, **cooldowns}
