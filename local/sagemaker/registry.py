"""The model registry: package groups, and in each the versions of a model with their approval status."""

import threading
import time
import unicodedata
from dataclasses import dataclass, field
from typing import Any

from local.sagemaker.bus import Bus, timestamp
from local.sagemaker.errors import ApiError, invalid
from local.sagemaker.listing import page

CHANGED = "SageMaker Model Package State Change"
PROPERTIES = "CustomerMetadataProperties"
UPDATABLE = ("ModelApprovalStatus", "ApprovalDescription", PROPERTIES)
REMOVAL = "CustomerMetadataPropertiesToRemove"
MOST_PROPERTIES = 50
# What keys and values of customer metadata may have beside letters, digits and spaces.
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModelPackage.html
PUNCTUATION = "_.:/=+-@"
# What an event has of a package. UpdatedModelPackageFields, which updates add, is not in the documented example.
# https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
TOLD = ("InferenceSpecification", "MetadataProperties", "ModelMetrics", "DriftCheckBaselines", *UPDATABLE)


@dataclass
class Package:
    """A version: CreateModelPackage's request as later updates changed it; times are epoch seconds."""

    group: str
    version: int
    arn: str
    request: dict[str, Any]
    created: float
    modified: float | None = None

    def summary(self) -> dict[str, Any]:
        told = {
            "ModelPackageGroupName": self.group,
            "ModelPackageVersion": self.version,
            "ModelPackageArn": self.arn,
            "CreationTime": self.created,
            "ModelPackageStatus": "Completed",
            "ModelApprovalStatus": self.request["ModelApprovalStatus"],
        }
        if description := self.request.get("ModelPackageDescription"):
            told["ModelPackageDescription"] = description
        return told


@dataclass
class Group:
    request: dict[str, Any]
    arn: str
    created: float
    packages: dict[int, Package] = field(default_factory=dict)
    versions: int = 0  # ever made: a deleted version's number is not given again

    @property
    def name(self) -> str:
        return self.request["ModelPackageGroupName"]

    def summary(self) -> dict[str, Any]:
        told = {name: value for name, value in self.request.items() if name != "Tags"}
        return told | {
            "ModelPackageGroupArn": self.arn,
            "CreationTime": self.created,
            "ModelPackageGroupStatus": "Completed",
        }


