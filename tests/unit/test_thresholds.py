import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from suspicious_lines.thresholds import budget, error_median

scored = st.lists(st.tuples(st.sampled_from([0.5, 0.9, 1.1, 1.6]), st.integers(0, 5), st.booleans()), min_size=1)


@given(scored.filter(lambda rows: any(is_error for *_, is_error in rows)))
def test_error_median_flags_at_least_half_of_the_errors(rows):
    scores, is_error = np.array([r[0] for r in rows]), np.array([r[2] for r in rows])
    threshold = error_median(scores, is_error)
    assert (threshold.flagged & is_error).sum() * 2 >= is_error.sum()
    assert (threshold.flagged == (scores >= threshold.value)).all()


@given(scored, st.integers(1, 50))
def test_budget_flags_exactly_its_budget_and_never_a_lower_score_first(rows, lines):
    scores, amounts = np.array([r[0] for r in rows]), np.array([float(r[1]) for r in rows])
    threshold = budget(scores, amounts, lines)
    assert threshold.flagged.sum() == min(lines, len(rows))
    worst = list(zip(scores, amounts, strict=True))
    chosen = sorted((worst[i] for i in np.flatnonzero(threshold.flagged)), reverse=True)
    assert chosen == sorted(worst, reverse=True)[: len(chosen)]
    assert threshold.value == chosen[-1][0]
