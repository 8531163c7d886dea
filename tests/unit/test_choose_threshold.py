import csv
import io
import json

import msgspec
import pyarrow as pa
import pytest

from frames import BUCKET, lines_frame
from suspicious_lines import datasets, results, store
from suspicious_lines.capturing import CAPTURED_COLUMNS
from suspicious_lines.costs import estimate
from suspicious_lines.encoder import Encoder
from suspicious_lines.errors import ModelResponseError, RunEndedError, SettingsError
from suspicious_lines.features import features_csv
from suspicious_lines.planted import plant
from suspicious_lines.quality import Metrics
from suspicious_lines.results import FLAGGED_COLUMNS
from suspicious_lines.rules import Rules

UPLOAD = {"bucket": BUCKET, "key": "incoming/x.csv", "etag": "e", "size": 1}
FAILED = {
    "run": "new",
    "execution_arn": "arn",
    "status": "FAILED",
    "input": UPLOAD,
    "timings": {"started_at": "2026-11-24T23:59:59Z", "seconds": 1, "states": {}, "transitions": 1},
    "estimated_cost": msgspec.to_builtins(estimate({}, 0, 0, "ml.m5.large", 0.00004, 0.0, "ml.m5.xlarge")),
}
ACCEPTED = {
    "name": "known",
    "firm_name": "Specimen LLP",
    "resource": "Junior",
    "activity": "Attend Court",
    "field": "minutes",
    "at_stake_up_to": 1e6,
}


def accept(**change) -> None:
    document = json.dumps({"suppressions": [ACCEPTED | change]})
    store.put(BUCKET, "config/suppressions.json", document, "application/json")


def forest(body: bytes) -> bytes:
    """Stands in for the endpoint: a line's score is the sum of its features."""
    rows = [line.split(b",") for line in body.splitlines()]
    return json.dumps({"scores": [{"score": sum(map(abs, map(float, row)))} for row in rows]}).encode()


