"""Packages of runs' models, on moto's SageMaker and S3: made once, named truly, cleared with their group."""

import contextlib
import importlib
import json

import msgspec
import pytest
from botocore.exceptions import ClientError

from frames import BUCKET, ROOT
from suspicious_lines import registering, store
from suspicious_lines.costs import estimate
from suspicious_lines.errors import PackageUnusableError
from suspicious_lines.layout import RunFiles, resource_name
from suspicious_lines.receipts import Receipt
from suspicious_lines.registering import delete_packages, expire_package, packages, run_of

GROUP = "suspicious-lines-models"
STATES = "arn:aws:states:us-east-1:000000000000:execution:suspicious-lines-train"


@pytest.fixture
def group(cloud, monkeypatch):
    monkeypatch.setenv("MODEL_PACKAGE_GROUP", GROUP)
    cloud.sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
    return cloud.sagemaker


@pytest.fixture
def trained(group):
    """Leaves what a run that succeeded leaves; `promoted` None: it trained nothing."""

    def leave(run, promoted=True, key="incoming/activities.csv"):
        files, job = RunFiles(run), resource_name("suspicious-lines", run)
        group.create_training_job(
            TrainingJobName=job,
            RoleArn="arn:aws:iam::000000000000:role/suspicious-lines-sagemaker",
            AlgorithmSpecification={"TrainingImage": "image", "TrainingInputMode": "File"},
            OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/{files.model}"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
            StoppingCondition={"MaxRuntimeInSeconds": 60},
        )
        artifact = group.describe_training_job(TrainingJobName=job)["ModelArtifacts"]["S3ModelArtifacts"]
        names = [files.result(name) for name in ("metrics.json", "comparison.json", "scored_lines.parquet")]
        for made in [*names, files.encoder, artifact.removeprefix(f"s3://{BUCKET}/")]:
            store.put(BUCKET, made, b"x", "x")
        receipt = msgspec.convert(
            {
                "run": run,
                "execution_arn": f"{STATES}:{run}",
                "status": "SUCCEEDED",
                "input": {"bucket": BUCKET, "key": key, "etag": "e", "size": 1, "version_id": "v.1_a"},
                "sha256": "ab12",
                "threshold": {"value": 1.25, "strategy": "budget", "note": None},
                "promotion": None if promoted is None else {"promoted": promoted, "champion": None, "reason": "r"},
                "timings": {"started_at": "2026-11-23T00:00:00Z", "seconds": 1, "states": {}, "transitions": 1},
                "estimated_cost": msgspec.to_builtins(estimate({}, 1, 1, "ml.m5.large", 2048, 0, "ml.m5.xlarge")),
            },
            Receipt,
        )
        store.put_json(BUCKET, files.receipt, receipt)
        return artifact

    return leave


@pytest.fixture
def register(load_handler, context, group):
    event = json.loads((ROOT / "events/register_model.json").read_text()) | {"startDate": 1_700_000_000_000}
    load = load_handler("register_model")

    def call(run):
        return load(event | {"name": run, "executionArn": f"{STATES}:{run}"}, context)["package"]

    return call


def test_a_promoted_model_is_approved_and_names_all_that_it_was_made_of(group, trained, register):
    artifact = trained("a")
    package = group.describe_model_package(ModelPackageName=register("a"))
    assert package["ModelApprovalStatus"] == "Approved"
    (container,) = package["InferenceSpecification"]["Containers"]
    assert container["ModelDataUrl"] == artifact
    assert "randomcutforest" in container["Image"]
    place = f"s3://{BUCKET}/runs/a"
    quality, data = (package["ModelMetrics"][of]["Statistics"] for of in ("ModelQuality", "ModelDataQuality"))
    assert quality == {"ContentType": "application/json", "S3Uri": f"{place}/results/metrics.json"}
    assert data == {"ContentType": "application/json", "S3Uri": f"{place}/encoder.json"}
    baseline = package["DriftCheckBaselines"]["ModelDataQuality"]["Statistics"]
    assert baseline["S3Uri"] == f"{place}/results/scored_lines.parquet"
    assert package["MetadataProperties"]["GeneratedBy"] == f"{STATES}:a"
    assert package["CustomerMetadataProperties"] == {
        "run": "a",
        "receipt": f"{place}/receipt.json",
        "encoder": f"{place}/encoder.json",
        "comparison": f"{place}/results/comparison.json",
        "promoted": "true",
        "threshold": "1.25",
        "threshold-strategy": "budget",
        "input-bucket": BUCKET,
        "input-key": "incoming/activities.csv",
        "input-version": "v.1_a",
        "input-sha256": "ab12",
    }


def test_a_refused_model_waits_for_a_person(group, trained, register):
    trained("a", promoted=False)
    package = group.describe_model_package(ModelPackageName=register("a"))
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["CustomerMetadataProperties"]["promoted"] == "false"


