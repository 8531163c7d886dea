import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suspicious_lines.comparing import Comparison, Contender, Limits, compare, unopposed
from suspicious_lines.thresholds import Scored

LIMITS = Limits(margin=0.02, agreement=0.5)


def contender(run, scores, errors=None, planted=(1.0,)):
    """A model that gives these scores; `errors`: indices of the known errors, None without labels."""
    score = np.asarray(scores, dtype=float)
    is_error = np.isin(np.arange(len(score)), errors if errors is not None else [])
    lines = Scored(
        score=score,
        model_score=score,
        amount=np.ones(len(score)),
        is_error=is_error,
        labelled=np.full(len(score), errors is not None),
        matter=np.array(["1"] * len(score)),
    )
    return Contender(run, lines, np.asarray(planted, dtype=float))


def test_with_labels_the_average_precision_decides():
    good, bad = [0, 1, 2, 9], [9, 2, 1, 0]
    told = compare(contender("new", good, [3]), contender("live", bad, [3]), 1, LIMITS)
    assert (told.promoted, told.by, told.champion) == (True, "average precision", "live")
    assert (told.challenger_figures.average_precision, told.champion_figures.average_precision) == (1, 0.25)
    told = compare(contender("new", bad, [3]), contender("live", good, [3]), 1, LIMITS)
    assert not told.promoted
    assert told.reason == "average precision 0.250, the live model's is 1.000; it may be worse by 0.02"


@pytest.mark.parametrize(("margin", "promoted"), [(0.5, True), (0.49, False)])
def test_a_little_worse_is_good_enough(margin, promoted):
    new, live = contender("new", [0, 1, 9, 2], [3]), contender("live", [0, 1, 2, 9], [3])  # AP 0.5 and 1
    assert compare(new, live, 1, msgspec.structs.replace(LIMITS, margin=margin)).promoted is promoted


def test_labels_without_an_error_decide_nothing():
    told = compare(contender("new", [1, 2], []), contender("live", [1, 2], []), 1, LIMITS)
    assert (told.by, told.challenger_figures.average_precision) == ("agreement", None)


@pytest.mark.parametrize(
    ("flags", "agreement", "promoted"), [([8, 9], 1, True), ([0, 9], 0.5, True), ([0, 1], 0, False)]
)
def test_without_labels_both_must_flag_much_the_same(flags, agreement, promoted):
    new = contender("new", [10 if line in flags else 0 for line in range(10)], planted=[10])
    told = compare(new, contender("live", range(10), planted=[10]), 2, LIMITS)
    assert (told.by, told.agreement, told.promoted) == ("agreement", agreement, promoted)


def test_without_labels_as_many_planted_errors_must_be_caught():
    planted = [8.5] * 50 + [9.5] * 50  # the last flagged line of either model scores 9
    live = contender("live", range(10), planted=planted)
    for new, promoted in (([9.5] * 48 + [0] * 52, True), ([9.5] * 47 + [0] * 53, False)):
        told = compare(contender("new", range(10), planted=new), live, 1, LIMITS)
        assert (told.champion_figures.caught, told.promoted) == (0.5, promoted)
    assert "47.0% of the planted errors" in told.reason


def test_a_challenger_that_flags_nothing_is_judged_by_one_line():
    told = compare(contender("new", range(5)), contender("live", range(5)), 0, LIMITS)
    assert (told.flagged, told.agreement) == (1, 1)


def test_nobody_to_compare_with_is_reason_enough():
    told = unopposed("new", "gone", "its endpoint is gone", LIMITS)
    assert (told.promoted, told.by, told.champion, told.reason) == (True, "nothing", "gone", "its endpoint is gone")
    assert msgspec.to_builtins(told.decision()) == {
        "promoted": True,
        "champion": "gone",
        "reason": "its endpoint is gone",
    }


@given(st.lists(st.floats(0, 10), min_size=2, max_size=30), st.integers(0, 30), st.booleans())
def test_a_model_is_as_good_as_itself(scores, flagged, labelled):
    errors = [0] if labelled else None
    own = contender("a", scores, errors, planted=scores)
    told = compare(own, own, min(flagged, len(scores)), Limits(margin=0, agreement=1))
    assert told.promoted
    assert msgspec.json.decode(msgspec.json.encode(told), type=Comparison) == told
