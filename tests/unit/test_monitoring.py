import json

import numpy as np
import pandas as pd
import pytest

from frames import BUCKET, ROOT, lines_frame, metrics_of
from suspicious_lines import datasets, monitoring, store
from suspicious_lines.capturing import CAPTURED_COLUMNS
from suspicious_lines.drift_page import drift_html
from suspicious_lines.encoder import Encoder
from suspicious_lines.messages import ChosenThreshold
from suspicious_lines.promotion import live_model
from suspicious_lines.rules import Rules
from suspicious_lines.yardstick import read_yardstick

DAY = "2026-11-24"


def forest(body):
    """A stand-in for the endpoint: the sum of a line's features."""
    return json.dumps({"scores": [{"score": sum(map(float, line.split(b",")))} for line in body.splitlines()]}).encode()


@pytest.fixture
def live(cloud, monkeypatch):
    """A live model whose validation lines are there."""
    monkeypatch.setattr(monitoring, "sender", lambda *asked: forest)
    past = lines_frame(2_000)
    encoder = Encoder.fit(past)
    store.put(BUCKET, "runs/past/encoder.json", encoder.to_json(), "application/json")
    scores = encoder.encode(past).sum(axis=1).astype(float)
    datasets.write_dataset(
        past.assign(model_score=scores, score=scores), BUCKET, "runs/past/results/scored_lines.parquet"
    )
    model = {
        "run": "past", "endpoint_name": "endpoint", "max_concurrency": 5, "encoder_key": "runs/past/encoder.json",
        "threshold": 4.0, "promoted_at": "2026-11-20T00:00:00+00:00",
    }  # fmt: skip
    store.put_json(BUCKET, "models/current.json", model)
    threshold = ChosenThreshold(value=4.0, strategy="budget", note=None)
    store.put_json(BUCKET, "runs/past/results/metrics.json", metrics_of(threshold))
    return encoder


def capture(encoder, lines, run="new", model_run="past", day=DAY):
    scores = encoder.encode(lines).sum(axis=1).astype(float)
    known = lines.assign(
        run=run, model_run=model_run, model_score=scores, score=scores, threshold=4.0, suspicious=scores >= 4
    ).drop(columns="error")
    frame = known.reindex(columns=list(CAPTURED_COLUMNS))
    datasets.write_dataset(frame, BUCKET, f"scored/dt={day}/{run}.parquet")


@pytest.fixture
def measure(load_handler, context):
    def run(**given):
        event = json.loads((ROOT / "events/measure_drift.json").read_text()) | given
        answer = load_handler("measure_drift")(event, context)
        report = json.loads(store.get_bytes(BUCKET, f"monitoring/dt={answer['day']}/report.json"))
        return answer, report

    return run


def test_without_a_model_there_is_nothing_to_measure(cloud, measure):
    answer, report = measure()
    assert (answer["lines"], answer["drifted"], report["note"]) == (0, 0, "no model is live")
    assert b"no model is live" in store.get_bytes(BUCKET, f"monitoring/dt={DAY}/report.html")


def test_a_day_of_few_lines_is_told_and_not_judged(live, measure):
    capture(live, lines_frame(199, seed=2))
    answer, report = measure()
    assert (answer["drifted"], report["lines"], report["measures"]) == (0, 199, [])
    assert "199 lines, and 200 are needed" in report["note"]


def test_measure_drift_finds_none_where_there_is_none(live, measure):
    capture(live, lines_frame(1_000, seed=2))
    answer, report = measure()
    assert {found["name"] for found in report["measures"] if found["drifted"]} == set()
    assert len(report["measures"]) == monitoring.MEASURES + 1
    assert (answer["lines"], answer["model_age_days"] > 0) == (1_000, True)
    assert measure()[1] == report, "the same day gives the same report"


