"""The model registry: groups, versions, approval, and what EventBridge is told of it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.sagemaker import Engine, serve

from .clients import IMAGE, REGION, SageMaker, client, connect, wait_for

GROUP = "lines"
ARN = "arn:aws:sagemaker:us-east-1:000000000000"


class Bus:
    """Takes what the engine puts on EventBridge."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.answers: list[Any] = []

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        self.entries += Entries
        return self.answers.pop() if self.answers else {"FailedEntryCount": 0}

    def details(self, count: int) -> list[dict[str, Any]]:
        wait_for(lambda: len(self.entries) >= count)
        assert len(self.entries) == count
        return [json.loads(entry["Detail"]) for entry in self.entries]


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def registry(s3_url: str, bus: Bus) -> Iterator[Any]:
    """The control plane's client of an engine of its own, with one group."""
    server = serve(Engine(client("s3", s3_url), REGION, bus), 0)
    control = connect(server.url, s3_url).control
    control.create_model_package_group(ModelPackageGroupName=GROUP)
    yield control
    server.stop()


def register(registry: Any, **changes: Any) -> str:
    container = {"Image": IMAGE, "ModelDataUrl": "s3://bucket/model.tar.gz"}
    request = {"ModelPackageGroupName": GROUP, "InferenceSpecification": {"Containers": [container]}} | changes
    return registry.create_model_package(**{name: value for name, value in request.items() if value is not None})[
        "ModelPackageArn"
    ]


def refused(call: Any, words: str, code: str = "ValidationException", **request: Any) -> None:
    with pytest.raises(ClientError) as error:
        call(**request)
    assert error.value.response["Error"]["Code"] == code
    assert words in error.value.response["Error"]["Message"]


def test_versions_count_up_and_a_deleted_number_does_not_come_back(registry: Any) -> None:
    arns = [register(registry) for _ in range(2)]
    assert arns == [f"{ARN}:model-package/lines/{version}" for version in (1, 2)]
    registry.delete_model_package(ModelPackageName=arns[1])
    assert register(registry).endswith("/3")
    listed = registry.list_model_packages(ModelPackageGroupName=GROUP)["ModelPackageSummaryList"]
    assert [one["ModelPackageVersion"] for one in listed] == [1, 3]
    refused(registry.describe_model_package, f"ModelPackage {arns[1]} does not exist.", ModelPackageName=arns[1])


def test_a_version_is_described_as_it_was_registered(registry: Any) -> None:
    metrics = {"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": "s3://bucket/metrics.json"}}}
    given = {"ModelMetrics": metrics, "CustomerMetadataProperties": {"run": "a"}, "ModelPackageDescription": "Run a"}
    arn = register(registry, **given)
    told = registry.describe_model_package(ModelPackageName=arn)
    assert {name: told[name] for name in given} == given
    assert (told["ModelPackageGroupName"], told["ModelPackageVersion"]) == (GROUP, 1)
    assert (told["ModelPackageStatus"], told["ModelApprovalStatus"]) == ("Completed", "PendingManualApproval")
    assert "LastModifiedTime" not in told
    assert registry.describe_model_package(ModelPackageName=f"{GROUP}/1")["ModelPackageArn"] == arn


def test_a_token_makes_one_version_however_often_it_is_given(registry: Any) -> None:
    arn = register(registry, ClientToken="once")
    assert register(registry, ClientToken="once") == arn
    assert register(registry, ClientToken="twice") != arn


def test_lists_are_filtered_and_paged(registry: Any) -> None:
    arns = [register(registry, ModelApprovalStatus=status) for status in ("Approved", "Rejected", "Approved")]
    approved = registry.list_model_packages(ModelPackageGroupName=GROUP, ModelApprovalStatus="Approved")
    assert [one["ModelPackageArn"] for one in approved["ModelPackageSummaryList"]] == [arns[0], arns[2]]
    assert not {"ModelPackageName"} & set(approved["ModelPackageSummaryList"][0])
    pages = registry.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=GROUP, SortOrder="Descending", PaginationConfig={"PageSize": 2}
    )
    assert [one["ModelPackageArn"] for page in pages for one in page["ModelPackageSummaryList"]] == arns[::-1]
    created = registry.describe_model_package(ModelPackageName=arns[2])["CreationTime"]
    late = registry.list_model_packages(ModelPackageGroupName=GROUP, CreationTimeAfter=created)
    assert arns[2] in [one["ModelPackageArn"] for one in late["ModelPackageSummaryList"]]
    assert registry.list_model_packages()["ModelPackageSummaryList"] == []


