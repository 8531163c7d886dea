"""The model registry: each run's model is a package with its files, and what people decide there takes effect."""

import json
import time

import pytest
from botocore.exceptions import ClientError

from local.activities import generate
from local.cloud import STACK
from suspicious_lines.layout import resource_name

GROUP = f"{STACK}-models"


@pytest.fixture
def workflow(registry_workflow):
    registry_workflow.no_faults()
    yield registry_workflow
    registry_workflow.no_faults()


@pytest.fixture(scope="module")
def runs(registry_workflow, activities, spoilt):
    """Two models that were promoted, the first of them a former one now, and one that was refused."""
    dropped = [registry_workflow.drop(body) for body in (activities, activities, spoilt)]
    assert [run.status for run in dropped] == ["SUCCEEDED"] * 3
    for run in dropped:
        package_of(registry_workflow, run)
    return dropped


def package_of(workflow, run) -> dict:
    """The package of a run, described; waits for the function that the end of the run starts."""
    for _ in range(200):
        for listed in workflow.sagemaker.list_model_packages(ModelPackageGroupName=GROUP)["ModelPackageSummaryList"]:
            if listed["ModelPackageDescription"] == f"Run {run.name}":
                return workflow.sagemaker.describe_model_package(ModelPackageName=listed["ModelPackageArn"])
        time.sleep(0.1)
    raise AssertionError(f"{run.name} has no package")


def approvals(workflow) -> list[dict]:
    machine = workflow.machine.replace("-train", "-approve")
    return workflow.sfn.list_executions(stateMachineArn=machine)["executions"]


def decide(workflow, run, status, description=""):
    """Sets the approval status of a run's package; the execution that follows, ended."""
    known = {execution["executionArn"] for execution in approvals(workflow)}
    workflow.sagemaker.update_model_package(
        ModelPackageArn=package_of(workflow, run)["ModelPackageArn"],
        ModelApprovalStatus=status,
        ApprovalDescription=description,
    )
    for _ in range(200):
        for execution in approvals(workflow):
            if execution["executionArn"] not in known:
                return workflow.wait(execution["executionArn"])
        time.sleep(0.1)
    raise AssertionError("nothing came of the decision")


def current(workflow) -> dict:
    return json.loads(workflow.s3.get_object(Bucket=workflow.bucket, Key="models/current.json")["Body"].read())


def subjects(workflow, run) -> list[str]:
    return [mail["Subject"] for mail in workflow.mails(run, "operators")]


def uris(node) -> set[str]:
    """All that a package names in S3."""
    if isinstance(node, dict):
        return set().union(*map(uris, node.values()))
    if isinstance(node, list):
        return set().union(*map(uris, node))
    return {node} if isinstance(node, str) and node.startswith("s3://") else set()


def test_each_run_is_a_package_whose_files_are_there(workflow, runs):
    packages = [package_of(workflow, run) for run in runs]
    statuses = [package["ModelApprovalStatus"] for package in packages]
    assert statuses == ["Approved", "Approved", "PendingManualApproval"]
    for run, package in zip(runs, packages, strict=True):
        names = {uri.removeprefix(f"s3://{workflow.bucket}/runs/{run.name}/") for uri in uris(package)}
        assert {"encoder.json", "receipt.json", "results/metrics.json", "results/scored_lines.parquet"} < names
        assert names <= workflow.keys(run)
        receipt, metadata = workflow.json(run, "receipt.json"), package["CustomerMetadataProperties"]
        told = [metadata[f"input-{name}"] for name in ("bucket", "key", "version", "sha256")]
        upload = receipt["input"]
        assert told == [upload["bucket"], upload["key"], upload["version_id"], receipt["sha256"]]
        version = {"Bucket": told[0], "Key": told[1], "VersionId": told[2]}
        assert workflow.s3.head_object(**version)["ContentLength"] == upload["size"]
        assert float(metadata["threshold"]) == receipt["threshold"]["value"]
        assert package["MetadataProperties"]["GeneratedBy"] == run.arn


def test_a_second_event_and_a_second_delivery_register_nothing(workflow, runs):
    before = workflow.sagemaker.list_model_packages(ModelPackageGroupName=GROUP)["ModelPackageSummaryList"]
    described = workflow.sfn.describe_execution(executionArn=runs[0].arn)
    started = int(described["startDate"].timestamp() * 1000)
    detail = {"name": runs[0].name, "executionArn": runs[0].arn, "status": "SUCCEEDED", "startDate": started}
    arn = package_of(workflow, runs[0])["ModelPackageArn"]
    assert workflow.invoke("RegisterModelFunction", detail) == {"package": arn}
    again = workflow.wait(workflow.start_again(runs[0]))
    assert (again.status, workflow.entered(again)[-1]) == ("SUCCEEDED", "DuplicateUpload")
    detail |= {"name": again.name, "executionArn": again.arn}
    assert workflow.invoke("RegisterModelFunction", detail) == {"package": None}
    assert workflow.sagemaker.list_model_packages(ModelPackageGroupName=GROUP)["ModelPackageSummaryList"] == before
    assert approvals(workflow) == [], "being registered is no decision"


