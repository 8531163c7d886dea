from datetime import UTC, date, datetime, timedelta

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frames import BUCKET
from suspicious_lines import store
from suspicious_lines.errors import AwsUnavailableError
from suspicious_lines.judged import JUDGED_COLUMNS, ground_truth, labels, latest
from suspicious_lines.learning import MOST_IN_ALL, MOST_STEP, Precision, better_threshold, by_group, flagged_by
from suspicious_lines.model_messages import LiveModel, ModelChange
from suspicious_lines.promotion import live_model
from suspicious_lines.recalibration import recalibrate
from suspicious_lines.suppressing import MOST_QUERIED, Suppression, Suppressions, propose

DAY = date(2026, 11, 24)
PROMOTED = datetime(2026, 11, 20, tzinfo=UTC)


def judged(verdicts, scores=None, **columns) -> pd.DataFrame:
    """Lines of the model `model` that it flagged, judged a day after it was promoted."""
    count = len(verdicts)
    defaults = {
        "review_run": "review",
        "judged_at": (PROMOTED + timedelta(days=1)).isoformat(timespec="microseconds"),
        "run": "run",
        "model_run": "model",
        "inference_id": [f"run-{line}" for line in range(count)],
        "line": range(count),
        "firm_name": "Specimen LLP",
        "matter_type": "Antitrust",
        "resource": "Junior",
        "activity": "Phone Call",
        "score": scores if scores is not None else 5.0,
        "suspicious": True,
        "repeats": 0,
        "field": "minutes",
        "at_stake": 10.0,
        "verdict": verdicts,
    }
    frame = pd.DataFrame(defaults | columns).reindex(columns=list(JUDGED_COLUMNS))
    return frame.astype(JUDGED_COLUMNS)


def put_live(threshold=4.0, trained=4.0, history=()):
    store.put_json(BUCKET, "runs/model/results/metrics.json", {"threshold": {"value": trained}})
    live = LiveModel(
        run="model", endpoint_name="e", max_concurrency=5, encoder_key="k", threshold=threshold,
        promoted_at=PROMOTED.isoformat(), history=list(history),
    )  # fmt: skip
    store.put(BUCKET, "models/current.json", msgspec.json.encode(live), "application/json")
    return live


@given(
    st.lists(st.tuples(st.sampled_from(["query", "fine", "unsure"]), st.integers(0, 3), st.integers(0, 2)), min_size=1),
    st.randoms(),
)
def test_the_latest_verdict_counts_whatever_the_order_of_the_files(given_, random):
    verdicts, numbers, days = zip(*given_, strict=True)
    rows = judged(
        verdicts,
        line=numbers,
        review_run=[f"review-{number:03d}" for number in range(len(given_))],
        judged_at=[f"2026-11-2{day}" for day in days],
    )
    found = latest(rows)
    shuffled = latest(rows.sample(frac=1, random_state=random.randint(0, 1000)))
    pd.testing.assert_frame_equal(found, shuffled)
    expected = {}
    for _, (verdict, line, _) in sorted(enumerate(given_), key=lambda entry: (entry[1][2], entry[0])):
        expected[line] = verdict
    assert dict(zip(found["line"], found["verdict"], strict=True)) == expected


def test_a_verdict_given_again_keeps_its_date_and_unsure_is_no_label():
    rows = pd.concat([judged(["query", "unsure"], judged_at=day) for day in ("2026-11-21", "2026-11-23")])
    assert list(latest(rows)["judged_at"]) == ["2026-11-21", "2026-11-21"]
    assert list(labels(latest(rows))["is_error"]) == [True]


def test_ground_truth_is_as_model_monitor_documents_it():
    assert ground_truth(judged(["query", "unsure", "fine"])).splitlines() == [
        '{"groundTruthData": {"data": "1", "encoding": "CSV"}, "eventMetadata": {"eventId": "run-0"}, '
        '"eventVersion": "0"}',
        '{"groundTruthData": {"data": "0", "encoding": "CSV"}, "eventMetadata": {"eventId": "run-2"}, '
        '"eventVersion": "0"}',
    ]


def test_precision_is_of_what_the_live_model_flags_and_suppressed_lines_count(cloud):
    live = put_live(threshold=4.0)
    rows = labels(judged(["query", "fine", "query", "query", "fine"], [5, 5, 3.9, 5, 5]))
    rows.loc[3, "model_run"] = "another"
    rows.loc[4, ["suspicious", "suppressed_by"]] = [False, "known"]
    flagged = flagged_by(rows, live)
    assert list(flagged["line"]) == [0, 1, 4]
    found = Precision.of(flagged["is_error"].to_numpy(bool))
    assert (found.queried, found.judged, round(found.precision, 3)) == (1, 3, 0.333)
    assert by_group(flagged, "firm_name") == {"Specimen LLP": found}
    assert Precision.of(np.array([], dtype=bool)).precision is None


evidence = st.lists(st.tuples(st.floats(4, 9), st.booleans()), min_size=0, max_size=80)


@given(evidence, st.floats(0.05, 0.95), st.integers(0, 30), st.floats(-1, 1))
def test_the_threshold_never_moves_beyond_its_bounds(rows, floor, fewest, moved):
    scores, is_error = (np.array([row[place] for row in rows]) for place in (0, 1))
    current, trained = 4.0, 4.0 - moved
    value = better_threshold(scores, is_error.astype(bool), current, trained, floor, fewest)
    assert abs(value - current) <= MOST_STEP + 1e-9
    assert value == current or abs(value - trained) <= MOST_IN_ALL + 1e-9
    if len(rows) < fewest or fewest == 0:
        assert value == current


