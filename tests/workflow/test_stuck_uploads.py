"""Uploads whose event, or whose end, was lost on the way: a sweep finds each and brings it to an end."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ODD_KEY = "incoming/2026/a+b%2B c#d?e=f&\u00e9.csv"


@pytest.fixture
def workflow(own_workflow):
    return own_workflow


@pytest.fixture
def sweep(workflow):
    return lambda: workflow.invoke("SweepUploadsFunction", {"run": "sweep"})


def swept(**counts):
    return {"started": 0, "reported": 0, "stuck": 0, "untaken": 0} | counts


def mails(workflow, subject):
    found = [path.read_text() for path in sorted(workflow.cloud.outbox.glob("*.eml"))]
    return [text for text in found if f"Subject: {subject}" in text]


def until(true):
    for _ in range(200):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("it never came to that")


def test_an_upload_whose_event_was_lost_is_started_once_and_ends(workflow, activities, sweep):
    with workflow.without("TrainStateMachineUpload"):
        version = workflow.upload(activities, ODD_KEY)
    assert sweep() == swept(started=1)
    run = workflow.wait(workflow.arn_of(version))
    assert run.status == "SUCCEEDED"
    read = workflow.json(run, "receipt.json")["input"]
    assert (read["key"], read["version_id"], read["size"]) == (ODD_KEY, version, len(activities))
    assert sweep() == swept()
    # The event that came late after all has nothing to do.
    detail = workflow.sfn.describe_execution(executionArn=run.arn)["input"]
    late = workflow.sfn.start_execution(stateMachineArn=workflow.machine, input=detail)["executionArn"]
    assert workflow.wait(late).status == "SUCCEEDED"
    assert workflow.live() == run.name
    assert sweep() == swept()


def test_an_upload_that_is_deleted_before_it_was_read_is_left_alone(workflow, sweep):
    with workflow.without("TrainStateMachineUpload"):
        workflow.upload(b"x", "incoming/deleted.csv")
        workflow.s3.delete_object(Bucket=workflow.bucket, Key="incoming/deleted.csv")
    assert sweep() == swept()


def test_invoices_and_verdicts_start_their_own_workflows(workflow, activities, sweep):
    with workflow.without("ScoreStateMachineUpload"), workflow.without("ReviewStateMachineUpload"):
        versions = [
            workflow.upload(activities, "invoices/lost.csv"),
            workflow.upload(b"Run,Line\r\n", "verdicts/lost.csv"),
        ]
    assert sweep() == swept(started=2)
    scored, reviewed = (workflow.wait(arn) for arn in workflow.arns_of(versions))
    assert (scored.status, reviewed.error) == ("SUCCEEDED", "InvalidUploadError")
    assert sweep() == swept()


def test_a_run_that_is_at_work_is_left_alone(workflow, activities, sweep):
    arn = workflow.arn_of(workflow.upload(activities))
    workflow.wait_for_state(arn, "ScoreParts")
    assert sweep() == swept()
    assert workflow.wait(arn).status == "SUCCEEDED"


def test_the_end_of_a_run_that_nobody_was_told_of_is_reported(workflow, activities, sweep):
    before = workflow.hosted()
    with workflow.without("ReportFailureFunctionExecutionBroken"):
        arn = workflow.arn_of(workflow.upload(activities))
        workflow.wait_for_state(arn, "ScoreParts")
        workflow.sfn.stop_execution(executionArn=arn)
        run = workflow.wait(arn)
        assert run.name in workflow.claims()
    assert sweep() == swept(reported=1)
    until(lambda: "receipt.json" in workflow.keys(run))
    assert run.name not in workflow.claims()
    assert workflow.hosted() == before
    (mail,) = workflow.mails(run, "operators")
    assert mail["Subject"].startswith("Run failed: ABORTED")
    assert sweep() == swept()
    # As the runbook says: its input starts it again.
    detail = workflow.sfn.describe_execution(executionArn=arn)["input"]
    again = workflow.sfn.start_execution(stateMachineArn=workflow.machine, input=detail)["executionArn"]
    assert workflow.wait(again).status == "SUCCEEDED"
    assert sweep() == swept()


def test_a_refused_file_has_ended(workflow, sweep):
    run = workflow.drop(b"nothing of use", "incoming/refused.csv")
    assert run.error == "InvalidUploadError"
    until(lambda: "receipt.json" in workflow.keys(run))
    assert sweep() == swept()


def test_a_parked_file_waits(workflow, activities, sweep):
    workflow.forget_models()
    assert workflow.drop(activities, "invoices/parked.csv").status == "SUCCEEDED"
    assert sweep() == swept()
    workflow.drop(activities)
    until(lambda: not workflow.s3.list_objects_v2(Bucket=workflow.bucket, Prefix="parked/").get("Contents"))


def test_an_upload_that_never_gets_anywhere_is_told_of_once(workflow, sweep):
    with workflow.without("TrainStateMachineUpload"):
        version = workflow.upload(b"x", "incoming/stuck.csv")
    item = {"upload": {"S": f"{workflow.bucket}/incoming/stuck.csv#{version}"}, "tries": {"N": "3"}}
    workflow.cloud.client("dynamodb").put_item(TableName=workflow.cloud.outputs["ClaimTableName"], Item=item)
    assert sweep() == sweep() == swept(stuck=1)
    (mail,) = mails(workflow, "Stuck: 1 upload")
    assert "incoming/stuck.csv" in mail
    workflow.s3.delete_object(Bucket=workflow.bucket, Key="incoming/stuck.csv")
    assert sweep() == swept()


def test_a_file_that_no_workflow_takes_is_told_of_once(workflow, sweep):
    workflow.upload(b"PK", "incoming/activities.xlsx")
    workflow.upload(b"", "incoming/2026/")
    assert sweep() == sweep() == swept(untaken=1)
    told = mails(workflow, "Nothing reads 1 dropped file")
    assert len(told) == 2
    assert all("incoming/activities.xlsx" in mail for mail in told)
    workflow.s3.delete_object(Bucket=workflow.bucket, Key="incoming/activities.xlsx")
    assert sweep() == swept()


@pytest.mark.skipif(not shutil.which("jq"), reason="the procedure needs jq")
def test_a_dead_letter_is_handed_on_as_the_runbook_says(workflow, activities, sweep):
    with workflow.without("TrainStateMachineUpload"):
        version = workflow.upload(activities, "incoming/letter.csv")
    found = {"key": "incoming/letter.csv", "size": len(activities), "etag": "e", "version-id": version}
    detail = {"version": "0", "bucket": {"name": workflow.bucket}, "object": found}
    said = {"TARGET_ARN": workflow.machine, "ERROR_CODE": "THROTTLING", "ERROR_MESSAGE": "Rate exceeded"}
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in said.items()}
    queue, sqs = workflow.cloud.outputs["UploadsDeadLetterQueueUrl"], workflow.cloud.client("sqs")
    event = {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(event), MessageAttributes=attributes)
    shell(workflow, "Hand a dead letter on")
    assert workflow.wait(workflow.arn_of(version)).status == "SUCCEEDED"
    asked = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert (asked["ApproximateNumberOfMessages"], asked["ApproximateNumberOfMessagesNotVisible"]) == ("0", "0")
    assert sweep() == swept()


def shell(workflow, section: str) -> None:
    """Runs the commands of a section of the runbook, after the names that all sections use."""
    text = (ROOT / "docs" / "runbook.md").read_text()
    sections = dict(re.findall(r"^#+ (.*?)\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL))
    names, commands = (re.findall(r"```sh\n(.*?)```", sections[title], re.DOTALL)[0] for title in ("Runbook", section))
    # The AWS CLI's version 1 takes SQS's address only so.
    aws = f'aws() {{ command aws --endpoint-url {workflow.cloud.endpoint_url} "$@"; }}\n'
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", aws + names + commands],
        cwd=workflow.cloud.outbox.parent,
        env=keys | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