def test_a_refused_model_that_is_approved_is_deployed_and_goes_live(workflow, runs):
    _, second, refused = runs
    done = decide(workflow, refused, "Approved", "the file was right")
    assert done.status == "SUCCEEDED"
    assert "DeployEndpoint" in workflow.entered(done)
    live = current(workflow)
    assert (live["run"], live["endpoint_name"]) == (refused.name, resource_name(STACK, done.name))
    assert [former["run"] for former in live["former"]] == [second.name]
    assert live["history"][0]["what"] == "approved"
    assert live["history"][0]["reason"] == "the file was right"
    kept = {live["endpoint_name"], live["former"][0]["endpoint_name"]}
    assert workflow.hosted()["endpoints"] == kept, "that of the first model is not kept any more"
    assert subjects(workflow, done) == ["Approved model is live"]
    body = generate(seed=7, lines=120).drop(columns="Error").to_csv(index=False).encode()
    scored = workflow.drop(body, "invoices/approved.csv")
    assert workflow.json(scored, "receipt.json")["model"]["run"] == refused.name


def test_the_older_model_whose_endpoint_is_gone_goes_live_when_it_is_approved(workflow, runs):
    first, _, refused = runs
    threshold = workflow.json(first, "receipt.json")["threshold"]["value"]
    done = decide(workflow, first, "Approved")
    assert done.status == "SUCCEEDED"
    live = current(workflow)
    assert (live["run"], live["threshold"]) == (first.name, threshold)
    assert [former["run"] for former in live["former"]] == [refused.name]
    assert workflow.entered(decide(workflow, first, "Approved"))[-1] == "NothingToDo"
    assert current(workflow) == live


def test_a_model_that_is_kept_goes_live_from_its_endpoint(workflow, runs):
    first, _, refused = runs
    endpoint = current(workflow)["former"][0]["endpoint_name"]
    done = decide(workflow, refused, "Approved")
    assert workflow.entered(done) == ["ReadApproval", "WhatWasDecided", "ApproveModel"]
    assert current(workflow)["endpoint_name"] == endpoint
    assert decide(workflow, first, "Approved").status == "SUCCEEDED"


def test_a_rejected_model_cannot_be_gone_back_to(workflow, runs):
    first, _, refused = runs
    assert decide(workflow, refused, "Rejected").status == "SUCCEEDED"
    assert current(workflow)["rejected"] == [refused.name]
    machine = workflow.cloud.outputs["RollbackStateMachineArn"]
    for order in ({"run": refused.name}, {}):
        arn = workflow.sfn.start_execution(stateMachineArn=machine, input=json.dumps(order))["executionArn"]
        assert workflow.wait(arn).error == "NoFormerModelError"
    assert workflow.live() == first.name


def test_a_rejected_live_model_makes_room_or_people_are_told_that_it_cannot(workflow, runs):
    first, second, _ = runs
    stays = decide(workflow, first, "Rejected", "it flags everything")
    assert (stays.status, workflow.live()) == ("SUCCEEDED", first.name)
    assert subjects(workflow, stays) == ["Rejected model is still live"]
    assert decide(workflow, first, "Approved").status == "SUCCEEDED"
    assert decide(workflow, second, "Approved").status == "SUCCEEDED"
    assert (workflow.live(), first.name in current(workflow)["rejected"]) == (second.name, False)
    goes = decide(workflow, second, "Rejected")
    assert (goes.status, workflow.live()) == ("SUCCEEDED", first.name)
    assert subjects(workflow, goes) == ["Rejected model is not live any more"]


def test_an_approval_whose_endpoint_fails_changes_nothing_and_is_told(workflow, runs):
    _, _, refused = runs
    before, live = workflow.hosted(), current(workflow)
    workflow.fault("Endpoint", "x", 1, "no capacity")
    failed = decide(workflow, refused, "Approved")
    assert (failed.status, failed.error) == ("FAILED", "EndpointFailedError")
    assert "no capacity" in failed.cause
    assert workflow.hosted() == before
    now = current(workflow)
    assert now | {"withdrawn": []} == live | {"withdrawn": []}
    assert now["withdrawn"] == [failed.name]
    assert subjects(workflow, failed) == ["Run failed: EndpointFailedError on no upload"]


def test_a_model_whose_files_are_gone_is_not_deployed(workflow, runs):
    _, _, refused = runs
    workflow.s3.delete_object(Bucket=workflow.bucket, Key=f"runs/{refused.name}/encoder.json")
    failed = decide(workflow, refused, "Approved")
    assert (failed.status, failed.error) == ("FAILED", "PackageUnusableError")
    assert f"runs/{refused.name}/encoder.json is not there any more" in failed.cause
    assert subjects(workflow, failed) == ["Run failed: PackageUnusableError on no upload"]


def test_the_group_goes_with_the_stack(workflow, runs):
    assert workflow.delete_stack() == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="does not exist"):
        workflow.sagemaker.describe_model_package_group(ModelPackageGroupName=GROUP)
    assert workflow.hosted() == {"endpoints": set(), "configs": set(), "models": set(), "jobs": set()}
