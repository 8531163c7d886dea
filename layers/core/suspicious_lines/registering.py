"""Each run's model as a package of the model registry: what it is made of, how good it is, and what it was made from.

SageMaker draws its own lineage from a training job to the packages of its artifact. What it cannot know is which file a
run read: that, the run and the run's files are the package's customer metadata.
"""

import hashlib
import unicodedata
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from suspicious_lines import store
from suspicious_lines.aws import client, error_message
from suspicious_lines.errors import PackageUnusableError
from suspicious_lines.layout import RunFiles, resource_name
from suspicious_lines.receipts import Receipt, find_receipt
from suspicious_lines.registry_messages import Registered, RegisterRequest
from suspicious_lines.registry_settings import RegisterSettings
from suspicious_lines.training import image_uri

JSON, PARQUET = "application/json", "application/vnd.apache.parquet"
_DESCRIPTION = "Run "  # and its name: nobody can change it later, and lists show it
# What values of customer metadata may have beside letters, digits and spaces, and how long they may be.
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModelPackage.html
_PUNCTUATION, _LONGEST = "_.:/=+-@", 256


def register_model(request: RegisterRequest, settings: RegisterSettings) -> Registered:
    """Registers the model that a run trained, or finds it registered by an earlier try.

    A promoted model is Approved. A refused one is PendingManualApproval, and not Rejected: a person may know better
    than the comparison and approve it, whereas a rejection is a person's word and bars a model.

    Raises:
        PackageUnusableError: a file of the run is gone.
    """
    receipt = find_receipt(settings.data_bucket, request.run)
    if receipt is None or receipt.promotion is None:  # a second delivery of an upload, which trains nothing
        return Registered(package=None)
    found = next(packages(settings.model_package_group, request.run, request.started_at), None)
    if found is None:
        made = client("sagemaker").create_model_package(**model_package(request, receipt, settings))
        found = made["ModelPackageArn"]
    return Registered(package=found)


def model_package(request: RegisterRequest, receipt: Receipt, settings: RegisterSettings) -> dict[str, Any]:
    """The CreateModelPackage request of a run; every file that it names is there.

    Raises:
        PackageUnusableError: a file of the run is gone.
    """
    bucket, files = settings.data_bucket, RunFiles(request.run)
    job_name = resource_name(settings.resource_prefix, request.run)
    job = client("sagemaker").describe_training_job(TrainingJobName=job_name)
    artifact = job["ModelArtifacts"]["S3ModelArtifacts"]
    metrics, scored = files.result("metrics.json"), files.result("scored_lines.parquet")
    comparison = files.result("comparison.json")
    require(bucket, request.run, metrics, scored, comparison, files.encoder, artifact.removeprefix(f"s3://{bucket}/"))

    def source(key: str, content_type: str) -> dict[str, Any]:
        return {"Statistics": {"ContentType": content_type, "S3Uri": f"s3://{bucket}/{key}"}}

    assert receipt.promotion is not None
    return {
        "ModelPackageGroupName": settings.model_package_group,
        "ModelPackageDescription": f"{_DESCRIPTION}{request.run}",
        "InferenceSpecification": {
            "Containers": [{"Image": image_uri(settings.aws_region), "ModelDataUrl": artifact}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        "ModelApprovalStatus": "Approved" if receipt.promotion.promoted else "PendingManualApproval",
        # The encoder is what was found usual of the training lines; the scored lines are what the monitor measures by.
        "ModelMetrics": {"ModelQuality": source(metrics, JSON), "ModelDataQuality": source(files.encoder, JSON)},
        "DriftCheckBaselines": {"ModelQuality": source(metrics, JSON), "ModelDataQuality": source(scored, PARQUET)},
        "MetadataProperties": {"GeneratedBy": request.execution_arn},
        "CustomerMetadataProperties": _metadata(bucket, files, receipt),
        "ClientToken": hashlib.sha256(request.run.encode()).hexdigest()[:32],
    }


def _metadata(bucket: str, files: RunFiles, receipt: Receipt) -> dict[str, str]:
    """What a value may not hold, such as a key with a comma, is left out: the receipt has it."""
    given = {
        "run": files.run,
        "receipt": f"s3://{bucket}/{files.receipt}",
        "encoder": f"s3://{bucket}/{files.encoder}",
        "comparison": f"s3://{bucket}/{files.result('comparison.json')}",
        "promoted": str(receipt.promotion is not None and receipt.promotion.promoted).lower(),
        "threshold": str(receipt.threshold.value) if receipt.threshold else "",
        "threshold-strategy": receipt.threshold.strategy if receipt.threshold else "",
        "family": receipt.family,
        "input-bucket": receipt.input.bucket if receipt.input else "",
        "input-key": receipt.input.key if receipt.input else "",
        "input-version": (receipt.input.version_id if receipt.input else None) or "",
        "input-sha256": receipt.sha256 or "",
    }
    return {name: value for name, value in given.items() if 0 < len(value) <= _LONGEST and all(map(_is_plain, value))}


def _is_plain(character: str) -> bool:
    return character in _PUNCTUATION or unicodedata.category(character)[0] in "LZN"


def require(bucket: str, run: str, *keys: str) -> None:
    """Raises PackageUnusableError where a file of a run is gone."""
    gone = [key for key in keys if not store.exists(bucket, key)]
    if gone:
        raise PackageUnusableError(f"the model of run {run} cannot serve: {', '.join(gone)} is not there any more")


def packages(group: str, run: str = "", since: datetime | None = None) -> Iterator[str]:
    """The ARNs of a group's packages, or of a run's; `since` spares reading those that were made before."""
    request = {"ModelPackageGroupName": group, "MaxResults": 100} | ({"CreationTimeAfter": since} if since else {})
    for page in client("sagemaker").get_paginator("list_model_packages").paginate(**request):
        for summary in page["ModelPackageSummaryList"]:
            if not run or summary.get("ModelPackageDescription") == f"{_DESCRIPTION}{run}":
                yield summary["ModelPackageArn"]


def run_of(package: dict[str, Any]) -> str:
    """The run that trained the model of a described package.

    Raises:
        PackageUnusableError: the package is none of ours.
    """
    description = package.get("ModelPackageDescription", "")
    if not description.startswith(_DESCRIPTION):
        raise PackageUnusableError(f"{package['ModelPackageArn']} was not registered by a run")
    return description.removeprefix(_DESCRIPTION)


def family_of_package(package: dict[str, Any]) -> str:
    """The family of the upload that the model of a described package was trained on; empty, of none."""
    return package.get("CustomerMetadataProperties", {}).get("family", "")


def expire_package(group: str, run: str, why: str) -> None:
    """Says of a run's package that the files of its model are about to be deleted: nobody can deploy it any more."""
    for arn in packages(group, run):
        client("sagemaker").update_model_package(
            ModelPackageArn=arn, ModelApprovalStatus="Rejected", ApprovalDescription=why
        )


def delete_packages(group: str) -> None:
    """Empties a group, which cannot be deleted otherwise; what packages name stays. It may be gone already, by hand."""
    try:
        for arn in list(packages(group)):
            client("sagemaker").delete_model_package(ModelPackageName=arn)
    except ClientError as error:
        if "does not exist" not in error_message(error):
            raise
