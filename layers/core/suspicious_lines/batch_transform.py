"""Scoring of large files: one Batch Transform job over the parts.

CSV in and JSON Lines out: the forest answers no CSV, and SageMaker joins input and output of the same format only.
batch_scoring.py joins the answers to the lines by their order.
"""

import json
from typing import Any

from botocore.exceptions import ClientError

from suspicious_lines import store
from suspicious_lines.aws import client, error_code, error_message
from suspicious_lines.errors import ModelGoneError
from suspicious_lines.hosting_modes import mode_of
from suspicious_lines.large_messages import BatchJob, TransformRequest
from suspicious_lines.large_settings import BatchSettings
from suspicious_lines.layout import RunFiles, resource_name, run_tags
from suspicious_lines.settings import LOCAL_DISK

MAX_PAYLOAD_MB = 6


def folder_of(parts: list[str]) -> str:
    """The kind of part that the job scores: the first's."""
    return parts[0].rpartition("/")[0]


def name_in_job(part: str, folder: str) -> str:
    """What a part is called among those of the job, without an ending: one of another kind begins with that."""
    kind, _, name = part.rpartition("/")
    return name if kind == folder else f"{kind.rpartition('/')[2]}-{name}"


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
                    "S3Uri": f"s3://{bucket}/{files.features_of(folder_of(request.parts))}",
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
    """Starts the job, or finds it started by an earlier try. Where no endpoint can score the few parts of other kinds,
    the job does: copies of them are put beside its own.

    Raises:
        ModelGoneError: there is no such model any more.
        QuotaExceededError: other jobs hold the account's instances.
    """
    name = resource_name(settings.resource_prefix, request.run, request.model_name)
    bucket, files = settings.data_bucket, RunFiles(request.run)
    folder = folder_of(request.parts)
    if not mode_of(request.model_name).endpoint:
        for part in request.parts:
            if not part.startswith(f"{folder}/"):
                features = store.get_bytes(bucket, files.features(part))
                store.put(bucket, f"{files.features_of(folder)}{name_in_job(part, folder)}.csv", features, "text/csv")
    store.put_json(bucket, files.transform_job, _note(request, bucket, files, name))
    try:
        client("sagemaker").create_transform_job(**transform_job(request, settings, name))
    except ClientError as error:
        if "Could not find model" in error_message(error):
            raise ModelGoneError(f"{request.model_name} does not exist any more") from error
        if error_code(error) != "ResourceInUse":
            raise
    return BatchJob(job_name=name, poll_seconds=settings.poll_seconds)


def _note(request: TransformRequest, bucket: str, files: RunFiles, name: str) -> dict[str, Any]:
    """Which job scores, for those that stop it or ask what it cost. The champion's comes second in a run, and the note
    keeps the first."""
    if not request.parts[0].startswith("champion/"):
        return {"job_name": name}
    noted = store.get_with_etag(bucket, files.transform_job)
    first = json.loads(noted[0]) if noted else {}
    before = [*first.get("before", []), *([first["job_name"]] if first.get("job_name") not in (None, name) else [])]
    return {"job_name": name, "before": before}
