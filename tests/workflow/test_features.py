"""The feature store: a run's lines are in it, SQL finds them, and a later training reads them."""

import io
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import awswrangler as wr
import boto3
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

from local.activities import generate
from local.cloud import ROOT, STACK
from suspicious_lines.encoder import CATEGORIES, NUMERIC_FEATURES, Encoder
from suspicious_lines.feature_records import encoder_id, file_id
from suspicious_lines.features import stored_rows

GROUP, DATABASE = f"{STACK}-lines", f"{STACK.replace('-', '_')}_features"
FIRMS = ("First to Go LLP", "Second to Go LLP", "Staying LLP")


@pytest.fixture
def workflow(features_workflow):
    features_workflow.no_faults()
    yield features_workflow
    features_workflow.no_faults()


def keys(workflow) -> list[str]:
    pages = workflow.s3.get_paginator("list_objects_v2").paginate(Bucket=workflow.bucket, Prefix="features/")
    return [found["Key"] for page in pages for found in page.get("Contents", [])]


def stored(workflow, count: int, **of) -> pd.DataFrame:
    """The records of the offline store that have these values, once there are so many."""
    found = pd.DataFrame()
    for _ in range(300):
        found = pd.concat([of_file(workflow, key) for key in keys(workflow)] or [pd.DataFrame()])
        for name, value in of.items():
            found = found[found[name] == value] if len(found) else found
        if len(found) >= count:
            assert len(found) == count
            return found.reset_index(drop=True)
        time.sleep(0.1)
    raise AssertionError(f"{len(found)} records are stored, and not {count}")


def of_file(workflow, key: str) -> pd.DataFrame:
    body = workflow.s3.get_object(Bucket=workflow.bucket, Key=key)["Body"].read()
    return pq.read_table(io.BytesIO(body)).to_pandas()


def rows_of(workflow, run, kind: str) -> list[str]:
    """The features of a run's parts of a kind, as the forest reads them."""
    names = sorted(name for name in workflow.keys(run) if name.startswith(f"features/{kind}/"))
    return [row for name in names for row in workflow.read(run, name).decode().splitlines()]


def receipt(workflow, run) -> dict:
    return workflow.json(run, "receipt.json")


def event(workflow, run) -> dict:
    """What EventBridge says of the end of a run."""
    started = workflow.sfn.describe_execution(executionArn=run.arn)["startDate"]
    return {"name": run.name, "executionArn": run.arn, "startDate": int(started.timestamp() * 1000)}


def trained_on(workflow, run) -> int:
    """How many lines a run's training job was given."""
    (job,) = [
        job
        for listed in workflow.sagemaker.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]
        for job in [workflow.sagemaker.describe_training_job(TrainingJobName=listed["TrainingJobName"])]
        if f"/runs/{run.name}/" in json.dumps(job["InputDataConfig"])
    ]
    uri = job["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"]
    assert uri == f"s3://{workflow.bucket}/runs/{run.name}/features/train/"
    return len(rows_of(workflow, run, "train"))


@pytest.fixture(scope="module")
def first(features_workflow, activities):
    """The first training, of 1,500 lines; its records are stored."""
    run = features_workflow.drop(activities)
    assert run.status == "SUCCEEDED", run.cause
    stored(features_workflow, 1_500, run=run.name)
    return run


@pytest.fixture(scope="module")
def other_file() -> bytes:
    return generate(seed=8, lines=1_000).to_csv(index=False).encode()


@pytest.fixture(scope="module")
def second(features_workflow, first, other_file):
    """A training of another file of 1,000 lines."""
    run = features_workflow.drop(other_file, "incoming/other.csv")
    assert run.status == "SUCCEEDED", run.cause
    stored(features_workflow, 1_000, run=run.name)
    return run