def test_measure_drift_names_what_has_changed(live, measure):
    day = lines_frame(1_000, seed=2)
    capture(live, day.assign(fee=day["fee"] * 1.3, total=day["total"] * 1.3))
    answer, report = measure()
    drifted = {found["name"] for found in report["measures"] if found["drifted"]}
    assert {"fee_off_card", "flagged"} <= drifted
    assert answer["drifted"] == len(drifted)
    page = store.get_bytes(BUCKET, f"monitoring/dt={DAY}/report.html").decode()
    assert "measures have drifted" in page
    assert "<script" not in page


def test_lines_of_other_models_are_left_out_and_counted(live, measure):
    capture(live, lines_frame(300, seed=2))
    capture(live, lines_frame(500, seed=3), run="older", model_run="before")
    _, report = measure()
    assert (report["lines"], report["lines_of_other_models"], report["runs"]) == (300, 500, 2)


def test_the_day_is_the_one_before_unless_it_is_given(live, measure):
    assert measure(input={})[0]["day"] == DAY
    assert measure(input={"day": "2026-01-31"})[0]["day"] == "2026-01-31"
    with pytest.raises(Exception, match="day is no date"):
        measure(input={"day": "yesterday"})


def test_refused_lines_count_by_the_receipts_of_the_runs(live, measure):
    capture(live, lines_frame(300, seed=2))
    receipt = {
        "run": "new", "execution_arn": "arn", "status": "SUCCEEDED", "input": None,
        "counts": {"lines_read": 400, "lines_rejected": 100},
        "timings": {"started_at": "2026-11-24T00:00:00Z", "seconds": 1, "states": {}, "transitions": 1},
        "estimated_cost": {
            "currency": "USD", "region": "us-east-1", "as_of": "2026-11-23", "functions": 0, "state_machine": 0,
            "inference": 0, "training": 0, "total": 0,
        },
    }  # fmt: skip
    store.put_json(BUCKET, "runs/new/receipt.json", receipt)
    (rejected,) = [found for found in measure()[1]["measures"] if found["name"] == "rejected"]
    assert (rejected["value"], rejected["limit"], rejected["drifted"]) == (0.25, 0.05, True)


def test_report_drift_tells_the_operators_which_measures(live, measure, load_handler, context, cloud):
    day = lines_frame(1_000, seed=2)
    capture(live, day.assign(fee=day["fee"] * 1.3, total=day["total"] * 1.3))
    _, report = measure()
    load_handler("report_drift")(json.loads((ROOT / "events/report_drift.json").read_text()), context)
    (message,) = cloud.sqs.receive_message(QueueUrl=cloud.queues["operators"])["Messages"]
    mail = json.loads(message["Body"])
    count = sum(found["drifted"] for found in report["measures"])
    assert mail["Subject"] == f"Drift: {count} of {len(report['measures'])} measures on {DAY}"
    assert "* fee_off_card (a feature of the forest): population stability index" in mail["Message"]
    assert f"Page: s3://{BUCKET}/monitoring/dt={DAY}/report.html" in mail["Message"]


def test_the_page_shows_a_category_as_text_only():
    bins = [{"label": "<script>alert(1)</script>", "baseline": 0.1, "day": 0.2}]
    measure = {"name": "activity", "what": "a column", "value": 0.3, "baseline": None, "low": None, "limit": 0.1}
    report = {
        "day": DAY, "model_run": "past", "promoted_at": "2026-11-20", "threshold": 4.0, "lines": 300, "matters": 9,
        "lines_of_other_models": 0, "note": None, "measures": [measure | {"drifted": True, "bins": bins}],
    }  # fmt: skip
    page = drift_html(report)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_the_baseline_and_the_day_are_planted_alike(live):
    frame = lines_frame(300, seed=4)
    rules = Rules.default()
    watched = monitoring.Watched(live_model(BUCKET), read_yardstick(BUCKET, "past", rules), rules)
    then, now = monitoring._planted_scores(watched, pd.DataFrame(frame.drop(columns="error")), BUCKET, 1)
    assert len(then) == len(now) == 200
    assert np.mean(then) > 0.3
