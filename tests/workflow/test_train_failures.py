"""Runs that fail: each says why, cleans up after itself, and lets the file be dropped again."""

import gzip
import time

import msgspec
import pytest

from suspicious_lines.receipts import Receipt

HEADER = b"Matter Number,Firm Name,Matter Type,Resource,Activity,Minutes,Fee,Total,Error\n"
LINE = b"1,Specimen LLP,Antitrust,Junior,Phone Call,60,100,100.00,False\n"
BAD_FILES = {
    "empty": (b"", "line 1: the file is empty"),
    "no header": (LINE * 10, "line 1: there is no header"),
    "lacks a column": (HEADER.replace(b",Fee", b"") + LINE, "line 1, column Fee: the header lacks this column"),
    "UTF-16": ((HEADER + LINE * 10).decode().encode("utf-16"), "line 1: the file is encoded as UTF-16"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(200), "line 1: the file is a PNG picture"),
    "gzip": (gzip.compress(HEADER + LINE), "line 1: the file is compressed by gzip"),
    "negative minutes": (HEADER + LINE.replace(b",60,", b",-60,") * 9, "line 2, column Minutes: only 0 of 9 lines"),
    "text in Minutes": (HEADER + LINE.replace(b",60,", b",an hour,") * 9, "this one is not a number"),
    "enormous cell": (HEADER + b"x" * 1_000_000 + LINE, "line 2: only 0 of 1 lines can be used"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_an_unusable_file_is_refused_in_words(workflow, nothing_left, name):
    body, told = BAD_FILES[name]
    key = f"incoming/{name}.csv"
    run = workflow.drop(body, key)
    assert (run.status, run.error) == ("FAILED", "InvalidUploadError")
    assert run.cause.startswith(f"{key}, line ")
    assert told in run.cause
    nothing_left(run)
    receipt = msgspec.convert(workflow.json(run, "receipt.json"), Receipt)
    assert (receipt.status, receipt.error, receipt.cause) == ("FAILED", "InvalidUploadError", run.cause)
    (mail,) = workflow.mails(run, "operators")
    assert run.cause in " ".join(mail.get_content().split())
    assert not any(key.startswith(("features/", "results/")) for key in workflow.keys(run))


def test_a_training_job_that_fails(workflow, activities, nothing_left):
    workflow.fault("TrainingJob", "ClientError", 1, "AlgorithmError: the disk is full")
    run = workflow.drop(activities)
    assert run.error == "TrainingFailedError"
    assert "AlgorithmError: the disk is full" in run.cause
    nothing_left(run)
    assert workflow.json(run, "receipt.json")["status"] == "FAILED"
    assert len(workflow.mails(run, "operators")) == 1
    # The claim is released: the same version of the upload can be run again.
    detail = workflow.sfn.describe_execution(executionArn=run.arn)["input"]
    again = workflow.sfn.start_execution(stateMachineArn=workflow.machine, input=detail)["executionArn"]
    assert workflow.wait(again).status == "SUCCEEDED"


def test_an_endpoint_that_fails(workflow, activities, nothing_left):
    workflow.fault("Endpoint", "x", 1, "The image could not be pulled")
    run = workflow.drop(activities)
    assert run.error == "EndpointFailedError"
    assert "The image could not be pulled" in run.cause
    nothing_left(run)
    receipt = workflow.json(run, "receipt.json")
    assert receipt["deleted"] == ["endpoint", "endpoint configuration", "model"]


def test_a_throttled_endpoint_recovers(workflow, activities):
    workflow.fault("InvokeEndpoint", "ThrottlingException", 6)
    run = workflow.drop(activities)
    assert run.status == "SUCCEEDED"
    assert workflow.json(run, "results/metrics.json")["lines_validation"] == 300


@pytest.mark.parametrize(
    ("target", "error", "status", "ends_as"),
    [
        ("CreateTrainingJob", "AccessDeniedException", 400, "AwsRefusedError"),
        ("DescribeTrainingJob", "AccessDeniedException", 400, "SageMaker.SageMakerException"),
        ("CreateModel", "AccessDeniedException", 400, "AwsRefusedError"),
        ("CreateEndpoint", "ValidationException", 400, "AwsRefusedError"),
        ("InvokeEndpoint", "ModelError", 424, "EndpointBusyError"),
        ("InvokeEndpoint", "ThrottlingException", 400, "EndpointBusyError"),
        ("DescribeEndpoint", "ServiceUnavailable", 503, "SageMaker.SageMakerException"),
    ],
)
def test_a_call_that_keeps_failing_ends_the_run(workflow, activities, nothing_left, target, error, status, ends_as):
    workflow.fault(target, error, 10_000, status=status)
    arn = workflow.arn_of(workflow.upload(activities))
    for _ in range(600):
        if workflow.sfn.describe_execution(executionArn=arn)["status"] != "RUNNING":
            break
        time.sleep(0.1)
    workflow.no_faults()
    run = workflow.wait(arn)
    assert (run.status, run.error) == ("FAILED", ends_as)
    nothing_left_soon(nothing_left, run)


def nothing_left_soon(nothing_left, run) -> None:
    """A report that failed with the run is repeated by the status-change rule."""
    for _ in range(100):
        try:
            return nothing_left(run)
        except AssertionError:
            time.sleep(0.2)
    return nothing_left(run)


def test_an_aborted_run_is_cleaned_up_by_the_rule(workflow, activities, nothing_left):
    arn = workflow.arn_of(workflow.upload(activities))
    workflow.wait_for_state(arn, "ScoreParts")
    workflow.sfn.stop_execution(executionArn=arn, cause="the operator changed their mind")
    run = workflow.wait(arn)
    assert run.status == "ABORTED"
    nothing_left_soon(nothing_left, run)
    workflow.wait_for_receipt(run)
    assert workflow.json(run, "receipt.json")["status"] == "ABORTED"
    assert len(workflow.mails(run, "operators")) == 1


def test_a_failed_report_still_ends_as_failed_and_is_repeated(workflow, activities, nothing_left):
    workflow.fault("Endpoint", "x", 1, "no capacity")
    workflow.fault("DeleteEndpoint", "AccessDeniedException", 1)
    run = workflow.drop(activities)
    assert (run.status, run.error) == ("FAILED", "EndpointFailedError")
    nothing_left_soon(nothing_left, run)
    assert len(workflow.mails(run, "operators")) == 1


def test_an_upload_overwritten_meanwhile_is_read_as_it_was_claimed(workflow, activities):
    first = workflow.upload(activities, "incoming/twice.csv")
    second = workflow.upload(b"overwritten", "incoming/twice.csv")
    runs = [workflow.wait(arn) for arn in workflow.arns_of([first, second])]
    assert [run.status for run in runs] == ["SUCCEEDED", "FAILED"]
    assert workflow.json(runs[0], "receipt.json")["input"]["version_id"] == first
