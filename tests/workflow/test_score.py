"""New invoices, scored by the live model: the score workflow, every branch."""

import csv
import io
import json
import time

import msgspec
import pytest

from local.activities import generate
from suspicious_lines.layout import invoices_kind
from suspicious_lines.receipts import Receipt

CONTRACT = {
    "receipt.json",
    "rejected.csv",
    "parts.json",
    "results/scored_lines.parquet",
    "results/suspicious_lines.csv",
    "results/metrics.json",
    "results/report.html",
}


@pytest.fixture(scope="module")
def invoices() -> bytes:
    """250 new lines without labels, one of them plainly wrong."""
    new = generate(seed=7, lines=250).drop(columns="Error")
    new.loc[10, "Total"] += 500
    return new.to_csv(index=False).encode()


@pytest.fixture
def trained(workflow, no_model, activities):
    return workflow.drop(activities)


def test_new_lines_are_scored_by_the_live_model(workflow, trained, invoices):
    before = workflow.hosted()
    run = workflow.drop(invoices, "invoices/november.csv")
    assert (run.status, run.error) == ("SUCCEEDED", "")
    assert workflow.keys(run) == CONTRACT | {
        f"{kind}/{invoices_kind(trained.name)}/part-0000{part}.{end}"
        for part in (0, 1, 2)
        for kind, end in (("features", "csv"), ("lines", "parquet"), ("scores", "parquet"))
    }
    metrics = workflow.json(run, "results/metrics.json")
    assert (metrics["lines_read"], metrics["lines_train"], metrics["lines_validation"]) == (250, 0, 250)
    live = workflow.json(trained, "results/metrics.json")
    assert metrics["threshold"] == live["threshold"]
    assert metrics["confusion"] is metrics["held_out"] is None
    listed = list(csv.DictReader(io.StringIO(workflow.read(run, "results/suspicious_lines.csv").decode())))
    assert "12" in {row["Line"] for row in listed}  # the total that was raised
    receipt = msgspec.convert(workflow.json(run, "receipt.json"), Receipt)
    assert receipt.model == workflow.json(trained, "receipt.json")["model"]
    assert receipt.estimated_cost.training == 0
    (mail,) = workflow.mails(run, "reviewers")
    assert "november.csv: 250 lines read, 250 of them scored" in mail.get_content()
    assert "Judged by the live model and its threshold." in mail.get_content()
    assert workflow.hosted() == before


def test_the_same_lines_get_the_same_flags_as_in_training(workflow, activities, trained):
    again = workflow.drop(activities, "invoices/again.csv")
    flagged = [
        {row["Line"]: row["Score"] for row in csv.DictReader(io.StringIO(workflow.read(run, name).decode()))}
        for run, name in ((trained, "results/suspicious_lines.csv"), (again, "results/suspicious_lines.csv"))
    ]
    assert flagged[0].items() <= flagged[1].items()


def test_without_a_model_a_file_waits_and_is_scored_when_one_is_live(workflow, no_model, activities, invoices):
    version = workflow.upload(invoices, "invoices/early.csv")
    waiting = workflow.wait(workflow.arn_of(version))
    assert waiting.status == "SUCCEEDED"
    assert workflow.keys(waiting) == set()
    (mail,) = workflow.mails(waiting, "operators")
    assert mail["Subject"] == "Waiting for a first model: invoices/early.csv"
    assert len(_parked(workflow)) == 1
    trained = workflow.drop(activities)
    assert trained.status == "SUCCEEDED"
    assert _parked(workflow) == []
    (scored,) = [run for run in _runs_of(workflow, version) if run.name != waiting.name]
    assert scored.status == "SUCCEEDED"
    assert workflow.json(scored, "receipt.json")["model"]["run"] == trained.name


def test_a_second_delivery_ends_quietly(workflow, trained, invoices):
    run = workflow.drop(invoices, "invoices/twice.csv")
    detail = workflow.sfn.describe_execution(executionArn=run.arn)["input"]
    again = workflow.sfn.start_execution(stateMachineArn=workflow.score_machine, input=detail)["executionArn"]
    second = workflow.wait(again)
    assert (second.status, workflow.keys(second)) == ("SUCCEEDED", set())
    assert len(workflow.mails(run, "reviewers")) == 1


def test_an_unusable_file_is_refused_in_words(workflow, trained, nothing_left):
    run = workflow.drop(b"not invoices", "invoices/bad.csv")
    assert (run.status, run.error) == ("FAILED", "InvalidUploadError")
    assert run.cause.startswith("invoices/bad.csv, line 1: there is no header")
    nothing_left(run)
    assert len(workflow.mails(run, "operators")) == 1


