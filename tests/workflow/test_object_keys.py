"""Under every key of the corpus a file starts the right machine once, or none, and what became of it is told."""

import json
import time

import pytest

from suspicious_lines.text import plain_text
from tests.corpus.keys import KEYS


@pytest.fixture
def dropped(workflow, activities):
    """An empty file under every key: the case by the file's version."""
    assert workflow.drop(activities).status == "SUCCEEDED"  # without a live model invoices are parked unread
    found = {workflow.upload(b"", case.key): case for case in KEYS}
    yield found
    # The embedded AWS cannot list versions under keys that XML has no characters for; S3 encodes them when asked to.
    for version, case in found.items():
        workflow.s3.delete_object(Bucket=workflow.bucket, Key=case.key, VersionId=version)


def test_every_key_starts_what_it_must_and_an_empty_file_is_told(workflow, dropped):
    machines = {"train": workflow.machine, "score": workflow.score_machine, "review": workflow.review_machine}
    expected = {version: case for version, case in dropped.items() if case.starts}
    arns = workflow.arns_of(list(expected), seconds=120)
    time.sleep(1)  # for those that should have started nothing
    inputs = [workflow.sfn.describe_execution(executionArn=run["executionArn"]) for run in workflow.executions()]
    started = [json.loads(run["input"]).get("object", {}).get("version-id") for run in inputs]
    assert sorted(version for version in started if version in dropped) == sorted(expected)
    for arn, case in zip(arns, expected.values(), strict=True):
        run = workflow.wait(arn)
        assert (run.status, run.error) == ("FAILED", "InvalidUploadError"), case.name
        assert f":{machines[case.starts].rpartition(':')[2]}:" in arn, case.name
        assert run.cause.startswith(f"{plain_text(case.key)}, line 1: the file is empty"), case.name
        assert workflow.json(run, "receipt.json")["input"]["key"] == case.key
        (mail,) = workflow.mails(run, "operators")
        assert f"of {plain_text(case.key)} ended as FAILED" in mail.get_content(), case.name
