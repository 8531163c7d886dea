"""What verdicts say of the live model: how often it was right, and where its threshold should be.

`judged` is a frame of labels as `judged.read_labels` gives them: the line's columns, `score`, `is_error`, `judged_at`.

Reviewers judge what is listed, so verdicts tell how often a flagged line is an error (precision) and nothing of the
errors that were not flagged (recall). docs/decisions/0009-learning-from-verdicts.md says what follows from that.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import numpy as np
from msgspec import Meta

from suspicious_lines.documents import Count, Document, Share
from suspicious_lines.model_messages import LiveModel
from suspicious_lines.quality import wilson
from suspicious_lines.review_messages import VerdictCounts
from suspicious_lines.suppressing import Suppression

if TYPE_CHECKING:
    import pandas as pd

# A score is -ln(share of lines at least so suspicious): a step of 0.25 flags at most e^0.25 = 1.28 times as many
# lines, or as few; all steps together at most e = 2.72 times those of the threshold that training chose.
MOST_STEP = 0.25
MOST_IN_ALL = 1.0
GROUPS = {"by_field": "field", "by_firm": "firm_name", "by_matter_type": "matter_type"}


class Precision(Document):
    """Of `judged` flagged lines `queried` were errors; with the 95 % interval of the share (Wilson)."""

    queried: Count
    judged: Count
    precision: Annotated[Share | None, Meta(description="null where no line was judged")]
    interval: tuple[float, float]

    @classmethod
    def of(cls, is_error: np.ndarray) -> "Precision":
        queried, judged = int(is_error.sum()), len(is_error)
        share = queried / judged if judged else None
        return cls(queried=queried, judged=judged, precision=share, interval=wilson(queried, judged))


class Recalibration(Document):
    """A move of the live threshold."""

    model_run: str
    before: float
    after: float
    reason: str


class Lesson(Document, forbid_unknown_fields=True):
    """What verdicts say of a live model; null where none is live."""

    model_run: str | None
    threshold: Annotated[float | None, Meta(description="the live one, after what was changed")]
    precision: Precision | None
    by_field: Annotated[
        dict[str, Precision], Meta(description="by what the line was flagged for, most judged lines first")
    ]
    by_firm: dict[str, Precision]
    by_matter_type: dict[str, Precision]
    recalibration: Recalibration | None


class Review(Lesson):
    """The document review.json; of the live model of no family, and in `families` of each family's."""

    counts: Annotated[VerdictCounts, Meta(description="of this upload")]
    judged: Annotated[dict[str, int], Meta(description="lines of all runs by their latest verdict, unsure left out")]
    families: dict[str, Lesson] = {}
    proposals: list[Suppression]


def flagged_by(judged: "pd.DataFrame", live: LiveModel) -> "pd.DataFrame":
    """The judged lines that the live model flagged and would flag by its present threshold.

    Suppressed ones are among them: that an operator hides a pattern makes the model no better.
    """
    flagged = judged["suspicious"].to_numpy(bool) | judged["suppressed_by"].notna().to_numpy(bool)
    own = (judged["model_run"] == live.run).to_numpy(bool)
    return judged[own & flagged & (judged["score"] >= live.threshold).to_numpy(bool)]


def by_group(judged: "pd.DataFrame", column: str) -> dict[str, Precision]:
    """The precision by the values of a column, most judged lines first."""
    groups = {
        str(name): Precision.of(lines["is_error"].to_numpy(bool))
        for name, lines in judged.groupby(column, observed=True, sort=True)
    }
    return dict(sorted(groups.items(), key=lambda group: -group[1].judged))


def since_last_change(judged: "pd.DataFrame", live: LiveModel) -> "pd.DataFrame":
    """The lines judged after the live model was last promoted, rolled back or recalibrated.

    Only they tell of the present threshold without bias: it was chosen by looking at those before.
    """
    changed = datetime.fromisoformat(live.history[0].at if live.history else live.promoted_at)
    after = [datetime.fromisoformat(at) > changed for at in judged["judged_at"]]
    return judged[np.array(after, dtype=bool)]


def better_threshold(
    scores: np.ndarray, is_error: np.ndarray, current: float, trained: float, floor: float, fewest: int
) -> float:
    """Where the threshold should be, given judged lines that it flagged: `scores` and `is_error`, shape [n] each.

    It stays where it is with fewer than `fewest` lines, or while the interval of their precision holds `floor`. With
    the interval below the floor it rises to the lowest score from which on the precision reaches the floor, or as far
    as it may where none does. With the interval above the floor it falls: by a whole step, for no verdict tells of
    lines below it. It moves at most MOST_STEP, and never further than MOST_IN_ALL from the threshold that training
    chose. Turning verdicts from query to fine never makes it lower.
    """
    if not fewest or len(scores) < fewest:
        return current
    low, high = wilson(int(is_error.sum()), len(is_error))
    if low > floor:
        return min(current, max(current - MOST_STEP, trained - MOST_IN_ALL))
    if high >= floor:
        return current
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    reached = np.flatnonzero(np.cumsum(is_error[order])[ends] >= floor * (ends + 1))
    wanted = scores[order][ends[reached[-1]]] if len(reached) else np.inf
    return float(max(current, min(wanted, current + MOST_STEP, trained + MOST_IN_ALL)))
