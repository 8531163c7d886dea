"""Reviewers' verdicts: the review workflow, every branch, and what the next runs make of them."""

import csv
import io
import json

import msgspec
import pyarrow.parquet as pq
import pytest

from local.activities import generate
from suspicious_lines.judged import JUDGED_COLUMNS
from suspicious_lines.learning import MOST_STEP, Review
from suspicious_lines.suppressing import Suppressions

CONTRACT = {"receipt.json", "rejected.csv", "results/review.json"}


@pytest.fixture
def trained(workflow, no_verdicts, activities):
    return workflow.drop(activities)


@pytest.fixture(scope="module")
def invoices() -> bytes:
    return generate(seed=7, lines=250).drop(columns="Error").to_csv(index=False).encode()


def listed(workflow, run) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(workflow.read(run, "results/suspicious_lines.csv").decode())))


def verdicts_csv(*rows) -> bytes:
    """As page/verdicts.js writes it."""
    return "\r\n".join(["Run,Line,Verdict,Note", *(",".join(map(str, row)) for row in rows), ""]).encode()


def judged_of(workflow, run):
    keys = workflow.s3.list_objects_v2(Bucket=workflow.bucket, Prefix="judged/").get("Contents", [])
    (key,) = [entry["Key"] for entry in keys if entry["Key"].endswith(f"/{run.name}.parquet")]
    body = workflow.s3.get_object(Bucket=workflow.bucket, Key=key)["Body"].read()
    return pq.read_table(io.BytesIO(body)).to_pandas()


def review_of(workflow, run) -> Review:
    assert (run.status, run.error) == ("SUCCEEDED", "")
    return msgspec.convert(workflow.json(run, "results/review.json"), Review)


def live(workflow) -> dict:
    return json.loads(workflow.s3.get_object(Bucket=workflow.bucket, Key="models/current.json")["Body"].read())


def test_verdicts_of_a_score_run_are_kept_measured_and_told(workflow, trained, invoices):
    scored = workflow.drop(invoices, "invoices/judged.csv")
    lines = [row["Line"] for row in listed(workflow, scored)]
    assert len(lines) >= 4
    answers = ["query", " Fine ", "unsure", *["QUERY"] * (len(lines) - 3)]
    rows = [(scored.name, line, verdict, "") for line, verdict in zip(lines, answers, strict=True)]
    run = workflow.drop(verdicts_csv(*rows, (scored.name, 99_999, "fine", "secret")), "verdicts/v.csv")
    review = review_of(workflow, run)
    assert workflow.keys(run) == CONTRACT
    assert (review.counts.read, review.counts.accepted, review.counts.rejected) == (len(lines) + 1, len(lines), 1)
    assert (review.model_run, review.precision.queried) == (trained.name, len(lines) - 2)
    assert review.precision.judged == len(lines) - 1
    rejected = workflow.read(run, "rejected.csv").decode().splitlines()
    assert rejected[1:] == [f"{len(lines) + 2},Line,99999,is not a line that the run scored"]
    judged = judged_of(workflow, run)
    assert list(judged.columns) == list(JUDGED_COLUMNS)
    assert set(judged["model_run"]) == {trained.name}
    assert set(judged["inference_id"]) == {f"{scored.name}-{line}" for line in lines}
    assert judged["suspicious"].all()
    assert judged[["field", "reason", "at_stake", "model_score"]].notna().all(axis=None)
    truth = workflow.s3.list_objects_v2(Bucket=workflow.bucket, Prefix="ground-truth/")["Contents"]
    (key,) = [entry["Key"] for entry in truth if run.name in entry["Key"]]
    labels = workflow.s3.get_object(Bucket=workflow.bucket, Key=key)["Body"].read().decode().splitlines()
    assert len(labels) == len(lines) - 1
    assert json.loads(labels[0])["eventMetadata"]["eventId"] == f"{scored.name}-{lines[0]}"
    receipt = workflow.json(run, "receipt.json")
    assert (receipt["status"], receipt["model"], receipt["counts"]["read"]) == ("SUCCEEDED", None, len(lines) + 1)
    (mail,) = workflow.mails(run, "reviewers")
    text = mail.get_content()
    assert f"Rightly queried: {len(lines) - 2} of {len(lines) - 1}" in text
    assert "1 verdict could not be read" in text
    assert "secret" not in text
    assert workflow.mails(run, "operators") == []


def test_the_same_version_twice_and_a_new_version_change_no_precision(workflow, trained):
    rows = [(trained.name, row["Line"], "query", "") for row in listed(workflow, trained)[:5]]
    run = workflow.drop(verdicts_csv(*rows), "verdicts/twice.csv")
    detail = workflow.sfn.describe_execution(executionArn=run.arn)["input"]
    machine = workflow.review_machine
    second = workflow.wait(workflow.sfn.start_execution(stateMachineArn=machine, input=detail)["executionArn"])
    assert (second.status, workflow.keys(second)) == ("SUCCEEDED", set())
    again = workflow.drop(verdicts_csv(*rows), "verdicts/twice.csv")
    assert review_of(workflow, again).precision == review_of(workflow, run).precision
    later = workflow.drop(verdicts_csv((*rows[0][:2], "fine", "after all")), "verdicts/later.csv")
    found = review_of(workflow, later).precision
    assert (found.queried, found.judged) == (4, 5)


def test_one_file_may_answer_several_runs(workflow, trained, invoices):
    scored = workflow.drop(invoices, "invoices/also.csv")
    rows = [(run.name, listed(workflow, run)[0]["Line"], "query", "") for run in (trained, scored)]
    run = workflow.drop(verdicts_csv(*rows, ("no-such-run", 2, "fine", "")), "verdicts/both.CSV")
    review = review_of(workflow, run)
    assert (review.counts.runs, review.counts.kept, review.counts.rejected) == (2, 2, 1)
    assert b"no-such-run,is no run with results" in workflow.read(run, "rejected.csv")


