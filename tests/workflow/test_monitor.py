"""A day's lines against those that the live model was trained on: the monitor workflow, every branch."""

import json
from datetime import UTC, datetime

import pytest

from local.activities import generate


@pytest.fixture
def trained(workflow, no_verdicts):
    return workflow.drop(generate(lines=6_000).to_csv(index=False).encode())


@pytest.fixture
def today(workflow):
    """A day of its own: what earlier tests captured is not looked at."""
    day = datetime.now(UTC).date().isoformat()
    for prefix in (f"scored/dt={day}/", f"monitoring/dt={day}/"):
        for found in workflow.s3.list_objects_v2(Bucket=workflow.bucket, Prefix=prefix).get("Contents", []):
            workflow.s3.delete_object(Bucket=workflow.bucket, Key=found["Key"])
    return day


@pytest.fixture
def monitor(workflow, today):
    def run():
        started = workflow.sfn.start_execution(
            stateMachineArn=workflow.cloud.outputs["MonitorStateMachineArn"], input=json.dumps({"day": today})
        )
        return workflow.wait(started["executionArn"])

    return run


@pytest.fixture
def report(workflow, today):
    def read(name="report.json"):
        key = f"monitoring/dt={today}/{name}"
        return workflow.s3.get_object(Bucket=workflow.bucket, Key=key)["Body"].read()

    return read


def invoices(seed, lines=600):
    return generate(seed=seed, lines=lines).drop(columns="Error")


def test_before_any_model_nothing_is_measured(workflow, no_model, monitor, report):
    assert monitor().status == "SUCCEEDED"
    assert json.loads(report())["note"] == "no model is live"


def test_a_day_without_lines_is_told_and_not_judged(workflow, trained, monitor, report):
    run = monitor()
    assert run.status == "SUCCEEDED"
    assert json.loads(report())["note"].startswith("the live model scored 0 lines")
    assert workflow.mails(run, "operators") == []


def test_a_day_like_the_others_alarms_nobody(workflow, trained, monitor, report):
    workflow.drop(invoices(21).to_csv(index=False).encode(), "invoices/usual.csv")
    run = monitor()
    assert run.status == "SUCCEEDED"
    told = json.loads(report())
    assert (told["model_run"], told["lines"]) == (trained.name, 600)
    assert [measure["name"] for measure in told["measures"] if measure["drifted"]] == []
    assert workflow.mails(run, "operators") == []
    first = report()
    assert monitor().status == "SUCCEEDED"
    assert report() == first


def test_a_day_that_has_drifted_is_told_to_the_operators(workflow, trained, monitor, report, today):
    dearer = invoices(22)
    dearer[["Fee", "Total"]] *= 1.4
    workflow.drop(dearer.to_csv(index=False).encode(), "invoices/dearer.csv")
    run = monitor()
    assert run.status == "SUCCEEDED"
    drifted = {measure["name"] for measure in json.loads(report())["measures"] if measure["drifted"]}
    assert "fee_off_card" in drifted
    (mail,) = workflow.mails(run, "operators")
    assert mail["Subject"] == f"Drift: {len(drifted)} of 13 measures on {today}"
    assert "fee_off_card" in mail.get_content()
    assert b"measures have drifted" in report("report.html")


def test_a_model_that_does_not_answer_fails_the_run_and_the_operators_hear(workflow, trained, monitor, nothing_left):
    workflow.drop(invoices(23).to_csv(index=False).encode(), "invoices/unlucky.csv")
    workflow.fault("InvokeEndpoint", "ModelError", 10_000, status=424)
    run = monitor()
    workflow.no_faults()
    assert (run.status, run.error) == ("FAILED", "EndpointBusyError")
    (mail,) = workflow.mails(run, "operators")
    assert mail["Subject"] == "Run failed: EndpointBusyError on no upload"
    assert workflow.live() == trained.name
    assert monitor().status == "SUCCEEDED"


def test_a_day_that_is_none_is_refused(workflow, trained):
    started = workflow.sfn.start_execution(
        stateMachineArn=workflow.cloud.outputs["MonitorStateMachineArn"], input='{"day": "yesterday"}'
    )
    run = workflow.wait(started["executionArn"])
    assert (run.status, run.error) == ("FAILED", "InvalidUploadError")
    assert "day is no date" in run.cause
