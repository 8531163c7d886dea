"""Deploys the trained forest of a run: its model, and where the hosting mode has one, the endpoint that serves it."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from suspicious_lines import store
from suspicious_lines.aws import client, error_message
from suspicious_lines.hosting_modes import host_of, mode_for
from suspicious_lines.layout import (
    SHARED_PREFIX,
    VARIANT,
    RunFiles,
    resource_name,
    run_of_artifact,
    run_tags,
    shared_artifact,
)
from suspicious_lines.settings import HostingSettings
from suspicious_lines.train_messages import DeployRequest, Endpoint
from suspicious_lines.training import image_uri


def deploy_endpoint(request: DeployRequest, settings: HostingSettings) -> Endpoint:
    """Creates the run's endpoint, or finds what an earlier try made of it; it is not InService yet on return. Of a mode
    without endpoints, the model alone; of one whose models share an endpoint, that one, where no other run has. What
    the endpoint writes lies under the run that trained the model."""
    sagemaker, mode = client("sagemaker"), mode_for(settings.hosting_mode, request.family)
    name = resource_name(settings.resource_prefix, request.run, mark=mode.mark)
    host, tags = host_of(name), run_tags(request.run)
    job = sagemaker.describe_training_job(TrainingJobName=request.job_name)
    artifact = job["ModelArtifacts"]["S3ModelArtifacts"]
    _make_model(name, {"ModelDataUrl": artifact}, tags, settings)
    if mode.shared:
        tags = []  # what follows is of no run
        # Once the run's own model is there, by which whoever deletes it finds the copy.
        store.copy(artifact, settings.data_bucket, SHARED_PREFIX + shared_artifact(name))
        prefix = f"s3://{settings.data_bucket}/{SHARED_PREFIX}"
        _make_model(host, {"Mode": "MultiModel", "ModelDataUrl": prefix}, tags, settings)
    if mode.endpoint:
        _unless_exists(
            sagemaker.create_endpoint_config,
            EndpointConfigName=host,
            ProductionVariants=[{"VariantName": VARIANT, "ModelName": host, **mode.variant(settings)}],
            **mode.configuration(settings, RunFiles(run_of_artifact(artifact))),
            Tags=tags,
        )
        _unless_exists(sagemaker.create_endpoint, EndpointName=host, EndpointConfigName=host, Tags=tags)
    return Endpoint(
        endpoint_name=name,
        host=host,
        max_concurrency=settings.endpoint_max_concurrency if mode.endpoint else 0,
        poll_seconds=settings.poll_seconds,
    )


def _make_model(name: str, data: dict[str, str], tags: list[dict[str, str]], settings: HostingSettings) -> None:
    _unless_exists(
        client("sagemaker").create_model,
        ModelName=name,
        PrimaryContainer={"Image": image_uri(settings.aws_region), **data},
        ExecutionRoleArn=settings.training_role_arn,
        Tags=tags,
    )


def _unless_exists(create: Callable[..., Any], **request: Any) -> None:
    """Creates a thing, or finds it there: names are the run's own, so it is what an earlier try made."""
    try:
        create(**request)
    except ClientError as error:
        if "already exist" not in error_message(error):
            raise