@pytest.fixture
def choose(cloud, load_handler, context, monkeypatch):
    """Writes what the states before have written, chooses the threshold, and returns (answer, metrics, listed)."""
    monkeypatch.setattr(results, "sender", lambda *asked: forest)

    def run(frame, score=forest, judged=None, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        encoder = Encoder.fit(frame)
        store.put(BUCKET, "runs/run/encoder.json", encoder.to_json(), "application/json")
        half = len(frame) // 2
        parts = {
            "validation/part-00000": frame.iloc[:half],
            "validation/part-00001": frame.iloc[half:],
            "planted/part-00000": plant(frame, seed=1),
        }
        if judged is not None:
            parts["judged/part-00000"] = judged
        for part, lines in parts.items():
            table = pa.Table.from_pandas(lines, preserve_index=False)
            datasets.write_part(table, BUCKET, f"runs/run/lines/{part}.parquet")
            found = [entry["score"] for entry in json.loads(score(features_csv(encoder, lines)))["scores"]]
            scores = pa.table({"line": lines["line"].to_numpy(), "score": found})
            datasets.write_part(scores, BUCKET, f"runs/run/scores/{part}.parquet")
        counts = {"lines_read": len(frame), "lines_rejected": 0, "lines_train": 0, "lines_validation": len(frame)}
        dataset = counts | {"feature_dim": 1, "parts": list(parts), "sha256": "0" * 64}
        event = {"run": "run", "upload": UPLOAD, "dataset": dataset, "endpoint_name": "endpoint"}
        event["started_at"] = "2026-11-24T23:59:59.5Z"
        answer = load_handler("choose_threshold")(event, context)
        metrics = msgspec.json.decode(store.get_bytes(BUCKET, "runs/run/results/metrics.json"), type=Metrics)
        listed = store.get_bytes(BUCKET, "runs/run/results/suspicious_lines.csv").decode()
        return answer, metrics, list(csv.DictReader(io.StringIO(listed)))

    return run


def test_labels_choose_the_median_score_of_the_known_errors(choose):
    answer, metrics, listed = choose(lines_frame(400))
    assert (metrics.threshold.strategy, metrics.threshold.note) == ("error-median", None)
    assert metrics.labelled == 400
    assert metrics.recall >= 0.5
    assert metrics.precision == 1
    assert metrics.confusion.tp + metrics.confusion.fp == metrics.flagged == len(listed) == answer["flagged"]
    low, high = metrics.held_out.recall_interval
    assert low <= 0.5 <= high
    assert metrics.amount_at_stake == pytest.approx(sum(float(row["Amount At Stake"]) for row in listed))
    assert sum(found.lines for found in metrics.found_by.values()) == metrics.flagged
    given = [float(row["Score"]) for row in listed]
    assert given == sorted(given, reverse=True)
    assert all(score >= float(row["Threshold"]) - 1e-4 for score, row in zip(given, listed, strict=True))


def test_the_list_says_why_in_stable_columns(choose):
    _, _, listed = choose(lines_frame(400))
    assert list(listed[0]) == list(FLAGGED_COLUMNS.values())
    assert list(listed[0])[:10] == [
        "Line", "Matter Number", "Firm Name", "Matter Type", "Resource", "Activity", "Minutes", "Fee", "Total", "Error",
    ]  # fmt: skip
    for row in listed:
        assert row["Field"] == "minutes"
        assert f"{float(row['Minutes']):g} minutes; usual for {row['Resource']}" in row["Reason"]
        assert float(row["Expected Low"]) < float(row["Expected High"]) < float(row["Minutes"])
        assert 0 < float(row["Amount At Stake"]) < float(row["Total"])


@pytest.mark.parametrize("labels", ["none", "no error among them"])
def test_without_known_errors_the_review_budget_decides(choose, labels):
    frame = lines_frame(400, labelled=False)
    if labels != "none":
        frame["error"] = frame["error"].fillna(False)
    _, metrics, listed = choose(frame, REVIEW_BUDGET="7")
    assert (metrics.threshold.strategy, metrics.flagged, len(listed)) == ("budget", 7, 7)
    assert metrics.threshold.note == "no line is known to be an error"
    assert (metrics.average_precision, metrics.roc_auc) == (None, None)
    assert (metrics.confusion is None) == (metrics.held_out is None) == (labels == "none")


def test_equal_scores_leave_the_lines_with_the_most_money(choose):
    frame = lines_frame(400, labelled=False)

    def constant(body):
        return json.dumps({"scores": [{"score": 1.0} for _ in body.splitlines()]}).encode()

    store.put(BUCKET, "config/rules.json", all_rules(enabled=False), "application/json")
    _, metrics, listed = choose(frame, constant, REVIEW_BUDGET="7", THRESHOLD_STRATEGY="sigma")
    assert metrics.threshold.note == "all lines score the same"
    assert sorted(float(row["Total"]) for row in listed) == sorted(frame["total"])[-7:]


def all_rules(**change) -> str:
    document = json.loads(msgspec.json.encode(Rules.default()))
    return json.dumps({name: rule | change for name, rule in document.items()})


def test_rules_find_what_the_model_does_not_and_can_be_switched_off(choose):
    frame = lines_frame(400, labelled=False)
    frame.loc[5, "repeats"] = 3
    _, metrics, listed = choose(frame, REVIEW_BUDGET="2")
    assert metrics.rules["duplicate"].lines == 1
    (row,) = (row for row in listed if row["Line"] == "7")
    assert (row["Found By"], row["Field"], row["Rules"]) == ("rule", "duplicate", "duplicate")
    assert row["Reason"] == "Billed before: the same as line 3"
    assert row["Amount At Stake"] == row["Total"]
    store.put(BUCKET, "config/rules.json", all_rules(enabled=False), "application/json")
    _, metrics, listed = choose(frame, REVIEW_BUDGET="2")
    assert metrics.rules == {}
    assert {row["Found By"] for row in listed} == {"model"}


def test_a_wrong_configuration_of_the_rules_is_the_operators_to_mend(choose):
    store.put(BUCKET, "config/rules.json", "{}", "application/json")
    with pytest.raises(SettingsError, match=r"config/rules\.json"):
        choose(lines_frame(40))


def test_planted_errors_are_counted_and_never_listed(choose):
    frame = lines_frame(400)
    _, metrics, listed = choose(frame)
    assert set(metrics.self_test) == {"minutes", "fee", "total", "duplicate"}
    assert all(0 <= kind.caught <= kind.planted == 50 for kind in metrics.self_test.values())
    assert metrics.self_test["minutes"].caught > 0
    totals = dict(zip(frame["line"].astype(str), frame["total"], strict=True))
    assert all(float(row["Total"]) == totals[row["Line"]] for row in listed)


def test_results_neutralise_formulas_and_escape_markup(choose):
    frame = lines_frame(40)
    frame["firm_name"] = "=cmd|'/c calc'!A1<script>alert(1)</script>"
    frame["firm_name"] = frame["firm_name"].astype("category")
    _, _, listed = choose(frame, SPREADSHEET_BOM="true")
    assert listed
    assert all(row["Firm Name"].startswith("'=cmd") for row in listed)
    assert store.get_bytes(BUCKET, "runs/run/results/suspicious_lines.csv").startswith(b"\xef\xbb\xbf")
    assert "<script>alert" not in store.get_bytes(BUCKET, "runs/run/results/report.html").decode()


def test_scores_of_other_lines_are_refused(choose, monkeypatch):
    frame = lines_frame(40)
    write = datasets.write_part

    def shuffled(table, bucket, key):
        write(table.take(list(range(table.num_rows))[::-1]) if "/scores/" in key else table, bucket, key)

    monkeypatch.setattr(datasets, "write_part", shuffled)
    with pytest.raises(ModelResponseError, match="not those of the lines"):
        choose(frame)


def test_the_one_validation_line_of_a_five_line_file_has_an_answer(choose):
    _, metrics, listed = choose(lines_frame(1))
    assert (metrics.flagged, len(listed)) == (1, 1)
    assert metrics.threshold.note == "all lines score the same"
    assert metrics.held_out is None


@pytest.fixture
def flag(choose, load_handler, context):
    """The lines that a model was trained on come in again as new ones."""
    past = lines_frame(400)
    _, trained, listed = choose(past)

    def run(threshold):
        encoder = Encoder.fit(past)
        table = pa.Table.from_pandas(past, preserve_index=False)
        datasets.write_part(table, BUCKET, "runs/new/lines/invoices/part-00000.parquet")
        found = [entry["score"] for entry in json.loads(forest(features_csv(encoder, past)))["scores"]]
        scores = pa.table({"line": past["line"].to_numpy(), "score": found})
        datasets.write_part(scores, BUCKET, "runs/new/scores/invoices/part-00000.parquet")
        counts = {"lines_read": 400, "lines_rejected": 0, "lines_train": 0, "lines_validation": 400}
        event = {
            "run": "new",
            "upload": UPLOAD,
            "dataset": counts | {"feature_dim": 1, "parts": ["invoices/part-00000"], "sha256": "0" * 64},
            "model": {"run": "run", "endpoint_name": "endpoint", "max_concurrency": 5, "threshold": threshold},
            "started_at": "2026-11-24T23:59:59.5Z",
        }
        answer = load_handler("flag_lines")(event, context)
        again = store.get_bytes(BUCKET, "runs/new/results/suspicious_lines.csv").decode()
        metrics = msgspec.json.decode(store.get_bytes(BUCKET, "runs/new/results/metrics.json"), type=Metrics)
        return answer, metrics, list(csv.DictReader(io.StringIO(again)))

    return run, trained, listed


def test_flag_lines_judges_new_lines_as_the_model_judged_its_own(flag):
    run, trained, listed = flag
    answer, metrics, again = run(trained.threshold.value)
    assert answer["threshold"] == msgspec.to_builtins(trained.threshold)
    assert again == listed
    assert (metrics.held_out, metrics.self_test, metrics.threshold) == (None, {}, trained.threshold)


def test_lines_of_a_run_that_was_reported_as_failed_do_not_stay_captured(flag):
    run, trained, _ = flag
    run(trained.threshold.value)
    captured = store.keys(BUCKET, "scored/")
    assert len(captured) == 1
    store.put_json(BUCKET, "runs/new/receipt.json", FAILED)
    with pytest.raises(RunEndedError):
        run(trained.threshold.value)
    assert store.keys(BUCKET, "scored/") == []


def test_a_threshold_that_verdicts_moved_flags_less_and_says_so(flag):
    run, trained, listed = flag
    higher = trained.threshold.value + 0.2
    _, metrics, again = run(higher)
    assert [row["Line"] for row in again] == [row["Line"] for row in listed if float(row["Score"]) >= higher]
    assert metrics.threshold.note == f"verdicts moved it from {trained.threshold.value:.2f}"


def test_every_line_is_captured_with_what_the_model_said_of_it(flag):
    run, trained, _ = flag
    _, _, again = run(trained.threshold.value)
    captured = datasets.read_dataset(BUCKET, ["scored/dt=2026-11-24/new.parquet"])
    assert list(captured.columns) == list(CAPTURED_COLUMNS)
    assert len(captured) == 400
    assert captured["inference_id"].is_unique
    flagged = captured[captured["suspicious"]]
    assert set(flagged["line"]) == {int(row["Line"]) for row in again}
    assert {row["Line"]: (row["Reason"], row["Rules"]) for row in again} == {
        str(line.line): (line.reason, line.rules) for line in flagged.itertuples()
    }
    assert captured.loc[~captured["suspicious"], ["field", "reason", "found_by", "at_stake"]].isna().all(axis=None)


def test_suppressed_lines_are_counted_and_kept_but_not_listed(flag):
    run, trained, listed = flag
    accept()
    _, metrics, again = run(trained.threshold.value)
    hidden = [row for row in listed if (row["Resource"], row["Activity"]) == ("Junior", "Attend Court")]
    assert hidden
    assert [row["Line"] for row in again] == [row["Line"] for row in listed if row not in hidden]
    assert metrics.suppressed == {"known": len(hidden)}
    assert metrics.flagged == len(again) == sum(found.lines for found in metrics.found_by.values())
    assert metrics.confusion.tp + metrics.confusion.fp == len(listed)  # the threshold's flags, listed or not
    for key in ("scored/dt=2026-11-24/new.parquet", "runs/new/results/scored_lines.parquet"):
        kept = datasets.read_dataset(BUCKET, [key])
        named = kept[kept["suppressed_by"].notna()]
        assert set(named["line"]) == {int(row["Line"]) for row in hidden}
        assert set(named["suppressed_by"]) == {"known"}
        assert not named["suspicious"].any()
        assert kept.loc[kept["suspicious"], "suppressed_by"].isna().all()
    captured = datasets.read_dataset(BUCKET, ["scored/dt=2026-11-24/new.parquet"])
    assert captured.loc[captured["suppressed_by"].notna(), ["field", "reason", "at_stake"]].notna().all(axis=None)


@pytest.mark.parametrize(
    "change",
    [{"at_stake_up_to": 0.5}, {"until": "2026-11-01"}, {"matter_type": "Securities"}, {"field": "fee"}],
)
def test_a_suppression_hides_nothing_above_its_cap_after_its_day_or_off_its_pattern(flag, change):
    run, trained, listed = flag
    accept(**change)
    _, metrics, again = run(trained.threshold.value)
    assert (again, metrics.suppressed) == (listed, {})


def test_suppressions_hold_in_training_too_and_a_wrong_file_is_told(choose):
    _, before, _ = choose(lines_frame(400))
    accept()
    _, after, listed = choose(lines_frame(400))
    assert after.threshold == before.threshold
    assert after.flagged == len(listed) == before.flagged - after.suppressed["known"]
    store.put(BUCKET, "config/suppressions.json", json.dumps({"suppressions": [ACCEPTED, ACCEPTED]}), "text/json")
    with pytest.raises(SettingsError, match=r"config/suppressions\.json is wrong.*same name"):
        choose(lines_frame(40))


def test_judged_lines_are_labels_for_the_strategies_that_need_them_and_nothing_else(choose):
    frame = lines_frame(400, labelled=False)
    judged = lines_frame(400, seed=5)
    judged = judged[judged["error"].to_numpy(bool)]
    _, plain, _ = choose(frame)
    assert plain.threshold.strategy == "budget"
    _, metrics, _ = choose(frame, judged=judged)
    assert (metrics.threshold.strategy, metrics.threshold.note) == ("error-median", None)
    assert (metrics.labelled, metrics.held_out, metrics.confusion) == (0, None, None)
    assert metrics.lines_validation == 400
    for strategy in ("budget", "sigma"):
        _, without, listed = choose(frame, THRESHOLD_STRATEGY=strategy)
        _, given, again = choose(frame, judged=judged, THRESHOLD_STRATEGY=strategy)
        assert (given.threshold, again) == (without.threshold, listed)
