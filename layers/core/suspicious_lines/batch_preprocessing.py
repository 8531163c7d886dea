"""Large files are read by a SageMaker Processing job, which runs the functions' own layers without Lambda's limits.

The job's image is one of AWS's with the functions' Python; the library and all that it imports come from the layers of
StartPreprocessing, which are Preprocess's too. Nothing is built or kept in a registry for it.
"""

import hashlib
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from msgspec import convert, to_builtins

from suspicious_lines import store
from suspicious_lines.aws import client, error_code
from suspicious_lines.errors import (
    AwsRefusedError,
    InvalidUploadError,
    NoLiveModelError,
    PreprocessingFailedError,
    SettingsError,
)
from suspicious_lines.large_messages import BatchJob, FinishPreprocessingRequest, Preprocessed, PreprocessingRequest
from suspicious_lines.large_settings import StartPreprocessingSettings
from suspicious_lines.layout import RunFiles, resource_name, run_tags
from suspicious_lines.settings import LOCAL_DISK, BucketSettings
from suspicious_lines.training import vpc_config

# An image of AWS that has Python 3.13; of it, nothing but the interpreter is used.
# https://github.com/aws/deep-learning-containers
IMAGE = "763104351884.dkr.ecr.{region}.amazonaws.com/pytorch-training:2.10.0-cpu-py313-ubuntu22.04-sagemaker"
CODE = "/opt/ml/processing/code"
MESSAGE = "/opt/ml/output/message"
VOLUME_GB = 30  # for the archive, what is unpacked of it, and the file's lines, at most 78 bytes each
# What the state machine catches by name, or tells whoever dropped the file.
_TOLD = {error.__name__: error for error in (SettingsError, NoLiveModelError, AwsRefusedError)}


def start_preprocessing(request: PreprocessingRequest, settings: StartPreprocessingSettings) -> BatchJob:
    """Starts the job, or finds it started by an earlier try. What it is asked lies in S3, so that a clean-up finds it.

    Raises:
        QuotaExceededError: other jobs hold the account's instances.
    """
    name = resource_name(settings.resource_prefix, request.run, request.gone)
    code = ship_code(settings.data_bucket, settings.layers)
    note = to_builtins(request) | {"job_name": name}
    store.put_json(settings.data_bucket, RunFiles(request.run).preprocessing_job, note)
    try:
        client("sagemaker").create_processing_job(**processing_job(request, settings, name, code))
    except ClientError as error:
        if error_code(error) != "ResourceInUse":
            raise
    return BatchJob(job_name=name, poll_seconds=settings.poll_seconds)


def ship_code(bucket: str, layers: str) -> str:
    """The key of an archive of all that this function's layers hold, written once for each set of their versions."""
    key = f"code/{hashlib.sha256(layers.encode()).hexdigest()[:16]}.zip"
    if not store.exists(bucket, key):
        from s3transfer.manager import TransferManager  # which would make every cold start longer

        packages = Path(__file__).parents[1]  # /opt/python, where Lambda lays the layers over each other
        with tempfile.TemporaryFile() as file:
            with zipfile.ZipFile(file, "w", strict_timestamps=False) as archive:
                for path in sorted(packages.rglob("*")):
                    if path.is_file():
                        archive.write(path, path.relative_to(packages))
            file.seek(0)
            with TransferManager(client("s3")) as manager:
                manager.upload(file, bucket, key).result()
    return key


def processing_job(
    request: PreprocessingRequest, settings: StartPreprocessingSettings, name: str, code: str
) -> dict[str, Any]:
    """The CreateProcessingJob request. `code`: the key of the archive that the job runs.

    The job calls S3 itself, so that it is in our network, where there is one, without being isolated in it.
    """
    archive = f"{CODE}/{code.rsplit('/', 1)[1]}"
    network = vpc_config(settings)
    cluster = {
        "InstanceType": settings.batch_instance_type,
        "InstanceCount": 1,
        "VolumeSizeInGB": VOLUME_GB,
        **({} if LOCAL_DISK.match(settings.batch_instance_type) else {"VolumeKmsKeyId": settings.data_key_arn}),
    }
    return {
        "ProcessingJobName": name,
        "ProcessingInputs": [
            {
                "InputName": "code",
                "S3Input": {
                    "S3Uri": f"s3://{settings.data_bucket}/{code}",
                    "LocalPath": CODE,
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
        ],
        "ProcessingResources": {"ClusterConfig": cluster},
        "StoppingCondition": {"MaxRuntimeInSeconds": settings.batch_max_runtime_seconds},
        "AppSpecification": {
            "ImageUri": IMAGE.format(region=settings.aws_region),
            "ContainerEntrypoint": ["python3", "-m", "suspicious_lines.batch_entrypoint"],
            "ContainerArguments": [request.run, MESSAGE, archive],
        },
        "Environment": {
            "PYTHONPATH": archive,
            "AWS_REGION": settings.aws_region,
            "AWS_DEFAULT_REGION": settings.aws_region,
            "DATA_BUCKET": settings.data_bucket,
            "SPLIT_SEED": str(settings.split_seed),
            "LINES_PER_PART": str(settings.lines_per_part),
            "FEATURE_GROUP": settings.feature_group,
            "TRAIN_ON_STORED_DAYS": str(settings.train_on_stored_days),
        },
        "RoleArn": settings.batch_role_arn,
        "Tags": run_tags(request.run),
        **({"NetworkConfig": {"VpcConfig": network}} if network else {}),
    }


def finish_preprocessing(request: FinishPreprocessingRequest, settings: BucketSettings) -> Preprocessed:
    """What the job has answered.

    Raises:
        InvalidUploadError, SettingsError, NoLiveModelError, AwsRefusedError: as in a function; the job has told so.
        PreprocessingFailedError: it failed otherwise, or was stopped.
    """
    job = client("sagemaker").describe_processing_job(ProcessingJobName=request.job_name)
    if job["ProcessingJobStatus"] == "Completed":
        return convert(store.get_json(settings.data_bucket, RunFiles(request.run).preprocessing_answer), Preprocessed)
    name, message = _told(job.get("ExitMessage", ""))
    if name == "InvalidUploadError":
        raise InvalidUploadError.told(message)
    if name in _TOLD:
        raise _TOLD[name](message)
    reason = ": ".join(filter(None, [job.get("FailureReason"), name, message])) or "SageMaker gives no reason"
    raise PreprocessingFailedError(f"{request.job_name} is {job['ProcessingJobStatus']}: {reason}")


def _told(exit_message: str) -> tuple[str, str]:
    """Name and message of the error that the job ended with; empty where it could not tell."""
    try:
        told = json.loads(exit_message)
        return str(told["errorType"]), str(told["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return "", ""