def test_an_update_changes_what_it_names_and_is_told(registry: Any, bus: Bus) -> None:
    arn = register(registry, CustomerMetadataProperties={"run": "a", "key": "x"})
    registry.update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="looks right"
    )
    registry.update_model_package(
        ModelPackageArn=arn, CustomerMetadataProperties={"erased": "true"}, CustomerMetadataPropertiesToRemove=["key"]
    )
    told = registry.describe_model_package(ModelPackageName=arn)
    assert (told["ModelApprovalStatus"], told["ApprovalDescription"]) == ("Approved", "looks right")
    assert told["CustomerMetadataProperties"] == {"run": "a", "erased": "true"}
    assert told["LastModifiedTime"] >= told["CreationTime"]

    made, approved, erased = bus.details(3)
    assert {(entry["Source"], entry["DetailType"]) for entry in bus.entries} == {
        ("aws.sagemaker", "SageMaker Model Package State Change")
    }
    assert [entry["Resources"] for entry in bus.entries] == [[arn]] * 3
    assert (made["ModelApprovalStatus"], approved["ModelApprovalStatus"]) == ("PendingManualApproval", "Approved")
    assert made["CreationTime"] == made["LastModifiedTime"]
    assert "UpdatedModelPackageFields" not in made
    assert approved["UpdatedModelPackageFields"] == ["ModelApprovalStatus", "ApprovalDescription"]
    assert erased["UpdatedModelPackageFields"] == ["CustomerMetadataProperties"]
    assert (approved["ModelPackageGroupName"], approved["ModelPackageVersion"]) == (GROUP, 1)
    assert (approved["ModelPackageArn"], approved["ApprovalDescription"]) == (arn, "looks right")
    assert approved["InferenceSpecification"]["Containers"][0]["Image"] == IMAGE


def test_a_bus_that_refuses_does_not_fail_the_update(registry: Any, bus: Bus, capfd: Any) -> None:
    bus.answers = [{"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}]
    arn = register(registry)
    registry.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Rejected")
    bus.details(2)
    assert "EventBridge refused an event" in capfd.readouterr().err


def test_a_group_is_deleted_when_it_is_empty(registry: Any) -> None:
    arn = register(registry)
    refused(registry.delete_model_package_group, "has model packages", "ConflictException", ModelPackageGroupName=GROUP)
    registry.delete_model_package(ModelPackageName=arn)
    registry.delete_model_package_group(ModelPackageGroupName=GROUP)
    words = f"ModelPackageGroup {ARN}:model-package-group/lines does not exist."
    refused(registry.describe_model_package_group, words, ModelPackageGroupName=GROUP)
    refused(registry.list_model_packages, words, ModelPackageGroupName=GROUP)


def test_groups_are_described_listed_and_made_once(registry: Any) -> None:
    tags = [{"Key": "team", "Value": "legal"}]
    made = registry.create_model_package_group(ModelPackageGroupName="other", Tags=tags)["ModelPackageGroupArn"]
    assert registry.list_tags(ResourceArn=made)["Tags"] == tags
    refused(registry.create_model_package_group, f"already exists: {made}", ModelPackageGroupName="other")
    told = registry.describe_model_package_group(ModelPackageGroupName="other")
    assert (told["ModelPackageGroupArn"], told["ModelPackageGroupStatus"]) == (made, "Completed")
    listed = registry.list_model_package_groups(NameContains="oth")["ModelPackageGroupSummaryList"]
    assert [group["ModelPackageGroupName"] for group in listed] == ["other"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ModelPackageName": "x"}, "Both ModelPackageName and ModelPackageGroupName are provided"),
        ({"ModelPackageGroupName": None}, "versions of a ModelPackageGroupName only"),
        ({"ModelPackageGroupName": "none"}, f"ModelPackageGroup {ARN}:model-package-group/none does not exist."),
        ({"InferenceSpecification": None}, "with an InferenceSpecification only"),
        ({"InferenceSpecification": {"Containers": [{}]}}, "with an Image only"),
        ({"Tags": [{"Key": "k", "Value": "v"}]}, "put them on the group"),
        ({"ModelApprovalStatus": "Fine"}, "Member must satisfy enum value set"),
        ({"CustomerMetadataProperties": {"input": "a,b"}}, "Map value must satisfy constraint"),
        ({"CustomerMetadataProperties": {"k,": "v"}}, "Map key must satisfy constraint"),
        ({"CustomerMetadataProperties": {"k": "v" * 257}}, "length less than or equal to 256"),
    ],
)
def test_a_package_that_makes_no_sense_is_refused(registry: Any, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ClientError, match="ValidationException") as error:
        register(registry, **changes)
    assert words in error.value.response["Error"]["Message"]
    assert registry.list_model_packages(ModelPackageGroupName=GROUP)["ModelPackageSummaryList"] == []


def test_what_the_engine_does_not_update_is_said(registry: Any) -> None:
    arn = register(registry)
    refused(registry.update_model_package, "does not update SourceUri", ModelPackageArn=arn, SourceUri="s3://b/k")
    many = {f"k{number}": "v" for number in range(49)}
    registry.update_model_package(ModelPackageArn=arn, CustomerMetadataProperties=many)
    more = {"a": "b", "c": "d"}
    refused(registry.update_model_package, "at most", ModelPackageArn=arn, CustomerMetadataProperties=more)
    assert registry.describe_model_package(ModelPackageName=arn)["CustomerMetadataProperties"] == many


def test_without_a_bus_nobody_is_told(sagemaker: SageMaker) -> None:
    sagemaker.control.create_model_package_group(ModelPackageGroupName="silent")
    arn = register(sagemaker.control, ModelPackageGroupName="silent")
    sagemaker.control.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    assert sagemaker.control.describe_model_package(ModelPackageName=arn)["ModelApprovalStatus"] == "Approved"
