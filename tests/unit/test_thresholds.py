import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import ValidationError, convert

from suspicious_lines.quality import wilson
from suspicious_lines.thresholds import Goal, Scored, choose, held_out_flags

rows = st.lists(
    st.tuples(st.sampled_from([0.5, 0.9, 1.1, 1.6]), st.integers(0, 5), st.sampled_from([True, False, None])),
    min_size=1,
)


def scored(rows) -> Scored:
    scores = np.array([row[0] for row in rows], dtype=float)
    return Scored(
        score=scores,
        model_score=scores,
        amount=np.array([row[1] for row in rows], dtype=float),
        is_error=np.array([row[2] is True for row in rows]),
        labelled=np.array([row[2] is not None for row in rows]),
        matter=np.array([str(number // 3) for number in range(len(rows))]),
    )


def goal(strategy="error-median", **changes) -> Goal:
    asked = {"strategy": strategy, "budget": "3", "precision_floor": 0.9, "beta": 1.0}
    return convert(asked | changes, Goal)


def simulated(count=4_000, seed=1) -> Scored:
    """Scores of 5 % errors, which lie higher but overlap."""
    rng = np.random.default_rng(seed)
    is_error = rng.random(count) < 0.05
    scores = rng.exponential(size=count) + 6 * is_error
    labelled = np.ones(count, dtype=bool)
    return Scored(scores, scores, rng.random(count), is_error, labelled, (np.arange(count) // 20).astype(str))


@given(rows, st.sampled_from(["3", "1", "50%", "1000", "0.1%"]))
def test_budget_flags_exactly_its_budget_by_score_then_amount(rows, budget):
    lines = scored(rows)
    wanted = goal("budget", budget=budget)
    threshold = choose(lines, wanted)
    assert threshold.flagged.sum() == wanted.lines(len(rows))
    worst = [(row[0], row[1]) for row in rows]
    chosen = sorted((worst[place] for place in np.flatnonzero(threshold.flagged)), reverse=True)
    assert chosen == sorted(worst, reverse=True)[: len(chosen)]
    assert threshold.value == chosen[-1][0]


@pytest.mark.parametrize(
    ("budget", "count", "lines"),
    [
        ("200", 21_193, 200),
        ("1%", 21_193, 212),
        ("1%", 5, 1),
        ("50%", 5, 2),
        ("9", 5, 5),
        ("0.01%", 50, 1),
    ],
)
def test_a_budget_is_lines_or_a_share(budget, count, lines):
    assert goal("budget", budget=budget).lines(count) == lines


@given(rows.filter(lambda rows: any(row[2] for row in rows) and len({row[0] for row in rows}) > 1))
def test_error_median_flags_at_least_half_of_the_errors(rows):
    lines = scored(rows)
    threshold = choose(lines, goal())
    assert (threshold.flagged & lines.is_error).sum() * 2 >= lines.is_error.sum()
    assert (threshold.flagged == (lines.score >= threshold.value)).all()


@pytest.mark.parametrize("strategy", ["error-median", "precision", "f-beta", "sigma"])
@pytest.mark.parametrize(
    ("lines", "note"),
    [
        (scored([(0.5, 1, True), (0.5, 2, False), (0.5, 3, False), (0.5, 4, True)]), "all lines score the same"),
        (scored([(0.5, 1, None)]), "all lines score the same"),
    ],
)
def test_equal_scores_leave_the_budget(strategy, lines, note):
    threshold = choose(lines, goal(strategy))
    assert (threshold.strategy, threshold.note) == ("budget", note)
    assert threshold.flagged.sum() == min(3, len(lines.score))


@pytest.mark.parametrize("strategy", ["error-median", "precision", "f-beta"])
@pytest.mark.parametrize("label", [False, None])
def test_without_known_errors_the_budget_decides(strategy, label):
    lines = scored([(score, 1, label) for score in (0.5, 0.9, 1.1, 1.6, 1.7)])
    threshold = choose(lines, goal(strategy))
    assert (threshold.strategy, threshold.note) == ("budget", "no line is known to be an error")


@pytest.mark.parametrize("strategy", ["error-median", "precision", "f-beta"])
def test_where_every_line_is_an_error_the_strategies_still_answer(strategy):
    lines = scored([(0.5 + number / 100, 1, True) for number in range(60)])
    threshold = choose(lines, goal(strategy))
    assert threshold.flagged.sum() == {"error-median": 30, "precision": 60, "f-beta": 60}[strategy]


def test_precision_holds_its_floor_on_lines_it_was_not_chosen_on():
    lines = simulated()
    flagged = held_out_flags(lines, goal("precision", precision_floor=0.8))
    hits, all_ = (flagged & lines.is_error).sum(), flagged.sum()
    assert wilson(hits, all_)[1] >= 0.8
    assert hits > 50


def test_precision_out_of_reach_says_so():
    rng = np.random.default_rng(1)
    lines = scored(
        [(score, 1, bool(error)) for score, error in zip(rng.random(200), rng.random(200) < 0.1, strict=True)]
    )
    threshold = choose(lines, goal("precision"))
    assert (threshold.strategy, threshold.note) == ("budget", "no threshold reaches a precision of 0.9 for sure")


def test_f_beta_is_the_best_there_is():
    lines = simulated()
    for beta in (0.5, 1.0, 2.0):
        threshold = choose(lines, goal("f-beta", beta=beta))

        def f(flagged, beta=beta):
            hits = (flagged & lines.is_error).sum()
            return (1 + beta**2) * hits / (beta**2 * lines.is_error.sum() + flagged.sum())

        best = max(f(lines.score >= cut) for cut in lines.score)
        assert f(threshold.flagged) == pytest.approx(best)


def test_sigma_needs_no_labels():
    lines = simulated()
    threshold = choose(lines, goal("sigma"))
    assert threshold.value > lines.score.mean() + 3 * lines.score.std()
    flat = scored([(1.0 + number / 1000, 1, None) for number in range(100)])
    assert choose(flat, goal("sigma")).flagged.sum() == 0


@pytest.mark.parametrize(("strategy", "recall"), [("error-median", 0.5), ("budget", None), ("sigma", None)])
def test_held_out_flags_are_close_to_what_the_strategy_promises(strategy, recall):
    lines = simulated(10_000)
    flagged = held_out_flags(lines, goal(strategy, budget="2%"))
    if recall:
        low, high = wilson((flagged & lines.is_error).sum(), lines.is_error.sum())
        assert low <= recall <= high
    else:
        assert abs(flagged.sum() - choose(lines, goal(strategy, budget="2%")).flagged.sum()) <= 10


def test_no_matter_is_split_between_folds():
    # One matter holds all the errors: its own fold is judged by a threshold that has seen none of them.
    lines = simulated(1_000)
    alone = Scored(lines.score, lines.model_score, lines.amount, lines.matter == "3", lines.labelled, lines.matter)
    flagged = held_out_flags(alone, goal(budget="10%"))
    inside = alone.matter == "3"
    assert flagged[inside].sum() <= 5


@pytest.mark.parametrize("budget", ["0", "0%", "0.0%", "-1", "", "1 %", "%"])
def test_a_budget_of_nothing_is_no_budget(budget):
    with pytest.raises(ValidationError):
        goal(budget=budget)
