"""Drops a file on a stack and checks what its reviewers are told: a smoke test of what has just been deployed.

Usage: smoke.py FILE [--config dev]. The stack is found as rollback.py finds it, but that of prod is refused: the run
trains a model, which may go live. The e-mail is read from a queue that is subscribed beside the reviewers' addresses.
Afterwards the queue, its subscription and the dropped file are deleted and the model that was live is so again, however
the test ends; what stays is what any run leaves. A test that was killed leaves its queue to the next one.
"""

import argparse
import contextlib
import csv
import json
import signal
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from deployed import Stack, add_stack_options, ended, find_stack

START_SECONDS = 120  # S3's events are there within seconds, or something is wrong
RUN_SECONDS = 3000  # training and a cold endpoint take about ten minutes
MAIL_SECONDS = 60
LIVE_MODEL_KEY = "models/current.json"


def main() -> int:
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("smoke: stopped"))
    try:
        if options.config == "prod":
            raise RuntimeError("not on prod: the run trains a model, which may take the live one's place")
        stack = find_stack(options.config, options.home)
        print(f"dropping {options.file.name} on the stack {stack.where}", flush=True)
        print(smoke(stack, options.file), flush=True)
    except (BotoCoreError, ClientError, RuntimeError) as error:
        print(f"smoke: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="smoke.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, help="a small CSV of past lines, all of which can be read")
    add_stack_options(parser)
    return parser


def smoke(stack: Stack, file: Path) -> str:
    """The subject of the e-mail on a file's run.

    Raises:
        RuntimeError: no run began, it did not succeed, or the reviewers were told nothing or something else.
    """
    s3, sfn = stack.client("s3"), stack.client("stepfunctions")
    bucket, machine = stack.output("DataBucketName"), stack.output("TrainStateMachineArn")
    name = f"smoke-{uuid.uuid4().hex[:8]}.csv"
    dropped = {"Bucket": bucket, "Key": f"incoming/{name}"}
    with contextlib.ExitStack() as afterwards:
        twin = _Twin(stack)
        afterwards.callback(twin.remove)
        twin.subscribe()
        before = _live_model(s3, bucket)
        dropped["VersionId"] = s3.put_object(**dropped, Body=file.read_bytes())["VersionId"]
        afterwards.callback(s3.delete_object, **dropped)
        arn = _started(sfn, machine, dropped["VersionId"])
        run = arn.rsplit(":", 1)[1]
        afterwards.callback(_put_back, stack, run, before[0])
        afterwards.callback(_stopped, sfn, arn)
        print(f"run {run}", flush=True)
        _succeeded(ended(sfn, arn, RUN_SECONDS))
        return _checked(twin.mail_on(run), name, _lines(file))


class _Twin:
    """The e-mail's twin: a queue that gets what the reviewers' addresses get."""

    def __init__(self, stack: Stack) -> None:
        self.sqs, self.sns, self.topic = stack.client("sqs"), stack.client("sns"), stack.output("ReviewersTopicArn")
        # A queue's name is free again only a minute after it was deleted.
        self.prefix = f"{stack.output('DataBucketName').partition('-data-')[0]}-smoke-"
        self.name = f"{self.prefix}{uuid.uuid4().hex[:8]}"

    def subscribe(self) -> None:
        partition, region, account = self.topic.split(":")[1], *self.topic.split(":")[3:5]
        queue = f"arn:{partition}:sqs:{region}:{account}:{self.name}"
        publish = {
            "Sid": "ReviewersTopicPublishes",
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue,
            "Condition": {"ArnEquals": {"aws:SourceArn": self.topic}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [publish]})
        attributes = {"Policy": policy, "MessageRetentionPeriod": "3600", "SqsManagedSseEnabled": "true"}
        self.url = self.sqs.create_queue(QueueName=self.name, Attributes=attributes)["QueueUrl"]
        filtered = {"FilterPolicy": json.dumps({"scope": ["all"]})}  # as the reviewers' own subscription
        self.sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=queue, Attributes=filtered)

    def mail_on(self, run: str) -> dict[str, Any]:
        """What SNS sent on a run."""
        deadline = time.monotonic() + MAIL_SECONDS
        while time.monotonic() < deadline:
            received = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=5)
            for mail in (json.loads(message["Body"]) for message in received.get("Messages", [])):
                if f"/runs/{run}/" in mail["Message"]:
                    return mail
        raise RuntimeError(f"run {run} succeeded, but its e-mail did not come within {MAIL_SECONDS} s")

    def remove(self) -> None:
        """Of tests that were killed, too: two at a time would be in each other's way anyhow."""
        for url in self.sqs.list_queues(QueueNamePrefix=self.prefix).get("QueueUrls", []):
            self.sqs.delete_queue(QueueUrl=url)
        pages = self.sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=self.topic)
        for subscription in [found for page in pages for found in page["Subscriptions"]]:
            if subscription["Endpoint"].rsplit(":", 1)[-1].startswith(self.prefix):
                self.sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])


