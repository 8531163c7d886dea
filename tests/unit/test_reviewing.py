"""The functions of the review workflow, from verdicts to e-mail."""

import io
import json

import msgspec
import numpy as np
import pandas as pd
import pytest

from frames import BUCKET, lines_frame
from suspicious_lines import datasets, store
from suspicious_lines.encoder import Encoder
from suspicious_lines.errors import InvalidUploadError
from suspicious_lines.judged import JUDGED_COLUMNS, read_labels
from suspicious_lines.learning import Review
from suspicious_lines.lines import COLUMNS, FIELDS
from suspicious_lines.model_messages import LiveModel
from suspicious_lines.results import FLAGGED_COLUMNS
from suspicious_lines.spreadsheet import to_csv
from suspicious_lines.suppressing import Suppressions

COUNTS = {"read": 0, "accepted": 0, "rejected": 0, "kept": 0, "query": 0, "fine": 0, "unsure": 0, "runs": 0}


@pytest.fixture
def scored_run(cloud):
    """A run with results: 40 lines, of which the first 20 are listed."""
    lines = lines_frame(40).assign(model_score=1.0, score=np.linspace(6, 2, 40), arithmetic=False, duplicate=True)
    lines = lines.assign(
        suspicious=lines["score"] >= 4, suppressed_by=pd.Series(pd.NA, index=lines.index, dtype="string")
    )
    datasets.write_dataset(lines, BUCKET, "runs/past/results/scored_lines.parquet")
    told = {"found_by": "model", "field": "minutes", "reason": "=too long", "at_stake": 12.5, "rules": "duplicate"}
    listed = lines.head(20).assign(threshold=4.0, expected_low="", expected_high="", **told)
    rows = listed[list(FLAGGED_COLUMNS)].itertuples(index=False)
    store.put(
        BUCKET, "runs/past/results/suspicious_lines.csv", to_csv(list(FLAGGED_COLUMNS.values()), rows), "text/csv"
    )
    store.put_json(BUCKET, "runs/past/results/metrics.json", {"threshold": {"value": 4.0}})
    receipt = {"run": "past", "status": "SUCCEEDED", "model": {"run": "past"}, "threshold": {"value": 4.0}}
    store.put_json(BUCKET, "runs/past/receipt.json", receipt)
    store.put_json(BUCKET, "runs/failed/receipt.json", receipt | {"run": "failed", "status": "FAILED"})
    store.put_json(BUCKET, "runs/review/receipt.json", receipt | {"run": "review", "model": None, "threshold": None})
    live = LiveModel(
        run="past", endpoint_name="e", max_concurrency=5, encoder_key="k", threshold=4.0,
        promoted_at="2026-11-20T00:00:00+00:00",
    )  # fmt: skip
    store.put(BUCKET, "models/current.json", msgspec.json.encode(live), "application/json")
    return lines


@pytest.fixture
def read(cloud, load_handler, context):
    def run(*rows, name="r1", at="2026-11-24T23:30:00-01:00"):
        body = "\r\n".join(["Run,Line,Verdict,Note", *rows, ""]).encode()
        cloud.s3.put_object(Bucket=BUCKET, Key="verdicts/v.csv", Body=body)
        upload = {"bucket": BUCKET, "key": "verdicts/v.csv", "etag": "e", "size": len(body)}
        return load_handler("read_verdicts")({"run": name, "upload": upload, "started_at": at}, context)

    return run


def learn(load_handler, context, name="r1", counts=COUNTS):
    event = {"run": name, "counts": counts, "started_at": "2026-11-24T23:30:00-01:00"}
    lessons = load_handler("learn_from_verdicts")(event, context)
    return lessons, msgspec.json.decode(store.get_bytes(BUCKET, f"runs/{name}/results/review.json"), type=Review)


