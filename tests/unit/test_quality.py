import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score

from suspicious_lines import quality

labelled = st.lists(st.tuples(st.sampled_from([0.1, 0.4, 0.4, 0.7, 0.9]), st.booleans()), min_size=2).filter(
    lambda rows: len({is_error for _, is_error in rows}) == 2
)


@given(labelled)
def test_curves_agree_with_scikit_learn(rows):
    scores, is_error = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    assert quality.average_precision(scores, is_error) == pytest.approx(average_precision_score(is_error, scores))
    assert quality.roc_auc(scores, is_error) == pytest.approx(roc_auc_score(is_error, scores))


@given(labelled)
def test_precision_recall_and_f1_agree_with_scikit_learn(rows):
    flagged, is_error = np.array([r[0] > 0.5 for r in rows]), np.array([r[1] for r in rows])
    found = quality.confusion(flagged, is_error)
    precision, recall, f1, _ = precision_recall_fscore_support(is_error, flagged, average="binary", zero_division=0)
    assert quality.recall(found) == pytest.approx(recall)
    assert quality.f1(found) == pytest.approx(f1)
    assert quality.precision(found) == (pytest.approx(precision) if flagged.any() else None)


def test_without_errors_there_is_nothing_to_measure():
    scores, none = np.array([0.1, 0.2]), np.array([False, False])
    assert quality.average_precision(scores, none) is None
    assert quality.roc_auc(scores, none) is None
    assert quality.recall(quality.confusion(none, none)) is None