def _live_model(s3: Any, bucket: str) -> tuple[str, str]:
    """The run of the live model and the version of the object that says so; both empty where no model is live."""
    try:
        found = s3.get_object(Bucket=bucket, Key=LIVE_MODEL_KEY)
    except s3.exceptions.NoSuchKey:
        return "", ""
    return json.loads(found["Body"].read())["run"], found["VersionId"]


def _started(sfn: Any, machine: str, version: str) -> str:
    """The first execution that an upload started."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        newest = sfn.list_executions(stateMachineArn=machine, maxResults=20)["executions"]
        for execution in reversed(newest):
            arn = execution["executionArn"]
            detail = json.loads(sfn.describe_execution(executionArn=arn)["input"])
            if detail.get("object", {}).get("version-id") == version:
                return arn
        time.sleep(1)
    raise RuntimeError(f"the upload started no run within {START_SECONDS} s: see the dead-letter queue")


def _succeeded(execution: dict[str, Any]) -> None:
    if execution["status"] != "SUCCEEDED":
        said = f"{execution.get('error', '')}: {execution.get('cause', '')}"
        raise RuntimeError(f"run {execution['name']} ended as {execution['status']}: {said}")


def _lines(file: Path) -> int:
    with file.open(newline="", encoding="utf-8") as rows:
        return sum(1 for _ in csv.reader(rows)) - 1


def _checked(mail: dict[str, Any], name: str, lines: int) -> str:
    """The subject, where the e-mail is on the whole file and lists something."""
    opening = [line for line in mail["Message"].splitlines() if line.startswith(f"{name}: ")]
    if not opening or not opening[0].startswith(f"{name}: {lines:,} lines read") or ", 0 refused." not in opening[0]:
        raise RuntimeError(f"the e-mail does not say that all {lines:,} lines were read, but: {' '.join(opening)}")
    if int(mail["MessageAttributes"]["flagged"]["Value"]) < 1:
        raise RuntimeError(f"the e-mail lists no line to query: {mail['Subject']}")
    return mail["Subject"]


def _stopped(sfn: Any, arn: str) -> None:
    """A run that is waited for no longer: what it made is cleaned as after any that was stopped."""
    if sfn.describe_execution(executionArn=arn)["status"] == "RUNNING":
        sfn.stop_execution(executionArn=arn, error="SmokeTest", cause="The smoke test was given up.")


def _put_back(stack: Stack, run: str, before: str) -> None:
    """Makes the model live again that was so before the test, or none; the run's endpoint is then upkeep's."""
    s3, sfn, bucket = stack.client("s3"), stack.client("stepfunctions"), stack.output("DataBucketName")
    live, version = _live_model(s3, bucket)
    if live != run:
        return
    if not before:
        s3.delete_object(Bucket=bucket, Key=LIVE_MODEL_KEY, VersionId=version)
        return
    order = json.dumps({"run": before, "reason": "smoke test"})
    machine = stack.output("RollbackStateMachineArn")
    _succeeded(ended(sfn, sfn.start_execution(stateMachineArn=machine, input=order)["executionArn"], RUN_SECONDS))


if __name__ == "__main__":
    sys.exit(main())