def test_verdicts_are_kept_with_what_the_run_said_of_the_line(scored_run, read):
    answer = read("past,2,query,'=1", "past,41,fine,", "past,3,unsure,", "failed,2,fine,", "review,2,fine,")
    assert answer["counts"] == {
        "read": 5, "accepted": 3, "rejected": 2, "kept": 3, "query": 1, "fine": 1, "unsure": 1, "runs": 1,
    }  # fmt: skip
    judged = datasets.read_dataset(BUCKET, ["judged/dt=2026-11-25/r1.parquet"])
    assert list(judged.columns) == list(JUDGED_COLUMNS)
    first, last, _ = judged.to_dict("records")
    assert (first["judged_at"], first["inference_id"]) == ("2026-11-25T00:30:00.000000+00:00", "past-2")
    assert (first["note"], first["reason"], first["rules"], first["at_stake"]) == ("=1", "=too long", "duplicate", 12.5)
    assert (last["suspicious"], pd.isna(last["field"]), pd.isna(last["at_stake"])) == (False, True, True)
    assert len(store.get_bytes(BUCKET, "ground-truth/2026/11/25/00/r1.jsonl").splitlines()) == 2


def test_a_retry_overwrites_its_own_and_a_file_without_a_good_verdict_leaves_the_reasons(scored_run, read):
    for _ in range(2):
        read("past,2,query,")
    assert store.keys(BUCKET, "judged/") == ["judged/dt=2026-11-25/r1.parquet"]
    with pytest.raises(InvalidUploadError, match="none of 1 verdicts can be used"):
        read("failed,2,query,", name="r2")
    assert b"failed,is no run with results" in store.get_bytes(BUCKET, "runs/r2/rejected.csv")
    assert len(store.keys(BUCKET, "judged/")) == 1


def test_a_file_beyond_the_function_is_refused_before_it_is_read(cloud, load_handler, context):
    upload = {"bucket": BUCKET, "key": "verdicts/v.csv", "etag": "e", "size": 30_000_000}
    event = {"run": "r", "upload": upload, "started_at": "2026-11-24T00:00:00Z"}
    with pytest.raises(InvalidUploadError, match=r"30 MB, at most 20 can be read\. Split it by run"):
        load_handler("read_verdicts")(event, context)


def test_a_review_measures_moves_proposes_and_tells(scored_run, read, load_handler, context, cloud, monkeypatch):
    monkeypatch.setenv("RECALIBRATION_VERDICTS", "12")
    store.put_json(BUCKET, "config/suppressions.json", {"suppressions": []})
    counts = read(*(f"past,{line},fine," for line in range(2, 22)), "past,99,fine,")["counts"]
    lessons, review = learn(load_handler, context, counts=counts)
    assert lessons == {"precision": 0.0, "threshold_moved": True, "proposals": len(review.proposals)}
    # Measured at the threshold that the lines were flagged by.
    assert (review.precision.queried, review.precision.judged, review.threshold) == (0, 20, 4.25)
    assert review.by_field.keys() == {"minutes"}
    assert learn(load_handler, context, counts=counts)[1] == review
    events = json.loads(store.get_bytes(BUCKET, "models/current.json"))["history"]
    assert len(events) == 1
    upload = {"bucket": BUCKET, "key": "verdicts/v.csv", "etag": "e", "size": 1}
    load_handler("notify_of_review")({"run": "r1", "upload": upload}, context)
    for topic in ("reviewers", "operators"):
        (message,) = cloud.sqs.receive_message(QueueUrl=cloud.queues[topic])["Messages"]
        mail = json.loads(message["Body"])
        assert mail["Subject"] == "21 verdicts read: 0 of 20 judged lines were rightly queried"
        assert "v.csv: 20 lines of 1 run: 0 query, 20 fine, 0 unsure; 1 verdict refused." in mail["Message"]
        assert "Rightly queried: 0 of 20, 0% (0% to 16%)." in mail["Message"]
        assert "The live threshold was raised: fewer lines will be listed. 0 of 20" in mail["Message"]
        assert f"s3://{BUCKET}/runs/r1/" in mail["Message"]


