import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from frames import BUCKET, ROOT
from suspicious_lines import receipts, store
from suspicious_lines.costs import estimate, inference_second
from suspicious_lines.errors import RunEndedError
from suspicious_lines.receipts import Receipt, timings_of

START = datetime(2026, 1, 1, tzinfo=UTC)


def entered(name, at):
    return {"timestamp": START + timedelta(seconds=at), "stateEnteredEventDetails": {"name": name}}


def exited(name, at):
    return {"timestamp": START + timedelta(seconds=at), "stateExitedEventDetails": {"name": name}}


def test_timings_add_up_visits_and_count_transitions():
    events = [
        {"timestamp": START, "type": "ExecutionStarted"},
        entered("Preprocess", 0), exited("Preprocess", 4),
        entered("WaitForTraining", 4), exited("WaitForTraining", 5),
        entered("WaitForTraining", 6), exited("WaitForTraining", 8),
    ]  # fmt: skip
    timings = timings_of(events)
    assert timings.states == {"Preprocess": 4.0, "WaitForTraining": 3.0}
    assert (timings.seconds, timings.transitions) == (8.0, 3)


def test_iterations_at_once_and_an_open_state_are_counted():
    events = [
        entered("ScoreLines", 0), entered("ScoreLines", 1), exited("ScoreLines", 5), exited("ScoreLines", 7),
        entered("WriteReceipt", 7), {"timestamp": START + timedelta(seconds=9), "type": "TaskScheduled"},
    ]  # fmt: skip
    assert timings_of(events).states == {"ScoreLines": 11.0, "WriteReceipt": 2.0}


def test_cost_is_the_sum_of_its_parts_from_the_price_table():
    cost = estimate(
        {"Preprocess": 10.0, "WaitForTraining": 200.0, "ScoreLines": 3.0, "ScoreChampionLines": 2.0},
        40,
        180,
        "ml.m5.large",
        inference_second("serverless", 2048, "ml.m5.large"),
        90.0,
        "ml.m5.xlarge",
    )
    assert cost.batch == pytest.approx(90 / 3600 * 0.23)
    assert cost.training == pytest.approx(180 / 3600 * 0.115)
    assert cost.functions == pytest.approx(15 * 2 * 0.0000166667, rel=1e-3)
    assert cost.inference == pytest.approx(5 * 2 * 0.00002)
    assert cost.state_machine == pytest.approx(40 * 0.000025)
    parts = cost.training + cost.batch + cost.functions + cost.inference + cost.state_machine
    assert cost.total == pytest.approx(parts, abs=2e-6)


def test_an_instance_without_a_price_is_not_guessed():
    second = inference_second("real-time", 2048, "ml.c6i.large")
    cost = estimate({"ScoreLines": 1.0}, 0, 60, "ml.c6i.large", second, 60.0, "ml.c6i.xlarge")
    assert (cost.training, cost.batch, cost.inference) == (None, None, None)
    assert cost.total == cost.functions
    # Where no job ran and nothing was scored, there is none to price.
    nothing = estimate({}, 0, 0, "ml.c6i.large", second, 0.0, "ml.c6i.xlarge")
    assert (nothing.batch, nothing.inference) == (0, 0)


def test_scoring_costs_what_the_mode_has():
    assert inference_second("real-time", 2048, "ml.m5.large") == pytest.approx(0.115 / 3600)
    assert inference_second("real-time", 2048, "ml.t2.medium") == pytest.approx(0.056 / 3600), "which no job runs on"
    assert inference_second("async", 2048, "ml.m5.xlarge") == pytest.approx(0.23 / 3600)
    assert inference_second("provisioned", 3072, "ml.m5.large") == pytest.approx(3 * 0.00002)


@pytest.fixture
def write(cloud, load_handler, context, monkeypatch):
    monkeypatch.setattr(receipts, "read_timings", lambda arn: timings_of([entered("Preprocess", 0)]))
    monkeypatch.setattr(receipts, "training_seconds", lambda name: 180)
    event = json.loads((ROOT / "events/write_receipt.json").read_text())
    return lambda **changed: load_handler("write_receipt")(event | changed, context)


def test_write_receipt_says_what_went_in_and_how_it_ended(write):
    write()
    event = json.loads((ROOT / "events/write_receipt.json").read_text())
    receipt = msgspec.json.decode(store.get_bytes(BUCKET, "runs/example/receipt.json"), type=Receipt)
    assert (receipt.status, receipt.sha256) == ("SUCCEEDED", event["sha256"])
    assert (receipt.counts, receipt.threshold.value) == (event["counts"], event["threshold"]["value"])
    assert receipt.model["endpoint"] == event["endpoint_name"]
    assert receipt.estimated_cost.training == pytest.approx(180 / 3600 * 0.115)


def test_a_second_try_finds_the_receipt_of_the_first(write):
    first = write()
    written = store.get_bytes(BUCKET, "runs/example/receipt.json")
    assert write(counts={"lines_read": 1}) == first
    assert store.get_bytes(BUCKET, "runs/example/receipt.json") == written


@pytest.mark.parametrize("status", ["FAILED", "ABORTED", "TIMED_OUT"])
def test_a_run_that_was_reported_as_failed_gets_no_other_receipt(write, status):
    write()
    failed = json.loads(store.get_bytes(BUCKET, "runs/example/receipt.json")) | {"status": status}
    store.put_json(BUCKET, "runs/example/receipt.json", failed)
    with pytest.raises(RunEndedError, match=f"was reported as {status}"):
        write()
    assert json.loads(store.get_bytes(BUCKET, "runs/example/receipt.json")) == failed
