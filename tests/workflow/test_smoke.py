"""scripts/smoke.py on the real workflow: it passes where the reviewers are told, fails in words where they are not, and
leaves nothing of its own."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local.activities import generate, write_csv

ROOT = Path(__file__).parents[2]


@pytest.fixture
def command(workflow, tmp_path):
    """The script's command line on this tier's cloud, with a file of 1,500 lines or what it is given."""

    def made(text: str = "") -> list[str]:
        file = tmp_path / "small.csv"
        if text:
            file.write_text(text)
        else:
            write_csv(generate(lines=1_500), file)
        return [sys.executable, "scripts/smoke.py", str(file), "--home", str(workflow.cloud.outbox.parent)]

    return made


@pytest.fixture(autouse=True)
def leaves_nothing(workflow):
    """No queue, no subscription, no file."""
    sqs, sns = workflow.cloud.client("sqs"), workflow.cloud.client("sns")

    def found() -> tuple:
        topic = workflow.cloud.outputs["ReviewersTopicArn"]
        subscriptions = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
        dropped = workflow.s3.list_object_versions(Bucket=workflow.bucket, Prefix="incoming/smoke-")
        return (
            sqs.list_queues().get("QueueUrls", []),
            [subscription["Endpoint"] for subscription in subscriptions],
            dropped.get("Versions", []) + dropped.get("DeleteMarkers", []),
        )

    before = found()
    yield
    assert found() == before


def smoke(command: list[str]) -> tuple[int, str, str]:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)
    return done.returncode, done.stdout, done.stderr


def test_it_passes_where_the_reviewers_are_told_and_leaves_no_model_live(workflow, no_model, command):
    status, told, complaint = smoke(command())
    assert (status, complaint) == (0, "")
    first, run, subject = told.splitlines()
    assert first == "dropping small.csv on the stack on the embedded AWS"
    newest = workflow.executions()[0]
    assert (run, newest["status"]) == (f"run {newest['name']}", "SUCCEEDED")
    (mail,) = workflow.mails(workflow.wait(newest["executionArn"]), "reviewers")
    assert mail["Subject"] == subject
    assert " to query on " in subject
    assert "Contents" not in workflow.s3.list_objects_v2(Bucket=workflow.bucket, Prefix="models/current.json")


def test_the_model_that_was_live_is_so_again(workflow, no_model, activities, command):
    live = workflow.drop(activities)
    status, told, complaint = smoke(command())
    assert (status, complaint) == (0, "")
    document = json.loads(workflow.s3.get_object(Bucket=workflow.bucket, Key="models/current.json")["Body"].read())
    assert (document["run"], document["history"][0]["reason"]) == (live.name, "smoke test")
    assert document["former"][0]["run"] == told.splitlines()[1].removeprefix("run ")


def test_it_fails_in_words_where_the_run_fails(workflow, no_model, command):
    workflow.fault("CreateTrainingJob", "ValidationException", times=1, message="no such instance")
    status, told, complaint = smoke(command())
    run = told.splitlines()[1]
    assert status == 1
    assert complaint.startswith(f"smoke: {run} ended as FAILED: ")
    assert "no such instance" in complaint


def test_it_fails_in_words_where_the_reviewers_are_told_something_else(workflow, no_model, command):
    lines = generate(lines=1_500).to_csv(index=False)
    status, _, complaint = smoke(command(lines + "a line that cannot be read\n"))
    assert status == 1
    assert "the e-mail does not say that all 1,501 lines were read, but: smoke-" in complaint
    assert "1 refused" in complaint


def test_a_test_that_is_stopped_stops_its_run(workflow, no_model, command):
    with subprocess.Popen(command(), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout.readline()
        name = running.stdout.readline().strip().removeprefix("run ")
        running.send_signal(signal.SIGTERM)
        _, complaint = running.communicate(timeout=60)
    assert (running.returncode, complaint) == (1, "smoke: stopped\n")
    (arn,) = [found["executionArn"] for found in workflow.executions() if found["name"] == name]
    run = workflow.wait(arn)
    assert (run.status, run.error) == ("ABORTED", "SmokeTest")
    workflow.wait_for_receipt(run)


def test_it_removes_what_a_killed_test_left(workflow, no_model, command):
    queue = workflow.cloud.client("sqs").create_queue(QueueName="suspicious-lines-smoke-0badcafe")["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:000000000000:{queue.rsplit('/', 1)[1]}"
    topic = workflow.cloud.outputs["ReviewersTopicArn"]
    workflow.cloud.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    workflow.fault("CreateTrainingJob", "ValidationException", times=1)
    assert smoke(command())[0] == 1


def test_it_is_refused_on_prod(command):
    status, told, complaint = smoke([*command(), "--config", "prod"])
    assert (status, told) == (1, "")
    assert complaint.startswith("smoke: not on prod: ")
