"""Which scored lines are suspicious."""

from dataclasses import dataclass

import numpy as np

ERROR_MEDIAN = "error-median"
BUDGET = "budget"


@dataclass(frozen=True)
class Threshold:
    """`value`: the lowest score that is flagged; `flagged`: a mask over the lines."""

    value: float
    strategy: str
    flagged: np.ndarray


def error_median(scores: np.ndarray, is_error: np.ndarray) -> Threshold:
    """Flags what scores at least the median score of the known errors (Machine Learning for Business, chapter 5).

    `is_error`: a mask with at least one True. The median is taken on the lines it is reported on, as in the book.
    """
    value = float(np.median(scores[is_error]))
    return Threshold(value, ERROR_MEDIAN, scores >= value)


def budget(scores: np.ndarray, amounts: np.ndarray, lines: int) -> Threshold:
    """Flags exactly the `lines` highest scores (all, where there are fewer); of equal scores the larger amounts."""
    order = np.lexsort((-amounts, -scores))[:lines]
    flagged = np.zeros(len(scores), dtype=bool)
    flagged[order] = True
    return Threshold(float(scores[order[-1]]), BUDGET, flagged)
