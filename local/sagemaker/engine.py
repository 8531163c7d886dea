"""The engine without HTTP: operations by name, each a checked request in and a response out."""

from collections.abc import Callable
from email.message import Message
from typing import TYPE_CHECKING, Any

from local.sagemaker import asynchronous, deployments, feature_store, scaling, shapes
from local.sagemaker.bus import Bus, Events
from local.sagemaker.endpoints import Endpoints
from local.sagemaker.errors import ApiError
from local.sagemaker.experiments import Experiments
from local.sagemaker.faults import Faults
from local.sagemaker.feature_groups import FeatureGroups
from local.sagemaker.models import EndpointConfigs, Models
from local.sagemaker.pipelines import Pipelines
from local.sagemaker.processing import ProcessingJobs
from local.sagemaker.registry import ModelRegistry
from local.sagemaker.runtime import Response, Runtime
from local.sagemaker.store import Store
from local.sagemaker.tags import Tags
from local.sagemaker.training import TrainingJobs
from local.sagemaker.transform import TransformJobs

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ACCOUNT = "000000000000"
INVOKE = "InvokeEndpoint"
PUT_METRICS = "BatchPutMetrics"

Operation = Callable[[dict[str, Any]], dict[str, Any]]


class Engine:
    """SageMaker's state in memory, artifacts in the S3 that `s3` reaches. `events`: where what happens is told; `sns`:
    asked for asynchronous endpoints only; `cloudwatch`: for these, and for alarms that roll an update back; `glue`: for
    feature groups only."""

    def __init__(
        self,
        s3: "S3Client",
        region: str,
        events: Events | None = None,
        sns: Any = None,
        cloudwatch: Any = None,
        glue: Any = None,
    ) -> None:
        self._faults = Faults()
        self._store = Store(s3)
        training = TrainingJobs(self._store, self._faults, region, ACCOUNT)
        models = Models(self._store, region, ACCOUNT)
        configs = EndpointConfigs(models, region, ACCOUNT)
        endpoints = Endpoints(
            configs, models, self._store, self._faults, region, ACCOUNT, deployments.alarm_reader(cloudwatch)
        )
        transform = TransformJobs(models, self._store, self._faults, region, ACCOUNT)
        processing = ProcessingJobs(self._store, self._faults, region, ACCOUNT)
        registry = ModelRegistry(Bus(events), region, ACCOUNT)
        groups = FeatureGroups(glue, region, ACCOUNT)
        self._features = feature_store.FeatureStore(groups, self._store, self._faults)
        experiments = self._experiments = Experiments(region, ACCOUNT)
        pipelines = Pipelines(self.call, self._store, region, ACCOUNT)
        self._runtime = Runtime(endpoints, self._store, region, ACCOUNT)
        self._asynchronous = asynchronous.AsyncInference(
            endpoints, self._runtime, self._store, self._faults, asynchronous.publisher(sns), region
        )
        self._scaling = scaling.Scaling(endpoints, self._asynchronous, scaling.alarms_of(cloudwatch), region, ACCOUNT)
        self._tags = Tags()
        self._operations: dict[str, Operation] = {
            "CreateTrainingJob": training.create,
            "DescribeTrainingJob": training.describe,
            "StopTrainingJob": training.stop,
            "ListTrainingJobs": training.list_page,
            "CreateTransformJob": transform.create,
            "DescribeTransformJob": transform.describe,
            "StopTransformJob": transform.stop,
            "ListTransformJobs": transform.list_page,
            "CreateProcessingJob": processing.create,
            "DescribeProcessingJob": processing.describe,
            "StopProcessingJob": processing.stop,
            "ListProcessingJobs": processing.list_page,
            "CreateModel": models.create,
            "DescribeModel": models.describe,
            "DeleteModel": models.delete,
            "ListModels": models.list_page,
            "CreateEndpointConfig": configs.create,
            "DescribeEndpointConfig": configs.describe,
            "DeleteEndpointConfig": configs.delete,
            "ListEndpointConfigs": configs.list_page,
            "CreateEndpoint": endpoints.create,
            "DescribeEndpoint": endpoints.describe,
            "UpdateEndpoint": endpoints.update,
            "UpdateEndpointWeightsAndCapacities": endpoints.update_weights,
            "DeleteEndpoint": endpoints.delete,
            "ListEndpoints": endpoints.list_page,
            "CreateModelPackageGroup": registry.create_group,
            "DescribeModelPackageGroup": registry.describe_group,
            "DeleteModelPackageGroup": registry.delete_group,
            "ListModelPackageGroups": registry.list_groups,
            "CreateModelPackage": registry.create,
            "DescribeModelPackage": registry.describe,
            "UpdateModelPackage": registry.update,
            "DeleteModelPackage": registry.delete,
            "ListModelPackages": registry.list_page,
            "CreateFeatureGroup": groups.create,
            "DescribeFeatureGroup": groups.describe,
            "DeleteFeatureGroup": groups.delete,
            "ListFeatureGroups": groups.list_page,
            "CreateExperiment": experiments.create_experiment,
            "DescribeExperiment": experiments.describe_experiment,
            "UpdateExperiment": experiments.update_experiment,
            "DeleteExperiment": experiments.delete_experiment,
            "ListExperiments": experiments.list_experiments,
            "CreateTrial": experiments.create_trial,
            "DescribeTrial": experiments.describe_trial,
            "UpdateTrial": experiments.update_trial,
            "DeleteTrial": experiments.delete_trial,
            "ListTrials": experiments.list_trials,
            "CreateTrialComponent": experiments.create_component,
            "DescribeTrialComponent": experiments.describe_component,
            "UpdateTrialComponent": experiments.update_component,
            "DeleteTrialComponent": experiments.delete_component,
            "ListTrialComponents": experiments.list_components,
            "AssociateTrialComponent": experiments.associate,
            "DisassociateTrialComponent": experiments.disassociate,
            "CreatePipeline": pipelines.create,
            "DescribePipeline": pipelines.describe,
            "UpdatePipeline": pipelines.update,
            "DeletePipeline": pipelines.delete,
            "StartPipelineExecution": pipelines.start,
            "DescribePipelineExecution": pipelines.describe_execution,
            "ListPipelineExecutionSteps": pipelines.list_steps,
            "AddTags": self._tags.add,
            "ListTags": self._tags.list_page,
            "DeleteTags": self._tags.delete,
        }

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """A control plane operation. Raises ApiError."""
        if operation not in self._operations:
            message = f"The local engine does not implement {operation}; it has {', '.join(self._operations)}."
            raise ApiError("UnknownOperationException", message, 404)
        self._meet_fault(operation)
        shapes.check(operation, request)
        answer = self._operations[operation](request)
        if operation.startswith("Create") and request.get("Tags"):
            (arn,) = answer.values()
            self._tags.add({"ResourceArn": arn, "Tags": request["Tags"]})
        return answer

    def invoke(self, endpoint: str, headers: Message, body: bytes) -> Response:
        """InvokeEndpoint. Raises ApiError."""
        self._meet_fault(INVOKE)
        return self._runtime.invoke(endpoint, headers, body)

    def invoke_async(self, endpoint: str, headers: Message) -> dict[str, str]:
        """InvokeEndpointAsync. Raises ApiError."""
        self._meet_fault(asynchronous.INVOKE_ASYNC)
        return self._asynchronous.invoke(endpoint, headers)

    def put_metrics(self, request: dict[str, Any]) -> dict[str, Any]:
        """BatchPutMetrics. Raises ApiError."""
        self._meet_fault(PUT_METRICS)
        shapes.check(PUT_METRICS, request, "sagemaker-metrics")
        return self._experiments.put_metrics(request)

    def scale(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """An operation of Application Auto Scaling. Raises ApiError."""
        self._meet_fault(operation)
        return self._scaling.call(operation, request)

    def write_features(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """An operation of the feature store's runtime. Raises ApiError."""
        self._meet_fault(operation)
        try:
            shapes.check(operation, request, feature_store.SERVICE)
        except ApiError as error:
            raise ApiError("ValidationError", error.message) from None
        return self._features.operations[operation](request)

    def order_fault(self, body: dict[str, Any]) -> dict[str, Any]:
        """Let a test make the next calls, jobs or endpoints fail. ApiError when `body` is not a fault."""
        targets = {*self._operations, *self._scaling.operations, *self._features.operations}
        targets |= {INVOKE, asynchronous.INVOKE_ASYNC, PUT_METRICS}
        self._faults.order(body, targets)
        return {}

    def clear_faults(self) -> None:
        self._faults.clear()

    def forget_forests(self) -> None:
        """Drop every forest from memory; the next invocation reads its artifact from S3 again."""
        self._store.forget()

    def _meet_fault(self, operation: str) -> None:
        if fault := self._faults.take(operation):
            raise fault.as_error()
