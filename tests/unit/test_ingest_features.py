"""What is sent to the feature store of a run, and what becomes of what it does not take."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import msgspec
import numpy as np
import pandas as pd
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from frames import BUCKET, ROOT, lines_frame
from suspicious_lines import datasets, ingesting, store
from suspicious_lines.costs import estimate
from suspicious_lines.encoder import CATEGORIES, NUMERIC_FEATURES, Encoder
from suspicious_lines.errors import AwsRefusedError, AwsUnavailableError
from suspicious_lines.feature_messages import IngestRequest
from suspicious_lines.feature_records import FEATURES, encoder_id
from suspicious_lines.features import feature_rows, features_csv, stored_rows
from suspicious_lines.layout import RunFiles
from suspicious_lines.receipts import Receipt

GROUP = "suspicious-lines-lines"
STARTED = datetime(2026, 11, 23, 10, 30, 15, 250_000, UTC)


class Runtime:
    """The feature store's runtime: keeps what it takes; `answers` are given instead, the first of them first."""

    def __init__(self):
        self.taken, self.asked, self.answers = [], [], []

    def batch_write_record(self, Entries):
        self.asked.append(len(Entries))
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        refused = answer(Entries) if answer else {"Errors": [], "UnprocessedEntries": []}
        left = refused["UnprocessedEntries"] + [error["Entry"] for error in refused["Errors"]]
        self.taken += [entry for entry in Entries if entry not in left]
        return refused

    def records(self):
        assert {entry["FeatureGroupName"] for entry in self.taken} == {GROUP}
        return [{value["FeatureName"]: value["ValueAsString"] for value in entry["Record"]} for entry in self.taken]


class Lambda:
    def __init__(self):
        self.events = []

    def invoke(self, FunctionName, InvocationType, Payload):
        assert (FunctionName, InvocationType) == ("ingest", "Event")
        self.events.append(json.loads(Payload))


@pytest.fixture
def aws(monkeypatch):
    monkeypatch.setenv("FEATURE_GROUP", GROUP)
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "ingest")
    monkeypatch.setattr(ingesting.time, "sleep", lambda seconds: None)
    runtime, functions = Runtime(), Lambda()
    clients = {"sagemaker-featurestore-runtime": runtime, "lambda": functions}
    monkeypatch.setattr(ingesting, "client", clients.__getitem__)
    runtime.events = functions.events
    return runtime


@pytest.fixture
def ingest(cloud, aws, load_handler, context):
    event = json.loads((ROOT / "events/ingest_features.json").read_text())
    handler = load_handler("ingest_features")

    def call(run="run", **more):
        return handler(event | {"name": run, "startDate": int(STARTED.timestamp() * 1000)} | more, context)

    return call


def leave(lines, run="run", sha256="ab12" * 16, trained=(), scored=("validation/part-00000",), model=True):
    """Leaves what a run that has succeeded leaves: `lines` in equal shares, in these parts."""
    files, encoder = RunFiles(run), Encoder.fit(lines)
    store.put(BUCKET, files.encoder, encoder.to_json(), "application/json")
    names = [*trained, *scored]
    for part, place in zip(names, np.array_split(np.arange(len(lines)), len(names)), strict=True):
        own = lines.iloc[place].reset_index(drop=True)
        store.put(BUCKET, files.features(part), features_csv(encoder, own), "text/csv")
        key = files.trained(part) if part in trained else files.lines(part)
        datasets.write_dataset(own[["line", "total", "error"]] if part in trained else own, BUCKET, key)
    store.put_json(BUCKET, files.parts, [*scored, "planted/part-00000", "judged/part-00000"])
    receipt = {
        "run": run,
        "execution_arn": "arn",
        "status": "SUCCEEDED",
        "input": None,
        "sha256": sha256,
        "model": {"run": run, "endpoint": "e", "encoder": files.encoder} if model else None,
        "timings": {"started_at": STARTED, "seconds": 1, "states": {}, "transitions": 1},
        "estimated_cost": msgspec.to_builtins(estimate({}, 1, 1, "ml.m5.large", 2048, 0, "ml.m5.xlarge")),
    }
    store.put_json(BUCKET, files.receipt, msgspec.convert(receipt, Receipt))
    return encoder


def test_a_record_says_what_the_forest_read_and_whose_line_it_is(ingest, aws):
    lines = lines_frame(60)
    lines["error"] = lines["error"].where(lines.index != 3)  # one that nobody knows
    encoder = leave(lines, trained=["train/part-00000"])
    assert ingest() == {"records": 60, "invocations": 0}
    assert aws.asked == [25, 5, 25, 5]
    records = {record["line_id"]: record for record in aws.records()}
    assert list(records["ab12ab12ab12ab12-2"]) == list(FEATURES)
    assert set(records["ab12ab12ab12ab12-5"]) == set(FEATURES) - {"error"}
    told = pd.DataFrame([records[f"ab12ab12ab12ab12-{line}"] for line in lines["line"]])
    assert set(told["run"]) == {"run"}
    assert set(told["event_time"]) == {"2026-11-23T10:30:15Z"}
    assert set(told["encoder"]) == {encoder_id(encoder.to_json().encode())}
    assert list(told["part"]) == ["train"] * 30 + ["validation"] * 30
    assert list(told["amount"].astype(float)) == list(lines["total"])
    assert list(told["error"].dropna()) == [str(int(error)) for error in lines["error"].dropna()]
    numbers, places = told[NUMERIC_FEATURES].astype(float).to_numpy(), told[CATEGORIES].astype(int).to_numpy()
    assert stored_rows(encoder, numbers, places) == feature_rows(encoder, lines)