class ModelRegistry:
    """The operations on model package groups and on versioned model packages; each change of a package is told."""

    def __init__(self, bus: Bus, region: str, account: str) -> None:
        self._bus = bus
        self._prefix = f"arn:aws:sagemaker:{region}:{account}"
        self._groups: dict[str, Group] = {}
        self._by_token: dict[str, Package] = {}
        self._lock = threading.RLock()

    def create_group(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["ModelPackageGroupName"]
        with self._lock:
            if name in self._groups:
                raise invalid(f"Model Package Group already exists: {self._groups[name].arn}")
            arn = f"{self._prefix}:model-package-group/{name.lower()}"
            self._groups[name] = Group(request, arn, round(time.time(), 3))
        return {"ModelPackageGroupArn": arn}

    def describe_group(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            return self._group(request).summary() | {"CreatedBy": {}}

    def delete_group(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            group = self._group(request)
            if group.packages:
                raise ApiError("ConflictException", f"{group.arn} has model packages: delete them first.")
            del self._groups[group.name]
        return {}

    def list_groups(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            summaries = [group.summary() for group in self._groups.values()]
        return page(summaries, request, "ModelPackageGroup", "ModelPackageGroupSummaryList", "Ascending")

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        self._check(request)
        with self._lock:
            if earlier := self._by_token.get(request.get("ClientToken", "")):
                return {"ModelPackageArn": earlier.arn}
            group = self._group(request)
            group.versions += 1
            arn = f"{self._prefix}:model-package/{group.name.lower()}/{group.versions}"
            kept = {"ModelApprovalStatus": "PendingManualApproval"} | request
            package = Package(group.name, group.versions, arn, kept, round(time.time(), 3))
            group.packages[package.version] = package
            if token := kept.pop("ClientToken", None):
                self._by_token[token] = package
            self._tell(package, [])
        return {"ModelPackageArn": arn}

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            package = self._package(request["ModelPackageName"])
            told = package.request | package.summary()
            told["ModelPackageStatusDetails"] = {"ValidationStatuses": [], "ImageScanStatuses": []}
            if package.modified is not None:
                told["LastModifiedTime"] = package.modified
            return told

    def update(self, request: dict[str, Any]) -> dict[str, Any]:
        if other := sorted(set(request) - {"ModelPackageArn", REMOVAL, *UPDATABLE}):
            raise invalid(f"The local engine does not update {', '.join(other)} of a model package.")
        _check_properties(request)
        changes = {name: request[name] for name in UPDATABLE if name in request}
        with self._lock:
            package = self._package(request["ModelPackageArn"])
            if PROPERTIES in request or REMOVAL in request:
                left = package.request.get(PROPERTIES, {}) | request.get(PROPERTIES, {})
                changes[PROPERTIES] = {key: left[key] for key in left if key not in request.get(REMOVAL, [])}
                if len(changes[PROPERTIES]) > MOST_PROPERTIES:
                    raise invalid(f"A model package has {MOST_PROPERTIES} customer metadata properties at most.")
            package.request, package.modified = package.request | changes, round(time.time(), 3)
            self._tell(package, list(changes))
        return {"ModelPackageArn": package.arn}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            package = self._package(request["ModelPackageName"])
            del self._groups[package.group].packages[package.version]
        return {}

    def list_page(self, request: dict[str, Any]) -> dict[str, Any]:
        """Versions are of a group; without one SageMaker lists unversioned packages, which are none here."""
        with self._lock:
            packages = list(self._group(request).packages.values()) if "ModelPackageGroupName" in request else []
        status = request.get("ModelApprovalStatus")
        # Versions have no names; a name orders those of one moment.
        summaries = [
            package.summary() | {"ModelPackageName": f"{package.group}/{package.version:09d}"}
            for package in packages
            if status in (None, package.request["ModelApprovalStatus"])
        ]
        answer = page(summaries, request, "ModelPackage", "ModelPackageSummaryList", "Ascending")
        for summary in answer["ModelPackageSummaryList"]:
            del summary["ModelPackageName"]
        return answer

    def _check(self, request: dict[str, Any]) -> None:
        if "ModelPackageName" in request and "ModelPackageGroupName" in request:
            raise invalid(
                "Both ModelPackageName and ModelPackageGroupName are provided in the input. "
                "Cannot determine which one to use."
            )
        if "ModelPackageGroupName" not in request:
            raise invalid("The local engine registers versions of a ModelPackageGroupName only.")
        if request.get("Tags"):
            raise invalid("Tags cannot be put on a version of a model package group: put them on the group.")
        if "InferenceSpecification" not in request:
            raise invalid("The local engine registers packages with an InferenceSpecification only.")
        for container in request["InferenceSpecification"]["Containers"]:
            if "Image" not in container:
                raise invalid("The local engine registers containers with an Image only.")
        _check_properties(request)

    def _group(self, request: dict[str, Any]) -> Group:
        name = request["ModelPackageGroupName"].rpartition("/")[2]
        if name not in self._groups:
            raise invalid(f"ModelPackageGroup {self._prefix}:model-package-group/{name.lower()} does not exist.")
        return self._groups[name]

    def _package(self, name: str) -> Package:
        """By its ARN, or by `group/version`."""
        group, _, version = name.rpartition(":model-package/")[2].rpartition("/")
        for found in self._groups.values():
            if found.name.lower() == group.lower() and version.isdigit() and int(version) in found.packages:
                return found.packages[int(version)]
        arn = name if name.startswith("arn:") else f"{self._prefix}:model-package/{name.lower()}"
        raise invalid(f"ModelPackage {arn} does not exist.")

    def _tell(self, package: Package, changed: list[str]) -> None:
        """Of an update, which members it gave, whether or not they are other than before."""
        modified = package.created if package.modified is None else package.modified
        detail = package.summary() | {
            "CreationTime": timestamp(package.created),
            "LastModifiedTime": timestamp(modified),
            "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
            "CertifyForMarketplace": False,
        }
        detail |= {name: package.request[name] for name in TOLD if name in package.request}
        if changed:
            detail["UpdatedModelPackageFields"] = changed
        self._bus.tell(CHANGED, package.arn, detail)


def _check_properties(request: dict[str, Any]) -> None:
    """botocore's model has the pattern in a form that Python's re does not know."""
    for key, value in request.get(PROPERTIES, {}).items():
        for text, of in ((key, "key"), (value, "value")):
            if not all(map(_is_plain, text)):
                raise invalid(
                    f"1 validation error detected: Value '{text}' at 'customerMetadataProperties' failed to satisfy "
                    f"constraint: Map {of} must satisfy constraint: [Member must satisfy regular expression pattern: "
                    r"^([\p{L}\p{Z}\p{N}_.:\/=+\-@]*)$]"
                )


def _is_plain(character: str) -> bool:
    return character in PUNCTUATION or unicodedata.category(character)[0] in "LZN"
