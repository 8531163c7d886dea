"""The permissions that a call needs, as AWS's Service Authorization Reference lists them.

https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from .calls import MISSING

REGION, ACCOUNT = "us-east-1", "000000000000"

_S3 = {
    "GetObject": "GetObject",
    "HeadObject": "GetObject",
    "PutObject": "PutObject",
    "DeleteObject": "DeleteObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "AbortMultipartUpload": "AbortMultipartUpload",
}
_LISTS = {"ListObjectsV2": "ListBucket", "ListObjectVersions": "ListBucketVersions"}
_STATES = {
    "StartExecution": "stateMachineArn",
    "ListExecutions": "stateMachineArn",
    "DescribeExecution": "executionArn",
    "GetExecutionHistory": "executionArn",
}
# Which kinds of resource an action of SageMaker is about, and the parameter that names each.
SAGEMAKER = {
    "CreateTrainingJob": {"training-job": "TrainingJobName"},
    "DescribeTrainingJob": {"training-job": "TrainingJobName"},
    "StopTrainingJob": {"training-job": "TrainingJobName"},
    "CreateProcessingJob": {"processing-job": "ProcessingJobName"},
    "DescribeProcessingJob": {"processing-job": "ProcessingJobName"},
    "StopProcessingJob": {"processing-job": "ProcessingJobName"},
    "CreateTransformJob": {"transform-job": "TransformJobName"},
    "DescribeTransformJob": {"transform-job": "TransformJobName"},
    "StopTransformJob": {"transform-job": "TransformJobName"},
    "CreateModel": {"model": "ModelName"},
    "DeleteModel": {"model": "ModelName"},
    "CreateEndpointConfig": {"endpoint-config": "EndpointConfigName"},
    "DeleteEndpointConfig": {"endpoint-config": "EndpointConfigName"},
    "CreateEndpoint": {"endpoint": "EndpointName", "endpoint-config": "EndpointConfigName"},
    "DescribeEndpoint": {"endpoint": "EndpointName"},
    "DeleteEndpoint": {"endpoint": "EndpointName"},
    "InvokeEndpoint": {"endpoint": "EndpointName"},
    "InvokeEndpointAsync": {"endpoint": "EndpointName"},
    "DescribeModel": {"model": "ModelName"},
    "DescribeEndpointConfig": {"endpoint-config": "EndpointConfigName"},
    "UpdateEndpointWeightsAndCapacities": {"endpoint": "EndpointName"},
    # Of the versions of a group, those that are listed and the one that is made included.
    "CreateModelPackage": {"model-package": "ModelPackageGroupName"},
    "ListModelPackages": {"model-package": "ModelPackageGroupName"},
    "DescribeModelPackage": {"model-package": "ModelPackageName"},
    "UpdateModelPackage": {"model-package": "ModelPackageArn"},
    "DeleteModelPackage": {"model-package": "ModelPackageName"},
    "BatchWriteRecord": {"feature-group": "FeatureGroupName"},
    "CreateExperiment": {"experiment": "ExperimentName"},
    "DeleteExperiment": {"experiment": "ExperimentName"},
    "CreateTrial": {"experiment": "ExperimentName", "experiment-trial": "TrialName"},
    "DeleteTrial": {"experiment-trial": "TrialName"},
    "CreateTrialComponent": {"experiment-trial-component": "TrialComponentName"},
    "DescribeTrialComponent": {"experiment-trial-component": "TrialComponentName"},
    "UpdateTrialComponent": {"experiment-trial-component": "TrialComponentName"},
    "DeleteTrialComponent": {"experiment-trial-component": "TrialComponentName"},
    "BatchPutMetrics": {"experiment-trial-component": "TrialComponentName"},
    "AssociateTrialComponent": {"experiment-trial": "TrialName", "experiment-trial-component": "TrialComponentName"},
    "DisassociateTrialComponent": {"experiment-trial": "TrialName", "experiment-trial-component": "TrialComponentName"},
}
_TAGGED = {"CreateTrainingJob": "training-job", "CreateModel": "model", "CreateEndpointConfig": "endpoint-config"}
_TAGGED |= {"CreateEndpoint": "endpoint", "CreateProcessingJob": "processing-job"}
_TAGGED |= {"CreateTransformJob": "transform-job"}
_PULL = ("BatchCheckLayerAvailability", "GetDownloadUrlForLayer", "BatchGetImage")


@dataclass(frozen=True)
class Need:
    """An action on a resource (its ARN), with what policies' conditions see of the request; `role`, where it is not the
    caller who acts but the role that the call passes on."""

    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()
    role: str | None = None


def needs(call: dict[str, Any]) -> list[Need]:
    """What a line of Calls.history needs. Raises LookupError for a call that nobody has looked up yet."""
    service, operation, names = call["service"], call["operation"], call["names"]
    if call.get("remark") == MISSING:  # without it S3 answers 403 where there is nothing
        return [Need("s3:ListBucket", f"arn:aws:s3:::{names['Bucket']}")]
    if service not in _SERVICES:
        raise LookupError(f"local/emulator/needs.py does not know {service}:{operation}")
    return list(_SERVICES[service](operation, names))


def _s3(operation: str, names: dict[str, str]) -> Iterator[Need]:
    bucket = f"arn:aws:s3:::{names['Bucket']}"
    if operation in _LISTS:
        yield Need(f"s3:{_LISTS[operation]}", bucket, (("s3:prefix", names.get("Prefix", "")),))
    elif operation == "DeleteObjects":
        for key in json.loads(names["Keys"]):
            yield Need("s3:DeleteObject", f"{bucket}/{key}")
    elif operation == "CopyObject":
        yield Need("s3:GetObject", f"arn:aws:s3:::{unquote(names['CopySource'])}")
        yield Need("s3:PutObject", f"{bucket}/{names['Key']}")
    else:
        yield Need(f"s3:{_S3[operation]}{'Version' if 'VersionId' in names else ''}", f"{bucket}/{names['Key']}")


def _dynamodb(operation: str, names: dict[str, str]) -> Iterator[Need]:
    yield Need(f"dynamodb:{operation}", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{names['TableName']}")


def _sns(operation: str, names: dict[str, str]) -> Iterator[Need]:
    yield Need(f"sns:{operation}", names["TopicArn"])


def _lambda(operation: str, names: dict[str, str]) -> Iterator[Need]:
    action = {"Invoke": "InvokeFunction"}[operation]
    name = names["FunctionName"].partition(":function:")[2] or names["FunctionName"]  # with an alias, where it has one
    yield Need(f"lambda:{action}", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}")


def _states(operation: str, names: dict[str, str]) -> Iterator[Need]:
    yield Need(f"states:{operation}", names[_STATES[operation]])


def _cloudformation(operation: str, names: dict[str, str]) -> Iterator[Need]:
    yield Need(
        f"cloudformation:{operation}", f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{names['StackName']}/{{id}}"
    )


def _sagemaker(operation: str, names: dict[str, str]) -> Iterator[Need]:
    if operation == "ListTags":
        yield Need("sagemaker:ListTags", names["ResourceArn"])
        return
    if operation.startswith("List") and operation not in SAGEMAKER:
        yield Need(f"sagemaker:{operation}", "*")
        return
    arns = {kind: _arn(kind, parameter, names[parameter]) for kind, parameter in SAGEMAKER[operation].items()}
    for arn in arns.values():
        yield Need(f"sagemaker:{operation}", arn)
    if "Tags" in names:
        yield Need("sagemaker:AddTags", arns[_TAGGED[operation]])
    if role := names.get("RoleArn") or names.get("ExecutionRoleArn"):
        yield Need("iam:PassRole", role, (("iam:PassedToService", "sagemaker.amazonaws.com"),))
        yield from _container(role, names)


def _arn(kind: str, parameter: str, name: str) -> str:
    if name.startswith("arn:"):
        return name
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{name}{'/*' if parameter == 'ModelPackageGroupName' else ''}"


def _container(role: str, names: dict[str, str]) -> Iterator[Need]:
    """What SageMaker does in the name of the role: it pulls the image, reads data or model, writes the model."""
    image = next(names[name] for name in ("TrainingImage", "Image", "ImageUri") if name in names)
    account, _, _, region, *_ = image.split(".")
    repository = image.split("/")[1].split(":")[0]
    for action in _PULL:
        yield Need(f"ecr:{action}", f"arn:aws:ecr:{region}:{account}:repository/{repository}", role=role)
    for uri in names.get("S3Uri", "").split():
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        yield Need("s3:ListBucket", f"arn:aws:s3:::{bucket}", (("s3:prefix", prefix),), role)
        within = prefix if prefix.startswith("code/") else f"{prefix.rstrip('/')}/part-00000.csv"
        yield Need("s3:GetObject", f"arn:aws:s3:::{bucket}/{within}", role=role)
    if "S3OutputPath" in names:
        output = names["S3OutputPath"].removeprefix("s3://").rstrip("/")
        artifact = f"{output}/{names['TrainingJobName']}/output/model.tar.gz"
        yield Need("s3:PutObject", f"arn:aws:s3:::{artifact}", role=role)
    if "ModelDataUrl" in names:
        bucket, _, artifact = names["ModelDataUrl"].removeprefix("s3://").partition("/")
        if artifact.endswith("/"):  # of many models, each of which is looked for when it is asked for
            yield Need("s3:ListBucket", f"arn:aws:s3:::{bucket}", (("s3:prefix", artifact),), role)
            artifact += "model.tar.gz"
        yield Need("s3:GetObject", f"arn:aws:s3:::{bucket}/{artifact}", role=role)


def _scaling(operation: str, names: dict[str, str]) -> Iterator[Need]:
    """A target's ARN says nothing of what it scales: the service's own identity of it."""
    namespace = ("application-autoscaling:service-namespace", "sagemaker")
    yield Need(f"application-autoscaling:{operation}", "*", (namespace,))


def _cloudwatch(operation: str, names: dict[str, str]) -> Iterator[Need]:
    for name in names["AlarmNames"].split():
        yield Need(f"cloudwatch:{operation}", f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}")


_SERVICES = {
    "s3": _s3,
    "dynamodb": _dynamodb,
    "sns": _sns,
    "lambda": _lambda,
    "stepfunctions": _states,
    "cloudformation": _cloudformation,
    "sagemaker": _sagemaker,
    "sagemaker-runtime": _sagemaker,
    "sagemaker-featurestore-runtime": _sagemaker,
    "sagemaker-metrics": _sagemaker,
    "application-autoscaling": _scaling,
    "cloudwatch": _cloudwatch,
}
