"""The training job of a run: the built-in Random Cut Forest on its train features."""

import functools
import json
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from suspicious_lines.aws import client, error_code
from suspicious_lines.errors import SettingsError
from suspicious_lines.large_settings import StartPreprocessingSettings
from suspicious_lines.layout import RunFiles, resource_name, run_tags
from suspicious_lines.settings import LOCAL_DISK, TrainingSettings
from suspicious_lines.train_messages import Training, TrainingRequest

CSV_WITHOUT_LABEL = "text/csv;label_size=0"
CSV_WITH_LABEL = "text/csv;label_size=1"
# What the test channel is for; they are written to the job's log and FinalMetricDataList.
EVAL_METRICS = '["accuracy", "precision_recall_fscore"]'


@functools.cache
def _images() -> dict[str, Any]:
    return json.loads(Path(__file__).with_name("rcf_images.json").read_text())


def image_uri(region: str) -> str:
    """The built-in Random Cut Forest image of a region.

    Raises:
        SettingsError: AWS publishes no such image there.
    """
    images = _images()
    account = images["registries"].get(region)
    if account is None:
        raise SettingsError(f"SageMaker has no built-in Random Cut Forest in {region}: deploy to another region")
    suffix = images["dns_suffix"].get(region, "amazonaws.com")
    return f"{account}.dkr.ecr.{region}.{suffix}/{images['repository']}:{images['tag']}"


def training_job(request: TrainingRequest, settings: TrainingSettings) -> dict[str, Any]:
    """The CreateTrainingJob request of a run; with a test channel where there are lines that reviewers have judged.

    Without a key of its own the artifact would be encrypted with AWS's key, and not as the bucket is.
    """
    files, bucket, key = RunFiles(request.run), settings.data_bucket, settings.data_key_arn
    parameters = {
        "feature_dim": str(request.feature_dim),
        "num_trees": str(settings.num_trees),
        "num_samples_per_tree": str(settings.num_samples_per_tree),
    }
    train = _channel("train", CSV_WITHOUT_LABEL, f"s3://{bucket}/{files.train_features}", "ShardedByS3Key")
    test = _channel("test", CSV_WITH_LABEL, f"s3://{bucket}/{files.test_features}", "FullyReplicated")
    return {
        "TrainingJobName": resource_name(settings.resource_prefix, request.run),
        "AlgorithmSpecification": {"TrainingImage": image_uri(settings.aws_region), "TrainingInputMode": "File"},
        "RoleArn": settings.training_role_arn,
        "HyperParameters": parameters | ({"eval_metrics": EVAL_METRICS} if request.lines_judged else {}),
        "InputDataConfig": [train, test] if request.lines_judged else [train],
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/{files.model}", "KmsKeyId": key},
        "ResourceConfig": {
            "InstanceType": settings.training_instance_type,
            "InstanceCount": 1,
            "VolumeSizeInGB": 10,
            **({} if LOCAL_DISK.match(settings.training_instance_type) else {"VolumeKmsKeyId": key}),
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": settings.training_max_runtime_seconds},
        "Tags": run_tags(request.run),
        **({"VpcConfig": network, "EnableNetworkIsolation": True} if (network := vpc_config(settings)) else {}),
    }


def vpc_config(settings: TrainingSettings | StartPreprocessingSettings) -> dict[str, list[str]] | None:
    """Our network for a job, where there is one. A training container is isolated in it: SageMaker reads and writes S3.

    One instance has no traffic between containers that could be encrypted.
    """
    if not settings.training_subnet_ids:
        return None
    return {"Subnets": settings.training_subnet_ids.split(","), "SecurityGroupIds": [settings.training_group_id]}


def _channel(name: str, content_type: str, uri: str, distribution: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": distribution}
    return {"ChannelName": name, "ContentType": content_type, "DataSource": {"S3DataSource": source}}


def start_training(request: TrainingRequest, settings: TrainingSettings) -> Training:
    """Starts the run's training job, or finds it started by an earlier try."""
    job = training_job(request, settings)
    try:
        client("sagemaker").create_training_job(**job)
    except ClientError as error:
        if error_code(error) != "ResourceInUse":
            raise
    return Training(job_name=job["TrainingJobName"], poll_seconds=settings.poll_seconds)