def test_proposals_are_a_configuration_file_that_can_be_copied(scored_run, read, load_handler, context, cloud):
    ours = {"name": "ours", "firm_name": "x", "resource": "x", "activity": "x", "field": "fee", "at_stake_up_to": 1}
    store.put_json(BUCKET, "config/suppressions.json", {"suppressions": [ours]})
    scored_run = scored_run.assign(matter_type="IPO", resource="Junior", activity="Phone Call")
    datasets.write_dataset(scored_run, BUCKET, "runs/past/results/scored_lines.parquet")
    read(*(f"past,{line},fine," for line in range(2, 15)))
    _, review = learn(load_handler, context)
    (proposal,) = review.proposals
    assert (proposal.at_stake_up_to, proposal.matter_type) == (12.5, "IPO")
    proposed = Suppressions.from_json(store.get_bytes(BUCKET, "runs/r1/results/proposed_suppressions.json"))
    assert [suppression.name for suppression in proposed.suppressions] == ["ours", proposal.name]
    cloud.s3.copy_object(
        Bucket=BUCKET,
        Key="config/suppressions.json",
        CopySource=f"{BUCKET}/runs/r1/results/proposed_suppressions.json",
    )
    assert learn(load_handler, context)[1].proposals == []


def test_without_a_live_model_verdicts_are_kept_and_nothing_is_measured(scored_run, read, load_handler, context):
    store.delete(BUCKET, "models/current.json")
    read("past,2,query,")
    lessons, review = learn(load_handler, context)
    assert lessons == {"precision": None, "threshold_moved": False, "proposals": 0}
    assert (review.model_run, review.precision, review.judged) == (None, None, {"query": 1, "fine": 0})


def test_the_next_preprocess_encodes_judged_lines_with_the_new_encoder(scored_run, read, load_handler, context, cloud):
    read("past,2,query,", "past,3,fine,", "past,4,unsure,")
    read("past,2,fine,", name="r2", at="2026-11-25T12:00:00Z")
    assert list(read_labels(BUCKET)["is_error"]) == [False, False]
    frame = lines_frame(500, seed=3)
    body = frame[list(FIELDS.values())].set_axis(COLUMNS, axis=1).to_csv(index=False).encode()
    cloud.s3.put_object(Bucket=BUCKET, Key="incoming/x.csv", Body=body)
    upload = {"bucket": BUCKET, "key": "incoming/x.csv", "etag": "e", "size": len(body)}
    dataset = load_handler("preprocess")({"run": "next", "upload": upload}, context)
    assert (dataset["lines_judged"], dataset["parts"][-1]) == (2, "judged/part-00000")
    encoder = Encoder.from_json(store.get_bytes(BUCKET, "runs/next/encoder.json").decode())
    test = pd.read_csv(io.BytesIO(store.get_bytes(BUCKET, "runs/next/features/test/part-00000.csv")), header=None)
    np.testing.assert_allclose(test.iloc[:, 1:], encoder.encode(scored_run.head(2)), atol=1e-3)
    assert list(test[0]) == [0, 0]
    lines = pd.read_parquet(io.BytesIO(store.get_bytes(BUCKET, "runs/next/lines/judged/part-00000.parquet")))
    assert list(lines["error"]) == [False, False]


def test_without_verdicts_a_training_run_has_no_more_parts_than_before(load_handler, context, cloud):
    body = lines_frame(500)[list(FIELDS.values())].set_axis(COLUMNS, axis=1).to_csv(index=False).encode()
    cloud.s3.put_object(Bucket=BUCKET, Key="incoming/x.csv", Body=body)
    upload = {"bucket": BUCKET, "key": "incoming/x.csv", "etag": "e", "size": len(body)}
    dataset = load_handler("preprocess")({"run": "next", "upload": upload}, context)
    assert dataset["lines_judged"] == 0
    assert {part.partition("/")[0] for part in dataset["parts"]} == {"validation", "planted"}
    assert store.keys(BUCKET, "runs/next/features/test/") == []
