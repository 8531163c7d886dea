"""Deploys the trained forest of a run: its model, and where the hosting mode has one, its endpoint."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from suspicious_lines.aws import client, error_message
from suspicious_lines.hosting_modes import MODES
from suspicious_lines.layout import VARIANT, RunFiles, resource_name, run_of_artifact, run_tags
from suspicious_lines.settings import HostingSettings
from suspicious_lines.train_messages import DeployRequest, Endpoint
from suspicious_lines.training import image_uri


def deploy_endpoint(request: DeployRequest, settings: HostingSettings) -> Endpoint:
    """Creates the run's endpoint, or finds what an earlier try made of it; it is not InService yet on return. Of a mode
    without endpoints, the model alone. What the endpoint writes lies under the run that trained the model."""
    sagemaker, mode = client("sagemaker"), MODES[settings.hosting_mode]
    name = resource_name(settings.resource_prefix, request.run, mark=mode.mark)
    tags = run_tags(request.run)
    job = sagemaker.describe_training_job(TrainingJobName=request.job_name)
    artifact = job["ModelArtifacts"]["S3ModelArtifacts"]
    container = {"Image": image_uri(settings.aws_region), "ModelDataUrl": artifact}
    _unless_exists(
        sagemaker.create_model,
        ModelName=name,
        PrimaryContainer=container,
        ExecutionRoleArn=settings.training_role_arn,
        Tags=tags,
    )
    if mode.endpoint:
        _unless_exists(
            sagemaker.create_endpoint_config,
            EndpointConfigName=name,
            ProductionVariants=[{"VariantName": VARIANT, "ModelName": name, **mode.variant(settings)}],
            **mode.configuration(settings, RunFiles(run_of_artifact(artifact))),
            Tags=tags,
        )
        _unless_exists(sagemaker.create_endpoint, EndpointName=name, EndpointConfigName=name, Tags=tags)
    return Endpoint(
        endpoint_name=name,
        max_concurrency=settings.endpoint_max_concurrency if mode.endpoint else 0,
        poll_seconds=settings.poll_seconds,
    )


def _unless_exists(create: Callable[..., Any], **request: Any) -> None:
    """Creates a thing, or finds it there: names are the run's own, so it is what an earlier try made."""
    try:
        create(**request)
    except ClientError as error:
        if "already exist" not in error_message(error):
            raise