def test_all_lines_of_a_training_are_stored_as_the_forest_read_them(workflow, first, activities):
    records, said = stored(workflow, 1_500, run=first.name), receipt(workflow, first)
    assert said["stored"] == {"lines": 0, "model_run": None, "note": "no model is live yet"}
    lines = pd.read_csv(io.BytesIO(activities))
    numbers = records["line_id"].str.removeprefix(f"{file_id(said['sha256'])}-").astype(int)
    assert sorted(numbers) == list(range(2, 1_502)), "the numbers that an editor shows"
    assert records["part"].value_counts().to_dict() == {"train": 1_200, "validation": 300}
    records = records.iloc[np.argsort(numbers)].reset_index(drop=True)
    assert (records["amount"] == lines["Total"]).all()
    assert (records["error"] == lines["Error"].astype(int)).all()
    text = workflow.read(first, "encoder.json")
    assert set(records["encoder"]) == {encoder_id(text)}
    began = workflow.sfn.describe_execution(executionArn=first.arn)["startDate"].astimezone(UTC)
    assert set(records["event_time"]) == {f"{began:%Y-%m-%dT%H:%M:%SZ}"}
    assert not records["is_deleted"].any()
    for part in ("train", "validation"):
        own = records[records["part"] == part]
        encoder = Encoder.from_json(text.decode())
        written = stored_rows(encoder, own[NUMERIC_FEATURES].to_numpy(), own[CATEGORIES].to_numpy())
        assert [row.rstrip("\n") for row in written.to_pylist()] == rows_of(workflow, first, part)


def test_no_text_of_an_invoice_is_stored(workflow, first, activities):
    lines = pd.read_csv(io.BytesIO(activities))
    words = {*lines["Firm Name"], *lines["Matter Type"], *lines["Resource"], *lines["Activity"]}
    texts = stored(workflow, 1_500, run=first.name).select_dtypes(exclude="number")
    assert not words & set(texts.astype(str).to_numpy().ravel())


