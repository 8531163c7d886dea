"""scripts/smoke.py on the real workflow: it passes where the reviewers are told, fails in words where they are not, and
leaves nothing of its own. The pipeline's buildspec runs it, with the permissions that stacks/stage.yaml gives."""

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from samtranslator.yaml_helper import yaml_parse

from local.activities import generate, write_csv
from local.cloud import STACK
from tests.codebuild import run

ROOT = Path(__file__).parents[2]
ACCOUNT = "000000000000"


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


@pytest.fixture
def checkout(tmp_path):
    """The repository, where samconfig.toml's dev is this tier's stack; `make` takes .venv as it is."""
    folder, programs = tmp_path / "checkout", tmp_path / "programs"
    folder.mkdir()
    programs.mkdir()
    for name in ("Makefile", "local", "layers", ".venv"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    config = (ROOT / "samconfig.toml").read_text()
    (folder / "samconfig.toml").write_text(config.replace('"suspicious-lines-dev"', f'"{STACK}"'))
    (programs / "make").write_text(f'#!/bin/sh\nexec {shutil.which("make")} -o .venv/.synced "$@"\n')
    (programs / "make").chmod(0o755)
    return folder


@pytest.fixture
def smoke_role(workflow):
    """Credentials of a role that may do what stacks/stage.yaml's SmokePolicy allows, and nothing else."""
    policy = yaml_parse((ROOT / "stacks/stage.yaml").read_text())["Resources"]["SmokePolicy"]["Properties"]
    known = {"StageStackName": STACK, "AWS::Partition": "aws", "AWS::Region": "us-east-1", "AWS::AccountId": ACCOUNT}
    known["AWS::URLSuffix"] = "amazonaws.com"
    written = re.sub(r'\{"Fn::Sub": ("[^"]*")\}', r"\1", json.dumps(policy["PolicyDocument"]))
    written = re.sub(r"\$\{([\w:]+)\}", lambda match: known[match[1]], written)
    iam, sts = workflow.cloud.client("iam"), workflow.cloud.client("sts")
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    trusted = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName="smoke", AssumeRolePolicyDocument=trusted)["Role"]["Arn"]
    iam.put_role_policy(RoleName="smoke", PolicyName="smoke", PolicyDocument=written)
    yield sts.assume_role(RoleArn=role, RoleSessionName="smoke")["Credentials"]
    iam.delete_role_policy(RoleName="smoke", PolicyName="smoke")
    iam.delete_role(RoleName="smoke")


def test_the_pipeline_runs_it_with_no_other_permissions(workflow, no_model, activities, checkout, smoke_role):
    live = workflow.drop(activities)
    environment = {
        "PATH": f"{checkout.parent / 'programs'}:/usr/bin:/bin",
        "CONFIG": "dev",
        "AWS_ENDPOINT_URL": workflow.cloud.endpoint_url,
        "AWS_ACCESS_KEY_ID": smoke_role["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": smoke_role["SecretAccessKey"],
        "AWS_SESSION_TOKEN": smoke_role["SessionToken"],
    }
    build = run(ROOT / "buildspec/smoke.yml", checkout, environment)
    assert build.status == 0, build.said
    assert f"dropping smoke.csv on the stack {STACK} in us-east-1" in build.said
    assert " to query on " in build.said
    assert workflow.live() == live.name
    iam = workflow.cloud.client("iam")
    deny = {"Effect": "Deny", "Action": "sqs:CreateQueue", "Resource": "*"}
    iam.put_role_policy(
        RoleName="smoke", PolicyName="smoke", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    )
    refused = run(ROOT / "buildspec/smoke.yml", checkout, environment)
    assert refused.status != 0
    assert "not authorized to perform" in refused.said