def test_a_run_is_registered_once(group, trained, register):
    for run in ("a", "b", "aa"):
        trained(run)
    first = [register(run) for run in ("a", "aa", "b")]
    assert [register(run) for run in ("a", "aa", "b")] == first
    assert len(set(first)) == 3
    assert list(packages(GROUP)) == first


def test_a_run_without_a_model_is_not_registered(group, trained, register):
    assert register("a-second-delivery") is None
    trained("a", promoted=None)
    assert register("a") is None
    assert list(packages(GROUP)) == []


def test_what_metadata_may_not_hold_is_left_to_the_receipt(group, trained, register):
    trained("a", key="incoming/Straße, 100%.csv")
    metadata = group.describe_model_package(ModelPackageName=register("a"))["CustomerMetadataProperties"]
    assert "input-key" not in metadata
    assert metadata["input-version"] == "v.1_a"
    trained("b", key="incoming/Straße 100.csv")
    metadata = group.describe_model_package(ModelPackageName=register("b"))["CustomerMetadataProperties"]
    assert metadata["input-key"] == "incoming/Straße 100.csv"


def test_a_run_whose_files_are_gone_is_not_registered(group, trained, register):
    trained("a")
    store.delete(BUCKET, RunFiles("a").encoder)
    with pytest.raises(
        PackageUnusableError, match=r"the model of run a cannot serve: runs/a/encoder.json is not there"
    ):
        register("a")
    assert list(packages(GROUP)) == []


def test_a_package_that_somebody_else_registered_is_none_of_ours():
    assert run_of({"ModelPackageArn": "arn", "ModelPackageDescription": "Run a_(1)"}) == "a_(1)"
    with pytest.raises(PackageUnusableError, match="arn was not registered by a run"):
        run_of({"ModelPackageArn": "arn"})


def test_the_package_of_an_expired_run_says_so(group, trained, register):
    trained("a")
    trained("b")
    a, b = register("a"), register("b")
    expire_package(GROUP, "a", "its files are deleted")
    expired = group.describe_model_package(ModelPackageName=a)
    assert (expired["ModelApprovalStatus"], expired["ApprovalDescription"]) == ("Rejected", "its files are deleted")
    assert group.describe_model_package(ModelPackageName=b)["ModelApprovalStatus"] == "Approved"


def test_a_group_is_emptied(group, trained, register, monkeypatch):
    trained("a")
    trained("b")
    made, deleted = [register("a"), register("b")], []

    class SageMaker:
        get_paginator = group.get_paginator

        def delete_model_package(self, ModelPackageName):
            deleted.append(ModelPackageName)

    monkeypatch.setattr(registering, "client", lambda service: SageMaker())
    delete_packages(GROUP)
    assert deleted == made


@pytest.mark.parametrize(("words", "fails"), [("ModelPackageGroup arn does not exist.", False), ("Denied", True)])
def test_a_group_that_is_gone_is_empty(monkeypatch, words, fails):
    def client(service):
        raise ClientError({"Error": {"Code": "ValidationException", "Message": words}}, "ListModelPackages")

    monkeypatch.setattr(registering, "client", client)
    with pytest.raises(ClientError) if fails else contextlib.nullcontext():
        delete_packages(GROUP)


def test_erasing_is_said_in_packages_and_the_name_of_the_firm_taken_out(group, trained, register, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    erasing, erase_packages = (importlib.import_module(name) for name in ("erasing", "erase_packages"))
    trained("a")
    trained("b", key="incoming/Specimen Elm LLP.csv")
    a, b = register("a"), register("b")
    plan = [
        erase_packages.package_changes(group, GROUP, versions, erasing.Target.of(firm, matter))
        for versions, firm, matter in (
            (set(), "Absent LLP", ""), ({"v.1_a"}, "Absent LLP", ""), (set(), "Specimen Elm LLP", ""),
            (set(), "Specimen Elm LLP", "7"),
        )
    ]  # fmt: skip
    nothing, erased, named, of_a_matter = map(list, plan)
    assert nothing == of_a_matter == []
    said = {"CustomerMetadataProperties": {"input-erased": "true"}}
    assert [change.request for change in erased] == [{"ModelPackageArn": arn} | said for arn in (a, b)]
    unsaid = {"ModelPackageArn": b, "CustomerMetadataPropertiesToRemove": ["input-key"]}
    assert [change.request for change in named] == [unsaid]
    group.update_model_package(ModelPackageArn=a, **said)
    both = list(erase_packages.package_changes(group, GROUP, {"v.1_a"}, erasing.Target.of("Specimen Elm LLP", "")))
    assert [change.request for change in both] == [unsaid | said]
    assert both[0].what == "say that its file was erased and forget the file's name"
