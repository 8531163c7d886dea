"""Under every key of the corpus a file starts the right machine once, or none, and what became of it is told."""

import time

from suspicious_lines.text import plain_text
from tests.corpus.keys import KEYS


def test_every_key_starts_what_it_must_and_an_empty_file_is_told(workflow, activities):
    assert workflow.drop(activities).status == "SUCCEEDED"  # without a live model invoices are parked unread
    machines = {"train": workflow.machine, "score": workflow.score_machine, "review": workflow.review_machine}
    before = {execution["executionArn"] for execution in workflow.executions()}
    for case in KEYS:
        if not case.starts:
            workflow.upload(b"", case.key)
    expected = {workflow.upload(b"", case.key): case for case in KEYS if case.starts}
    arns = workflow.arns_of(list(expected), seconds=120)
    time.sleep(1)  # for those that should have started nothing
    started = {execution["executionArn"] for execution in workflow.executions()} - before
    assert started == set(arns)
    assert len(arns) == len(expected)
    for arn, case in zip(arns, expected.values(), strict=True):
        run = workflow.wait(arn)
        assert (run.status, run.error) == ("FAILED", "InvalidUploadError"), case.name
        assert f":{machines[case.starts].rpartition(':')[2]}:" in arn, case.name
        assert run.cause.startswith(f"{plain_text(case.key)}, line 1: the file is empty"), case.name
        assert workflow.json(run, "receipt.json")["input"]["key"] == case.key
        (mail,) = workflow.mails(run, "operators")
        assert f"of {plain_text(case.key)} ended as FAILED" in mail.get_content(), case.name
