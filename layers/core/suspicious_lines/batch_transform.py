"""Scoring of large files: one Batch Transform job over the parts.

CSV in and JSON Lines out: the forest answers no CSV, and SageMaker joins input and output of the same format only.
batch_scoring.py joins the answers to the lines by their order.
"""

from typing import Any

from botocore.exceptions import ClientError

from suspicious_lines import store
from suspicious_lines.aws import client, error_code, error_message
from suspicious_lines.errors import ModelGoneError
from suspicious_lines.large_messages import BatchJob, TransformRequest
from suspicious_lines.large_settings import BatchSettings
from suspicious_lines.layout import RunFiles, resource_name, run_tags
from suspicious_lines.training import LOCAL_DISK

MAX_PAYLOAD_MB = 6


def transform_job(request: TransformRequest, settings: BatchSettings, name: str) -> dict[str, Any]:
    """The CreateTransformJob request."""
    files, bucket, key = RunFiles(request.run), settings.data_bucket, settings.data_key_arn
    return {
        "TransformJobName": name,
        "ModelName": request.model_name,
        "MaxPayloadInMB": MAX_PAYLOAD_MB,
        "BatchStrategy": "MultiRecord",
        "TransformInput": {
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": "S3Prefix",
                    "S3Uri": f"s3://{bucket}/{files.prefix}/features/{request.part.rpartition('/')[0]}/",
                }
            },
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        "TransformOutput": {
            "S3OutputPath": f"s3://{bucket}/{files.transformed(name)}",
            "Accept": "application/jsonlines",
            "AssembleWith": "Line",
            "KmsKeyId": key,
        },
        "TransformResources": {
            "InstanceType": settings.batch_instance_type,
            "InstanceCount": 1,
            **({} if LOCAL_DISK.match(settings.batch_instance_type) else {"VolumeKmsKeyId": key}),
        },
        "Tags": run_tags(request.run),
    }


def start_transform(request: TransformRequest, settings: BatchSettings) -> BatchJob:
    """Starts the job, or finds it started by an earlier try.

    Raises:
        ModelGoneError: there is no such model any more.
        QuotaExceededError: other jobs hold the account's instances.
    """
    name = resource_name(settings.resource_prefix, request.run, request.model_name)
    store.put_json(settings.data_bucket, RunFiles(request.run).transform_job, {"job_name": name})
    try:
        client("sagemaker").create_transform_job(**transform_job(request, settings, name))
    except ClientError as error:
        if "Could not find model" in error_message(error):
            raise ModelGoneError(f"{request.model_name} does not exist any more") from error
        if error_code(error) != "ResourceInUse":
            raise
    return BatchJob(job_name=name, poll_seconds=settings.poll_seconds)
