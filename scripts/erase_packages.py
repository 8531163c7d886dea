"""What packages of the model registry say of an upload that is erased: erase.py's part for SageMaker."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from erasing import Target

KEY, VERSION, ERASED = "input-key", "input-version", "input-erased"


class Change(NamedTuple):
    """An UpdateModelPackage request, and what it does in words. It changes metadata only, and so deploys nothing."""

    request: dict[str, Any]
    what: str


def package_changes(sagemaker: Any, group: str, versions: set[str], target: Target) -> Iterator[Change]:
    """Packages of runs that read one of the erased `versions` of uploads, or whose upload is called after the firm."""
    for page in sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group):
        for listed in page["ModelPackageSummaryList"]:
            arn = listed["ModelPackageArn"]
            metadata = sagemaker.describe_model_package(ModelPackageName=arn).get("CustomerMetadataProperties", {})
            request: dict[str, Any] = {"ModelPackageArn": arn}
            if metadata.get(VERSION) in versions and ERASED not in metadata:
                request["CustomerMetadataProperties"] = {ERASED: "true"}
            if not target.matter and target.firm in metadata.get(KEY, ""):
                request["CustomerMetadataPropertiesToRemove"] = [KEY]
            if len(request) > 1:
                said = "say that its file was erased" if "CustomerMetadataProperties" in request else ""
                unsaid = "forget the file's name" if "CustomerMetadataPropertiesToRemove" in request else ""
                yield Change(request, " and ".join(filter(None, (said, unsaid))))
