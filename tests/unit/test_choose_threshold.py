import csv
import io
import json

import numpy as np
import pyarrow as pa
import pytest

from frames import BUCKET, lines_frame
from suspicious_lines import datasets, store
from suspicious_lines.encoder import Encoder
from suspicious_lines.errors import ModelResponseError
from suspicious_lines.quality import Metrics

UPLOAD = {"bucket": BUCKET, "key": "incoming/x.csv", "etag": "e", "size": 1}


def run_of(frame, scores, context, handler):
    """Writes what the states before have written, and chooses the threshold."""
    store.put(BUCKET, "runs/run/encoder.json", Encoder.fit(frame).to_json(), "application/json")
    halves = [frame.iloc[: len(frame) // 2], frame.iloc[len(frame) // 2 :]]
    parts = ["part-00000", "part-00001"]
    for part, half in zip(parts, halves, strict=True):
        datasets.write_part(
            pa.Table.from_pandas(half, preserve_index=False), BUCKET, f"runs/run/lines/validation/{part}.parquet"
        )
        table = pa.table({"line": half["line"].to_numpy(), "score": scores[half.index]})
        datasets.write_part(table, BUCKET, f"runs/run/scores/validation/{part}.parquet")
    dataset = {
        "lines_read": len(frame), "lines_rejected": 0, "lines_train": 0, "lines_validation": len(frame),
        "feature_dim": 1, "parts": parts, "sha256": "0" * 64,
    }  # fmt: skip
    answer = handler({"run": "run", "upload": UPLOAD, "dataset": dataset}, context)
    metrics = Metrics.model_validate_json(store.get_bytes(BUCKET, "runs/run/results/metrics.json"))
    flagged = list(
        csv.DictReader(io.StringIO(store.get_bytes(BUCKET, "runs/run/results/suspicious_lines.csv").decode()))
    )
    return answer, metrics, flagged


@pytest.fixture
def handler(cloud, load_handler, monkeypatch):
    monkeypatch.setenv("REVIEW_BUDGET", "7")
    return load_handler("choose_threshold")


def test_labels_choose_the_median_score_of_the_known_errors(handler, context):
    frame = lines_frame(400)
    scores = np.log(frame["minutes"].to_numpy())
    answer, metrics, flagged = run_of(frame, scores, context, handler)
    errors = frame["error"].to_numpy(bool)
    assert metrics.threshold.strategy == "error-median"
    assert metrics.threshold.value == pytest.approx(np.median(scores[errors]))
    assert metrics.labelled == 400
    assert metrics.confusion.tp == (errors & (scores >= metrics.threshold.value)).sum()
    assert metrics.recall >= 0.5
    assert answer["flagged"] == metrics.flagged == len(flagged)
    assert metrics.amount_at_stake == pytest.approx(sum(float(row["Total"]) for row in flagged))
    given = [float(row["Score"]) for row in flagged]
    assert given == sorted(given, reverse=True)


@pytest.mark.parametrize("labels", ["none", "no error among them"])
def test_without_known_errors_the_review_budget_decides(handler, context, labels):
    frame = lines_frame(400, labelled=False)
    if labels != "none":
        frame["error"] = frame["error"].fillna(False)
    _, metrics, flagged = run_of(frame, np.zeros(400), context, handler)
    assert (metrics.threshold.strategy, metrics.flagged, len(flagged)) == ("budget", 7, 7)
    largest = sorted(frame["total"], reverse=True)[:7]
    assert sorted((float(row["Total"]) for row in flagged), reverse=True) == largest
    assert (metrics.average_precision, metrics.roc_auc) == (None, None)
    assert (metrics.confusion is None) == (labels == "none")


def test_results_neutralise_formulas_and_escape_markup(handler, context):
    frame = lines_frame(40)
    frame["firm_name"] = "=cmd|'/c calc'!A1<script>alert(1)</script>"
    frame["firm_name"] = frame["firm_name"].astype("category")
    _, _, flagged = run_of(frame, np.arange(40.0), context, handler)
    assert flagged
    assert all(row["Firm Name"].startswith("'=cmd") for row in flagged)
    page = store.get_bytes(BUCKET, "runs/run/results/report.html").decode()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_scores_of_other_lines_are_refused(handler, context):
    frame = lines_frame(40)
    run_of(frame, np.arange(40.0), context, handler)
    shuffled = pa.table({"line": frame["line"].to_numpy()[::-1][:20], "score": np.zeros(20)})
    datasets.write_part(shuffled, BUCKET, "runs/run/scores/validation/part-00000.parquet")
    event = json.loads((store.get_bytes(BUCKET, "runs/run/results/metrics.json")).decode())
    dataset = {key: event[key] for key in ("lines_read", "lines_rejected", "lines_train", "lines_validation")}
    dataset |= {"feature_dim": 1, "parts": ["part-00000", "part-00001"], "sha256": "0" * 64}
    with pytest.raises(ModelResponseError):
        handler({"run": "run", "upload": UPLOAD, "dataset": dataset}, context)