@given(evidence.filter(len), st.floats(0.05, 0.95), st.integers(0, 79))
def test_worse_verdicts_never_lower_the_threshold(rows, floor, place):
    scores, is_error = (np.array([row[column] for row in rows]) for column in (0, 1))
    worse = is_error.astype(bool).copy()
    worse[place % len(worse)] = False
    before = better_threshold(scores, is_error.astype(bool), 4.0, 4.0, floor, 1)
    assert better_threshold(scores, worse, 4.0, 4.0, floor, 1) >= before


def test_the_threshold_rises_no_further_than_to_the_cut_that_reaches_the_floor():
    scores = np.array([4.0] * 30 + [4.1] * 60)
    is_error = np.array([False] * 30 + [True] * 60)
    assert better_threshold(scores, is_error, 4.0, 4.0, 0.9, 50) == 4.1
    assert better_threshold(scores, ~is_error, 4.0, 4.0, 0.9, 50) == 4.25
    assert better_threshold(scores, is_error | True, 4.0, 4.0, 0.9, 50) == 3.75
    assert better_threshold(scores, is_error | True, 3.0, 4.0, 0.9, 50) == 3.0
    assert better_threshold(scores, is_error, 4.0, 4.0, 0.67, 50) == 4.0
    assert better_threshold(scores, ~is_error, 4.0, 4.0, 0.9, 0) == 4.0


def test_recalibration_is_noted_in_the_history_once_a_review_run(cloud):
    put_live()
    rows = labels(judged(["fine"] * 60))
    live, moved = recalibrate(BUCKET, "review-1", rows, 0.9, 50)
    assert (moved.before, moved.after, live.threshold) == (4.0, 4.25, 4.25)
    change = live_model(BUCKET).history[0]
    assert (change.what, change.run, change.threshold, change.review_run) == ("recalibrated", "model", 4.25, "review-1")
    assert "0 of 60 judged lines were errors" in change.reason
    again, told = recalibrate(BUCKET, "review-1", rows, 0.9, 50)
    assert (again, told.after, told.reason) == (live, 4.25, moved.reason)
    # What was judged before the change says nothing of the threshold after it.
    assert recalibrate(BUCKET, "review-2", rows, 0.9, 50) == (live, None)


def test_a_retry_tells_where_the_threshold_was_before(cloud):
    changes = [
        ModelChange(at="2026-11-22T00:00:00+00:00", what="recalibrated", run="model", threshold=4.25, reason="why",
                    review_run="review-1"),
        ModelChange(at=PROMOTED.isoformat(), what="promoted", run="model", threshold=4.0, reason="trained"),
    ]  # fmt: skip
    put_live(4.25, history=changes)
    _, told = recalibrate(BUCKET, "review-1", labels(judged(["fine"])), 0.9, 50)
    assert (told.before, told.after) == (4.0, 4.25)


def test_without_a_model_nothing_is_moved_and_lost_races_are_worth_a_retry(cloud, monkeypatch):
    assert recalibrate(BUCKET, "review", labels(judged(["fine"] * 60)), 0.9, 50) == (None, None)
    put_live()
    monkeypatch.setattr(store, "replace", lambda *args: False)
    with pytest.raises(AwsUnavailableError):
        recalibrate(BUCKET, "review", labels(judged(["fine"] * 60)), 0.9, 50)


NONE = Suppressions.default()


def test_twelve_fine_lines_of_a_pattern_are_proposed_with_a_cap_and_eleven_are_not():
    rows = labels(judged(["fine"] * 12, at_stake=[float(n) for n in range(12)]))
    (proposal,) = propose(rows, NONE, DAY)
    assert proposal == Suppression(
        name="Specimen LLP, Antitrust, Junior, Phone Call, minutes",
        firm_name="Specimen LLP", matter_type="Antitrust", resource="Junior", activity="Phone Call", field="minutes",
        at_stake_up_to=11,
    )  # fmt: skip
    assert propose(rows.iloc[:11], NONE, DAY) == []
    assert propose(labels(judged(["fine"] * 12 + ["query"])), NONE, DAY) == []
    assert MOST_QUERIED == 0.25


def test_the_narrowest_pattern_with_enough_verdicts_is_proposed():
    types = ["Antitrust"] * 12 + ["IPO"] * 6 + ["Securities"] * 6
    found = propose(labels(judged(["fine"] * 24, matter_type=types)), NONE, DAY)
    assert [proposal.matter_type for proposal in found] == ["Antitrust", None]
    assert len({proposal.name for proposal in found}) == 2


def test_what_is_accepted_is_not_proposed_again_until_it_expires():
    rows = labels(judged(["fine"] * 12))
    (proposal,) = propose(rows, NONE, DAY)
    assert propose(rows, Suppressions(suppressions=[proposal]), DAY) == []
    expired = Suppressions(suppressions=[msgspec.structs.replace(proposal, until=date(2026, 11, 23))])
    (again,) = propose(rows, expired, DAY)
    assert again.name == f"{proposal.name} (2)"
    larger = labels(judged(["fine"] * 12, at_stake=99.0))
    assert propose(larger, Suppressions(suppressions=[proposal]), DAY)[0].at_stake_up_to == 99
