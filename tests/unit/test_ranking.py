import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suspicious_lines.ranking import Reference

scores = st.lists(st.floats(0.5, 3), min_size=2, max_size=50)


@given(scores)
def test_without_rules_the_score_keeps_the_forests_order(scores):
    model = np.array(scores)
    score = Reference.of(model, {}, []).score(model, {})
    order = np.argsort(model, kind="stable")
    assert (np.diff(score[order]) >= 0).all()
    assert ((np.diff(model[order]) == 0) == (np.diff(score[order]) == 0)).all()


def test_surprise_is_the_logarithm_of_the_share_at_least_so_suspicious():
    model = np.array([1.0, 2.0, 3.0, 3.0])
    reference = Reference.of(model, {}, [])
    np.testing.assert_allclose(reference.model_surprise(model), [0, np.log(4 / 3), np.log(2), np.log(2)])
    # Beyond the highest score seen: as surprising as one line of all.
    assert reference.model_surprise(np.array([9.0]))[0] == pytest.approx(np.log(4))


def test_a_rule_that_hits_often_weighs_little_and_one_that_does_not_rank_weighs_nothing():
    model = np.linspace(1, 2, 100)
    rare, often, told = (np.arange(100) < count for count in (1, 60, 1))
    hits = {"rare": rare, "often": often, "told": told}
    reference = Reference.of(model, hits, ["rare", "often"])
    surprise = reference.rule_surprise(hits)
    assert surprise[0] == pytest.approx(np.log(100))
    assert surprise[5] == pytest.approx(-np.log(0.6))
    assert surprise[99] == 0
    score = reference.score(model, hits)
    assert score[0] == pytest.approx(np.log(100) + 0.25 * 0)
    assert score[99] == pytest.approx(reference.model_surprise(model)[99])