def test_a_category_that_the_encoder_has_not_seen_has_the_place_behind_the_last(ingest, aws):
    lines = lines_frame(30)
    encoder = leave(lines)
    new = lines.astype({"resource": "object"}).assign(resource="Astronaut")
    store.put(BUCKET, RunFiles("run").features("validation/part-00000"), features_csv(encoder, new), "text/csv")
    ingest()
    assert {record["resource"] for record in aws.records()} == {str(len(encoder.categories["resource"]))}


def test_lines_of_a_model_on_trial_are_encoded_by_its_own_encoder(ingest, aws):
    lines = lines_frame(60)
    names = ["invoices/0123abcd/part-00000", "challenger/4567cdef/part-00000"]
    live = leave(lines, scored=names)
    other = leave(lines_frame(40, seed=9).assign(resource="Partner"), run="on-trial")
    theirs = lines.iloc[30:].reset_index(drop=True)
    store.put(BUCKET, RunFiles("run").features(names[1]), features_csv(other, theirs), "text/csv")
    trial = {"run": "on-trial", "endpoint_name": "e", "max_concurrency": 1, "threshold": 1.0, "kind": "ab", "share": 50}
    trial |= {"trial": "begun", "began_at": "2026-11-23T00:00:00Z"}
    store.put_json(BUCKET, RunFiles("run").challenger, trial)
    assert ingest()["records"] == 60
    for part, encoder, own in (("invoices", live, lines.iloc[:30]), ("challenger", other, theirs)):
        told = pd.DataFrame([record for record in aws.records() if record["part"] == part])
        told = told.set_index("line_id").loc[[f"ab12ab12ab12ab12-{line}" for line in own["line"]]]
        assert set(told["encoder"]) == {encoder_id(encoder.to_json().encode())}
        numbers, places = told[NUMERIC_FEATURES].astype(float).to_numpy(), told[CATEGORIES].astype(int).to_numpy()
        assert stored_rows(encoder, numbers, places) == feature_rows(encoder, own.reset_index(drop=True))


def test_what_has_scored_nothing_has_no_records(ingest, aws):
    assert ingest("a-second-delivery") == {"records": 0, "invocations": 0}
    leave(lines_frame(30), model=False)
    assert ingest() == {"records": 0, "invocations": 0}
    assert aws.asked == []


def test_many_parts_are_handed_to_invocations_of_the_same_function(ingest, aws):
    names = [f"invoices/0123abcd/part-{number:05d}" for number in range(41)]
    leave(lines_frame(82), scored=names)
    assert ingest() == {"records": 0, "invocations": 3}
    assert [event["parts"] for event in aws.events] == [names[:20], names[20:40], names[40:]]
    assert aws.asked == []
    for event in aws.events:
        assert event["name"] == "run"
        assert msgspec.convert(event, IngestRequest).started_at == STARTED
        assert ingest(**event)["records"] == 2 * len(event["parts"])
    records = aws.records()
    assert len({record["line_id"] for record in records}) == len(records) == 82
    assert {record["event_time"] for record in records} == {"2026-11-23T10:30:15Z"}


def unprocessed(count):
    return lambda entries: {"Errors": [], "UnprocessedEntries": entries[:count]}


def errors(code, count=1):
    def answer(entries):
        wrong = [{"Entry": entry, "ErrorCode": code, "ErrorMessage": "at 12:00"} for entry in entries[:count]]
        return {"Errors": wrong, "UnprocessedEntries": []}

    return answer


def throttled():
    return ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, "BatchWriteRecord")


def test_what_a_busy_store_leaves_is_sent_again_and_nothing_else(ingest, aws):
    leave(lines_frame(10))
    aws.answers = [throttled(), unprocessed(4), errors("InternalFailure", 2), ConnectionClosedError(endpoint_url="x")]
    assert ingest() == {"records": 10, "invocations": 0}
    assert aws.asked == [10, 10, 4, 2, 2]
    assert len({record["line_id"] for record in aws.records()}) == len(aws.taken) == 10


def test_pauses_grow_and_end(ingest, aws, monkeypatch):
    pauses = []
    monkeypatch.setattr(ingesting.random, "uniform", lambda low, high: high)
    monkeypatch.setattr(ingesting, "time", SimpleNamespace(sleep=pauses.append))  # and not that of other threads
    leave(lines_frame(10))
    aws.answers = [unprocessed(3)] * ingesting.TRIES
    with pytest.raises(AwsUnavailableError, match="3 of 10 records were not taken"):
        ingest()
    assert pauses == sorted(pauses)
    assert 60 < sum(pauses) < 300


def test_a_record_that_is_refused_is_told_without_its_values(ingest, aws):
    leave(lines_frame(10))
    aws.answers = [errors("ValidationError")]
    with pytest.raises(AwsRefusedError, match=r"^BatchWriteRecord: ValidationError$"):
        ingest()
    aws.answers = [ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "BatchWriteRecord")]
    with pytest.raises(AwsRefusedError, match="AccessDeniedException"):
        ingest()
