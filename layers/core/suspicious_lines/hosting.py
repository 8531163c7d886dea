"""The run's model, endpoint configuration and serverless endpoint: all three have one name, derived from the run."""

import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from suspicious_lines.aws import client, error_code, error_message, found
from suspicious_lines.errors import EndpointBusyError
from suspicious_lines.layout import resource_name, run_tags
from suspicious_lines.settings import HostingSettings
from suspicious_lines.train_messages import DeployRequest, Endpoint
from suspicious_lines.training import image_uri

VARIANT = "forest"
SETTLE_POLL_SECONDS = 2


def deploy_endpoint(request: DeployRequest, settings: HostingSettings) -> Endpoint:
    """Creates the run's endpoint, or finds what an earlier try made of it; it is not InService yet on return."""
    sagemaker = client("sagemaker")
    name = resource_name(settings.resource_prefix, request.run)
    tags = run_tags(request.run)
    job = sagemaker.describe_training_job(TrainingJobName=request.job_name)
    container = {
        "Image": image_uri(settings.aws_region),
        "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"],
    }
    serverless = {
        "MemorySizeInMB": settings.endpoint_memory_mb,
        "MaxConcurrency": settings.endpoint_max_concurrency,
    }
    _unless_exists(
        sagemaker.create_model,
        ModelName=name,
        PrimaryContainer=container,
        ExecutionRoleArn=settings.training_role_arn,
        Tags=tags,
    )
    _unless_exists(
        sagemaker.create_endpoint_config,
        EndpointConfigName=name,
        ProductionVariants=[{"VariantName": VARIANT, "ModelName": name, "ServerlessConfig": serverless}],
        Tags=tags,
    )
    _unless_exists(sagemaker.create_endpoint, EndpointName=name, EndpointConfigName=name, Tags=tags)
    return Endpoint(
        endpoint_name=name,
        max_concurrency=settings.endpoint_max_concurrency,
        poll_seconds=settings.poll_seconds,
    )


def _unless_exists(create: Callable[..., Any], **request: Any) -> None:
    """Creates a thing, or finds it there: names are the run's own, so it is what an earlier try made."""
    try:
        create(**request)
    except ClientError as error:
        if "already exist" not in error_message(error):
            raise


def exists(name: str) -> bool:
    """Whether there is an endpoint of this name, in whatever state."""
    return found(client("sagemaker").describe_endpoint, EndpointName=name) is not None


def can_score(name: str) -> bool:
    """Whether there is an endpoint of this name that takes requests."""
    endpoint = found(client("sagemaker").describe_endpoint, EndpointName=name)
    return endpoint is not None and endpoint["EndpointStatus"] in {"InService", "Updating", "SystemUpdating"}


def settle(name: str, seconds: float) -> None:
    """Waits until an endpoint can be deleted: SageMaker refuses while it is being created or updated.

    Raises:
        EndpointBusyError: it is still changing after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        endpoint = found(client("sagemaker").describe_endpoint, EndpointName=name)
        if not endpoint or endpoint["EndpointStatus"] not in {"Creating", "Updating", "SystemUpdating"}:
            return
        time.sleep(SETTLE_POLL_SECONDS)
    raise EndpointBusyError(f"{name} is still changing after {seconds:g} seconds")


def delete_endpoint(name: str) -> list[str]:
    """Deletes the endpoint, configuration and model of this name; returns which of them there were.

    Raises:
        EndpointBusyError: the endpoint is changing and cannot be deleted yet.
    """
    sagemaker = client("sagemaker")
    steps: list[tuple[str, Callable[..., Any], str]] = [
        ("endpoint", sagemaker.delete_endpoint, "EndpointName"),
        ("endpoint configuration", sagemaker.delete_endpoint_config, "EndpointConfigName"),
        ("model", sagemaker.delete_model, "ModelName"),
    ]
    deleted = []
    for what, delete, parameter in steps:
        try:
            delete(**{parameter: name})
        except ClientError as error:
            message = error_message(error)
            if "Could not find" in message:
                continue
            if "in-progress" in message or error_code(error) == "ResourceInUse":
                raise EndpointBusyError(f"{name}: {message}") from error
            raise
        deleted.append(what)
    return deleted