def test_verdicts_on_an_unknown_run_only_are_the_files_fault(workflow, trained, nothing_left):
    run = workflow.drop(verdicts_csv(("no-such-run", 2, "fine", "")), "verdicts/unknown.csv")
    assert (run.status, run.error) == ("FAILED", "InvalidUploadError")
    assert run.cause.startswith(
        "verdicts/unknown.csv, line 2, column Run: none of 1 verdicts can be used; this one is no run with results."
    )
    assert workflow.keys(run) == {"receipt.json", "rejected.csv"}
    nothing_left(run)


def test_a_file_that_holds_no_verdicts_is_refused_in_words(workflow, activities, nothing_left):
    run = workflow.drop(activities, "verdicts/wrong.csv")
    assert (run.status, run.error) == ("FAILED", "InvalidUploadError")
    assert run.cause.startswith("verdicts/wrong.csv, line 1: there is no header. The first line must name the columns")
    nothing_left(run)
    assert len(workflow.mails(run, "operators")) == 1


def test_a_wrong_configuration_fails_the_run_and_its_file_can_be_dropped_again(workflow, trained, nothing_left):
    place = {"Bucket": workflow.bucket, "Key": "config/suppressions.json"}
    body = verdicts_csv((trained.name, listed(workflow, trained)[0]["Line"], "query", ""))
    workflow.s3.put_object(**place, Body=b"{}")
    run = workflow.drop(body, "verdicts/unlucky.csv")
    assert (run.status, run.error) == ("FAILED", "SettingsError")
    nothing_left(run)
    assert workflow.json(run, "receipt.json")["status"] == "FAILED"
    workflow.s3.delete_object(**place)
    again = workflow.drop(body, "verdicts/unlucky.csv")
    found = review_of(workflow, again).precision
    assert (found.queried, found.judged) == (1, 1)


def test_enough_fine_verdicts_raise_the_threshold_of_the_next_lines(workflow, trained, invoices):
    before = live(workflow)
    rows = [(trained.name, row["Line"], "fine", "") for row in listed(workflow, trained)]
    run = workflow.drop(verdicts_csv(*rows), "verdicts/fine.csv")
    review = review_of(workflow, run)
    assert review.recalibration.before == before["threshold"]
    assert review.recalibration.after == pytest.approx(before["threshold"] + MOST_STEP)
    change = live(workflow)["history"][0]
    assert (change["what"], change["review_run"], change["run"]) == ("recalibrated", run.name, trained.name)
    scored = workflow.drop(invoices, "invoices/after.csv")
    threshold = workflow.json(scored, "results/metrics.json")["threshold"]
    assert threshold["value"] == review.recalibration.after
    assert threshold["note"] == f"verdicts moved it from {before['threshold']:.2f}"
    (mail,) = workflow.mails(run, "operators")
    assert "The live threshold was raised: fewer lines will be listed." in mail.get_content()
    # The same verdicts in a new file say nothing new of the new threshold.
    again = workflow.drop(verdicts_csv(*rows), "verdicts/fine.csv")
    assert review_of(workflow, again).recalibration is None


def test_an_accepted_suppression_is_applied_and_counted(workflow, trained, invoices):
    first = workflow.drop(invoices, "invoices/first.csv")
    row = listed(workflow, first)[0]
    accepted = {
        "name": "known",
        "firm_name": row["Firm Name"],
        "resource": row["Resource"],
        "activity": row["Activity"],
        "field": row["Field"],
        "at_stake_up_to": float(row["Amount At Stake"]),
    }
    body = msgspec.json.encode(Suppressions.from_json(json.dumps({"suppressions": [accepted]})))
    workflow.s3.put_object(Bucket=workflow.bucket, Key="config/suppressions.json", Body=body)
    second = workflow.drop(invoices, "invoices/second.csv")
    assert row["Line"] not in {other["Line"] for other in listed(workflow, second)}
    metrics = workflow.json(second, "results/metrics.json")
    assert metrics["suppressed"]["known"] == len(listed(workflow, first)) - metrics["flagged"] >= 1
    (mail,) = workflow.mails(second, "reviewers")
    assert "left out: their patterns were accepted as fine" in mail.get_content()


def test_the_next_training_tests_its_forest_on_judged_lines(workflow, trained, activities):
    rows = [
        (trained.name, row["Line"], verdict, "")
        for row, verdict in zip(listed(workflow, trained)[:3], ["query", "fine", "unsure"], strict=True)
    ]
    assert workflow.drop(verdicts_csv(*rows), "verdicts/few.csv").status == "SUCCEEDED"
    run = workflow.drop(activities)
    assert run.status == "SUCCEEDED", run.cause
    test = workflow.read(run, "features/test/part-00000.csv").decode().splitlines()
    assert sorted(line.split(",")[0] for line in test) == ["0", "1"]
    assert {"lines/judged/part-00000.parquet", "scores/judged/part-00000.parquet"} <= workflow.keys(run)
    assert workflow.json(run, "receipt.json")["counts"]["lines_judged"] == 2
    endpoint = workflow.json(run, "receipt.json")["model"]["endpoint"]  # the training job has the same name
    job = workflow.sagemaker.describe_training_job(TrainingJobName=endpoint)
    assert [channel["ChannelName"] for channel in job["InputDataConfig"]] == ["train", "test"]
    assert job["FinalMetricDataList"][0]["MetricName"] == "test:f1"
    assert workflow.json(run, "results/metrics.json")["lines_validation"] == 300