def test_sql_finds_them(workflow, first, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", workflow.cloud.endpoint_url)
    session = boto3.Session("test", "test", region_name="us-east-1")
    place = {"database": DATABASE, "workgroup": STACK}
    sql = f"""
        SELECT part, count(*) AS lines, sum(amount) AS amount, sum(error) AS errors FROM lines
        WHERE run = '{first.name}' AND year = '{datetime.now(UTC):%Y}' GROUP BY part ORDER BY part
    """
    query = wr.athena.start_query_execution(sql, boto3_session=session, **place)
    wr.athena.wait_query(query, boto3_session=session)
    told = workflow.cloud.client("athena").get_query_results(QueryExecutionId=query)["ResultSet"]["Rows"]
    rows = [[cell.get("VarCharValue") for cell in row["Data"]] for row in told[1:]]
    records = stored(workflow, 1_500, run=first.name).groupby("part")
    for (part, lines, amount, errors), (name, own) in zip(rows, records, strict=True):
        assert (part, int(lines), float(errors)) == (name, len(own), own["error"].sum())
        assert float(amount) == pytest.approx(own["amount"].sum())


def test_a_later_training_reads_them(workflow, first, second):
    said = receipt(workflow, second)
    assert said["stored"] == {"lines": 1_500, "model_run": first.name, "note": None}
    assert (said["counts"]["lines_train"], said["counts"]["lines_validation"]) == (800, 200)
    assert workflow.read(second, "encoder.json") == workflow.read(first, "encoder.json")
    assert trained_on(workflow, first) == 1_200
    assert trained_on(workflow, second) == 800 + 1_500
    own = rows_of(workflow, first, "train") + rows_of(workflow, first, "validation")
    assert sorted(rows_of(workflow, second, "train")[800:]) == sorted(own)


def test_lines_of_the_same_file_are_not_read_twice_and_the_latest_record_counts(workflow, first, second, activities):
    again = workflow.drop(activities, "incoming/again.csv")
    assert receipt(workflow, again)["stored"]["lines"] == 1_000, "those of the other file"
    assert trained_on(workflow, again) == 1_200 + 1_000
    twice = stored(workflow, 1_500, run=again.name)
    earlier = stored(workflow, 1_500, run=first.name)
    assert set(twice["line_id"]) == set(earlier["line_id"])
    assert min(twice["event_time"]) > max(earlier["event_time"])
    gone = twice["line_id"][0]
    workflow.cloud.client("sagemaker-featurestore-runtime").delete_record(
        FeatureGroupName=GROUP, RecordIdentifierValueAsString=gone, EventTime=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    )
    stored(workflow, 1, line_id=gone, is_deleted=True)
    third = workflow.drop(generate(seed=9, lines=500).to_csv(index=False).encode(), "incoming/third.csv")
    assert receipt(workflow, third)["stored"]["lines"] == 1_500 + 1_000 - 1


def test_a_scored_file_of_many_parts_is_stored_by_several_invocations(workflow, first):
    body = generate(seed=31, lines=2_500).drop(columns="Error").to_csv(index=False).encode()
    run = workflow.drop(body, "invoices/many.csv")
    records = stored(workflow, 2_500, run=run.name)
    assert set(records["part"]) == {"invoices"}
    assert records["line_id"].is_unique
    assert records["error"].isna().all()
    model = receipt(workflow, run)["model"]
    encoder = workflow.s3.get_object(Bucket=workflow.bucket, Key=model["encoder"])["Body"].read()
    assert set(records["encoder"]) == {encoder_id(encoder)}
    assert workflow.invoke("IngestFeaturesFunction", event(workflow, run)) == {"records": 0, "invocations": 2}
    stored(workflow, 5_000, run=run.name)


def test_the_job_of_a_large_file_stores_and_reads_as_the_function_does(workflow, first):
    lambdas, name = workflow.cloud.client("lambda"), workflow.physical_id("ClaimUploadFunction")
    deployed = lambdas.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    lambdas.update_function_configuration(
        FunctionName=name, Environment={"Variables": deployed | {"BATCH_ABOVE_MB": "0"}}
    )
    run = workflow.drop(generate(seed=36, lines=400).to_csv(index=False).encode(), "incoming/large.csv")
    lambdas.update_function_configuration(FunctionName=name, Environment={"Variables": deployed})
    assert "StartTransform" in workflow.entered(run), run.cause
    records, given = stored(workflow, 400, run=run.name), receipt(workflow, run)["stored"]
    assert records["part"].value_counts().to_dict() == {"train": 320, "validation": 80}
    assert given["lines"] >= 1_500 - 1
    assert trained_on(workflow, run) == 320 + given["lines"]


def test_an_event_that_comes_twice_writes_the_same_records(workflow, first):
    run = workflow.drop(generate(seed=32, lines=120).to_csv(index=False).encode(), "invoices/twice.csv")
    before = stored(workflow, 120, run=run.name)
    assert workflow.invoke("IngestFeaturesFunction", event(workflow, run)) == {"records": 120, "invocations": 0}
    after = stored(workflow, 240, run=run.name)
    same = [name for name in before if name not in ("write_time", "api_invocation_time")]
    assert after[same].drop_duplicates().sort_values("line_id").to_dict("list") == before[same].sort_values(
        "line_id"
    ).to_dict("list")
    delivered = workflow.wait(workflow.start_again(run))
    assert workflow.entered(delivered)[-1] == "DuplicateUpload"
    assert workflow.invoke("IngestFeaturesFunction", event(workflow, delivered)) == {"records": 0, "invocations": 0}


def test_a_store_that_is_busy_gets_all_records_in_the_end(workflow, first):
    run = workflow.drop(generate(seed=33, lines=130).to_csv(index=False).encode(), "invoices/busy.csv")
    stored(workflow, 130, run=run.name)
    workflow.fault("Record", "ThrottlingException", 200)
    workflow.fault("BatchWriteRecord", "ThrottlingException", 10)
    assert workflow.invoke("IngestFeaturesFunction", event(workflow, run))["records"] == 130
    records = stored(workflow, 260, run=run.name)
    assert set(records["line_id"].value_counts()) == {2}


def test_what_cannot_be_stored_waits_in_the_dead_letter_queue(workflow, first):
    workflow.fault("Record", "AccessForbidden", 1_000)
    run = workflow.drop(generate(seed=34, lines=110).to_csv(index=False).encode(), "invoices/refused.csv")
    assert run.status == "SUCCEEDED", "the store is beside the workflow"
    queue, sqs = workflow.cloud.outputs["UploadsDeadLetterQueueUrl"], workflow.cloud.client("sqs")
    (letter,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"]
    body = json.loads(letter["Body"])
    assert body["requestPayload"]["name"] == run.name
    assert body["responsePayload"]["errorType"] == "AwsRefusedError"
    workflow.no_faults()
    assert workflow.invoke("IngestFeaturesFunction", body["requestPayload"])["records"] == 110
    stored(workflow, 110, run=run.name)


def erase(workflow, firm: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "scripts/erase.py", "--home", str(workflow.cloud.outbox.parent), "--firm", firm, "--yes"]
    environment = os.environ | {"PYTHONPATH": "layers/core"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_records_of_an_erased_firm_are_gone_and_nothing_of_others(workflow, first):
    frame = generate(seed=35, lines=900).assign(**{"Firm Name": np.resize(FIRMS, 900)})
    body = frame.to_csv(index=False).encode()
    run = workflow.drop(body, "incoming/firms.csv")
    file = file_id(receipt(workflow, run)["sha256"])
    before = stored(workflow, 900, run=run.name)
    reader = workflow.drop(generate(seed=37, lines=300).to_csv(index=False).encode(), "incoming/reader.csv")
    assert receipt(workflow, reader)["stored"]["lines"] >= 900
    assert len(rows_of(workflow, reader, "train")) >= 240 + 900
    stored(workflow, 300, run=reader.name)
    others = {key for key in keys(workflow) if run.name not in set(of_file(workflow, key)["run"])}
    ids = {firm: {f"{file}-{line}" for line in 2 + np.flatnonzero(frame["Firm Name"] == firm)} for firm in FIRMS}
    done = erase(workflow, FIRMS[0])
    assert (done.returncode, done.stderr) == (0, "")
    assert set(stored(workflow, 600, run=run.name)["line_id"]) == ids[FIRMS[1]] | ids[FIRMS[2]]
    assert not [name for name in workflow.keys(run) if name.startswith("trained/")]
    assert rows_of(workflow, reader, "train") == [], "the firm's were among them"
    assert len(rows_of(workflow, reader, "validation")) == 60
    # What is left of the file has other numbers by now: nobody can tell which of the lines that were trained on go.
    done = erase(workflow, FIRMS[1])
    assert (done.returncode, done.stderr) == (0, "")
    validated = set(before[before["part"] == "validation"]["line_id"])
    left = stored(workflow, len(validated & ids[FIRMS[2]]), run=run.name)
    assert set(left["line_id"]) == validated & ids[FIRMS[2]] != set()
    versions = workflow.s3.list_object_versions(Bucket=workflow.bucket, Prefix="features/")["Versions"]
    assert all(version["IsLatest"] for version in versions)
    assert others <= set(keys(workflow)), "files without such records are as they were"


def test_the_group_and_its_table_go_with_the_stack_and_the_records_stay(workflow, first):
    found = keys(workflow)
    assert workflow.delete_stack() == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="can't find a FeatureGroup"):
        workflow.sagemaker.describe_feature_group(FeatureGroupName=GROUP)
    with pytest.raises(ClientError, match="EntityNotFoundException"):
        workflow.cloud.client("glue").get_table(DatabaseName=DATABASE, Name="lines")
    assert keys(workflow) == found != []