def test_a_model_that_fails_ends_the_run_and_stays_live(workflow, trained, invoices, nothing_left):
    workflow.fault("InvokeEndpoint", "ModelError", 10_000, status=424)
    run = workflow.drop(invoices, "invoices/unlucky.csv")
    workflow.no_faults()
    assert (run.status, run.error) == ("FAILED", "EndpointBusyError")
    nothing_left(run)
    assert workflow.live() == trained.name
    assert workflow.drop(invoices, "invoices/unlucky.csv").status == "SUCCEEDED"


def test_a_throttled_endpoint_recovers(workflow, trained, invoices):
    workflow.fault("InvokeEndpoint", "ThrottlingException", 5)
    assert workflow.drop(invoices, "invoices/patient.csv").status == "SUCCEEDED"


def test_a_model_that_is_deleted_meanwhile_gives_way_to_the_live_one(workflow, no_model, activities, invoices):
    other, begun_with = workflow.drop(activities), workflow.drop(activities)
    place = {"Bucket": workflow.bucket, "Key": "models/current.json"}
    live = json.loads(workflow.s3.get_object(**place)["Body"].read())
    assert [live["run"], live["former"][0]["run"]] == [begun_with.name, other.name]
    workflow.fault("InvokeEndpoint", "ThrottlingException", 10_000)
    arn = workflow.arn_of(workflow.upload(invoices, "invoices/moving.csv"))
    workflow.wait_for_state(arn, "ScoreParts")
    # While the run waits for its endpoint, another model goes live and the run's own is deleted.
    promoted = live | live["former"][0] | {"encoder_key": f"runs/{other.name}/encoder.json", "former": []}
    workflow.s3.put_object(**place, Body=json.dumps(promoted))
    workflow.sagemaker.delete_endpoint(EndpointName=live["endpoint_name"])
    workflow.no_faults()
    run = workflow.wait(arn)
    assert run.status == "SUCCEEDED"
    assert workflow.json(run, "receipt.json")["model"]["run"] == other.name
    pages = workflow.sfn.get_paginator("get_execution_history").paginate(executionArn=arn)
    entered = [event.get("stateEnteredEventDetails", {}).get("name") for page in pages for event in page["events"]]
    assert entered.count("EncodeLines") == 2


def test_a_live_model_without_its_endpoint_ends_the_run_and_does_not_loop(workflow, trained, invoices):
    live = json.loads(workflow.s3.get_object(Bucket=workflow.bucket, Key="models/current.json")["Body"].read())
    workflow.sagemaker.delete_endpoint(EndpointName=live["endpoint_name"])
    run = workflow.drop(invoices, "invoices/lost.csv")
    assert (run.status, run.error) == ("FAILED", "AwsRefusedError")
    assert f"{live['endpoint_name']} serves the live model and does not exist" in run.cause


def test_uploads_during_a_promotion_are_scored_wholly_by_one_model(workflow, trained, activities, invoices):
    training = workflow.arn_of(workflow.upload(activities))
    versions = []
    while workflow.sfn.describe_execution(executionArn=training)["status"] == "RUNNING":
        versions.append(workflow.upload(invoices, f"invoices/during-{len(versions)}.csv"))
        time.sleep(0.3)
    promoted = workflow.wait(training)
    runs = [workflow.wait(arn) for arn in workflow.arns_of(versions, 60)]
    assert len(runs) > 3
    assert {run.status for run in runs} == {"SUCCEEDED"}
    scores: dict[str, set[bytes]] = {}
    for run in runs:
        model = workflow.json(run, "receipt.json")["model"]["run"]
        assert model in {trained.name, promoted.name}
        scores.setdefault(model, set()).add(workflow.read(run, "results/suspicious_lines.csv"))
    assert all(len(lists) == 1 for lists in scores.values())


def _parked(workflow) -> list[str]:
    found = workflow.s3.list_objects_v2(Bucket=workflow.bucket, Prefix="parked/")
    return [entry["Key"] for entry in found.get("Contents", [])]


def _runs_of(workflow, version: str):
    """All the executions of an upload, ended."""
    runs = []
    for execution in workflow.executions():
        described = workflow.sfn.describe_execution(executionArn=execution["executionArn"])
        if json.loads(described["input"])["object"].get("version-id") == version:
            runs.append(workflow.wait(execution["executionArn"]))
    return runs
