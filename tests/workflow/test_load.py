"""Many uploads at once, many parts, and more calls than the endpoint takes: nothing lost, nothing twice.

`python -m benchmarks.load` measures more of the same.
"""

import json

import pytest

from benchmarks.load import Figures, File, ended, invoices, load, measure
from local.activities import generate


@pytest.fixture(scope="module")
def model(_workflow, activities):
    _workflow.forget_models()
    _workflow.forget_verdicts()
    assert _workflow.drop(activities).status == "SUCCEEDED"


def test_twenty_uploads_at_once(workflow, model):
    found = load(workflow.cloud, [invoices(number, 120 + number) for number in range(20)], 0, 120)
    assert (found.uploads, found.ends) == (20, {"SUCCEEDED": 20})


def test_a_run_of_sixty_parts(workflow, model):
    found = load(workflow.cloud, [invoices(1, 6_000)], 0, 120)
    assert (found.most_parts, found.ends) == (60, {"SUCCEEDED": 1})
    # What docs/performance.md reckons with: 7 events a part and below 100 others, 3 more for a failed try.
    assert found.most_events < 7 * 60 + 3 * found.failures.total() + 100


def test_more_calls_than_the_endpoint_takes_are_throttled_and_made_again(workflow, model):
    place = {"Bucket": workflow.bucket, "Key": "models/current.json"}
    live = json.loads(workflow.s3.get_object(**place)["Body"].read())
    workflow.fault("InvokeEndpoint", "ThrottlingException", 60)
    # Each run calls the endpoint from more parts at once than it takes.
    workflow.s3.put_object(**place, Body=json.dumps(live | {"max_concurrency": 20}))
    found = load(workflow.cloud, [invoices(number, 2_000) for number in range(3)], 0, 120)
    workflow.s3.put_object(**place, Body=json.dumps(live))
    assert found.ends == {"SUCCEEDED": 3}
    assert found.failures["EndpointBusyError"] >= 60
    assert set(found.failures) == {"EndpointBusyError"}


def test_ten_versions_of_one_key_end_in_one_outcome_each(workflow, model):
    versions = [versioned(number) for number in range(10)]
    dropped = {}
    for file in versions:
        dropped[workflow.upload(file.body, file.key)] = file
    runs = ended(workflow.cloud, dropped, 120)
    # Each is delivered once more, while some of the first deliveries may still run.
    again = [
        workflow.sfn.start_execution(stateMachineArn=workflow.score_machine, input=run["input"])["executionArn"]
        for run in runs
    ]
    assert {workflow.wait(arn).status for arn in again} == {"SUCCEEDED"}
    found: Figures = measure(workflow.cloud, dropped, ended(workflow.cloud, dropped, 60))
    assert (found.uploads, found.ends) == (10, {"SUCCEEDED": 20})
    for run in runs:
        receipt = json.loads(
            workflow.s3.get_object(Bucket=workflow.bucket, Key=f"runs/{run['name']}/receipt.json")["Body"].read()
        )
        assert receipt["counts"]["lines_read"] == dropped[receipt["input"]["version_id"]].lines


def versioned(number: int) -> File:
    file = invoices(number, 110 + number)
    return File("invoices/one-key.csv", file.lines, file.body)


def test_the_same_content_under_two_keys_is_two_uploads(workflow, model):
    body = generate(seed=3, lines=150).drop(columns="Error").to_csv(index=False).encode()
    runs = [workflow.drop(body, f"invoices/{name}.csv") for name in ("one", "two")]
    receipts = [workflow.json(run, "receipt.json") for run in runs]
    assert {receipt["status"] for receipt in receipts} == {"SUCCEEDED"}
    assert receipts[0]["sha256"] == receipts[1]["sha256"]
    assert [len(workflow.mails(run, "reviewers")) for run in runs] == [1, 1]


@pytest.mark.parametrize("what", ["hidden by a delete marker", "the version itself deleted"])
def test_an_upload_that_is_deleted_before_it_is_read(workflow, model, what):
    file = invoices(5, 130)
    key = "invoices/deleted.part"  # no rule is for such names
    version = workflow.upload(file.body, key)
    named = {} if what == "hidden by a delete marker" else {"VersionId": version}
    workflow.s3.delete_object(Bucket=workflow.bucket, Key=key, **named)
    stored = {"key": key, "size": len(file.body), "etag": "e", "version-id": version, "sequencer": "1"}
    detail = json.dumps({"bucket": {"name": workflow.bucket}, "object": stored})
    started = workflow.sfn.start_execution(stateMachineArn=workflow.score_machine, input=detail)
    run = workflow.wait(started["executionArn"])
    if what == "hidden by a delete marker":
        assert workflow.json(run, "receipt.json")["counts"]["lines_read"] == file.lines
    else:
        assert (run.status, run.error) == ("FAILED", "InvalidUploadError")
        assert "the file was deleted before it could be read" in run.cause
