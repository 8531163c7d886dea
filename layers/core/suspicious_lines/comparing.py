"""Champion and challenger: whether a new model is as good as the live one, on lines that both have scored.

Where lines are known to be errors, by average precision. Where none is, nobody can say which model is right: the new
one must flag much the same lines as the live one, when both flag as many, and catch as many of the planted errors.
docs/decisions/0008-champion-and-challenger.md says why.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from suspicious_lines.documents import Document
from suspicious_lines.messages import Decision
from suspicious_lines.quality import average_precision
from suspicious_lines.thresholds import Scored, top


@dataclass(frozen=True)
class Contender:
    """What the model of `run` says: `lines`, the run's n validation lines; `planted`, the scores [m] of its planted
    errors."""

    run: str
    lines: Scored
    planted: np.ndarray


class Figures(Document):
    average_precision: Annotated[
        float | None, Meta(description="of the final score; null where no line is known to be an error")
    ]
    caught: Annotated[
        float, Meta(description="share of the planted errors that score at least as high as its last flagged line")
    ]


class Limits(Document):
    margin: Annotated[float, Meta(ge=0, le=1, description="most that a figure of the new model may be worse by")]
    agreement: Annotated[float, Meta(ge=0, le=1, description="least share of the flagged lines that both must flag")]


class Comparison(Document, forbid_unknown_fields=True):
    """The document comparison.json; the figures are null where there was nothing to compare with."""

    challenger: Annotated[str, Meta(description="the run that trained the new model")]
    champion: Annotated[
        str | None, Meta(description="the run that trained the model that was live; null where none was")
    ]
    by: Literal["average precision", "agreement", "nothing"]
    flagged: Annotated[int | None, Meta(description="the lines that each model flags for agreement and caught")] = None
    agreement: Annotated[float | None, Meta(description="share of them that both flag")] = None
    challenger_figures: Figures | None = None
    champion_figures: Figures | None = None
    limits: Limits
    promoted: bool
    reason: str

    def decision(self) -> Decision:
        return Decision(promoted=self.promoted, champion=self.champion, reason=self.reason)


def compare(challenger: Contender, champion: Contender, flagged: int, limits: Limits) -> Comparison:
    """Compares two models on the same lines, each flagging as many as the challenger does: `flagged`, at least one."""
    count = max(flagged, 1)
    tops = [top(contender.lines, count) for contender in (challenger, champion)]
    agreement = float((tops[0] & tops[1]).sum() / count)
    new, live = (figures_of(contender, mask) for contender, mask in zip((challenger, champion), tops, strict=True))
    if new.average_precision is not None and live.average_precision is not None:
        by: Literal["average precision", "agreement"] = "average precision"
        good = new.average_precision >= live.average_precision - limits.margin
        reason = (
            f"average precision {new.average_precision:.3f}, the live model's is {live.average_precision:.3f}; "
            f"it may be worse by {limits.margin:g}"
        )
    else:
        by = "agreement"
        good = agreement >= limits.agreement and new.caught >= live.caught - limits.margin
        reason = (
            f"{agreement:.0%} of the {count:,} lines flagged are the live model's, {limits.agreement:.0%} are asked "
            f"for; {new.caught:.1%} of the planted errors are among them, with the live model {live.caught:.1%}; "
            f"it may be worse by {limits.margin:.1%}"
        )
    return Comparison(
        challenger=challenger.run,
        champion=champion.run,
        by=by,
        flagged=count,
        agreement=agreement,
        challenger_figures=new,
        champion_figures=live,
        limits=limits,
        promoted=good,
        reason=reason,
    )


def unopposed(challenger: str, live_run: str | None, note: str, limits: Limits) -> Comparison:
    """Where there is nothing to compare with, the new model is promoted: `note` says why."""
    return Comparison(challenger=challenger, champion=live_run, by="nothing", limits=limits, promoted=True, reason=note)


def figures_of(contender: Contender, flagged: np.ndarray) -> Figures:
    """`flagged`: a mask over its lines."""
    lines = contender.lines
    last = lines.score[flagged].min()
    return Figures(
        average_precision=average_precision(lines.score[lines.labelled], lines.is_error[lines.labelled]),
        caught=float((contender.planted >= last).mean()),
    )
