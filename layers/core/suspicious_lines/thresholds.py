"""Which lines are flagged: five strategies to choose the threshold, all tried on labels they were not chosen on."""

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from msgspec import Meta

from suspicious_lines.documents import Document
from suspicious_lines.messages import BUDGET_PATTERN, Strategy
from suspicious_lines.quality import wilson

NEEDS_LABELS = {"error-median", "precision", "f-beta"}
FOLDS = 5
# 99 %, one-sided: every cut is tried and the luckiest is taken, so that 95 % at each would promise too much.
ONE_SIDED_99 = 2.326


class Goal(Document):
    """What is asked for. `budget`: lines, or a share of them with a per cent sign."""

    strategy: Strategy
    budget: Annotated[str, Meta(pattern=BUDGET_PATTERN)]
    precision_floor: Annotated[float, Meta(gt=0, lt=1)]
    beta: Annotated[float, Meta(gt=0)]

    def lines(self, count: int) -> int:
        """The budget in lines of a file with `count` lines to choose from, at least one."""
        number = float(self.budget.rstrip("%"))
        wanted = number / 100 * count if self.budget.endswith("%") else number
        return min(max(round(wanted), 1), count)


@dataclass(frozen=True)
class Threshold:
    """`value`: the lowest score that is flagged; `flagged`: a mask over the lines; `note`: why the strategy is not the
    one that was asked for."""

    value: float
    strategy: Strategy
    flagged: np.ndarray
    note: str | None = field(default=None)


@dataclass(frozen=True)
class Scored:
    """The lines to choose from, arrays of shape [n]: `score`; `model_score`, the forest's own; `amount`, which breaks
    ties; `is_error` and `labelled`, masks; `matter`, which keeps the lines of an invoice in one fold."""

    score: np.ndarray
    model_score: np.ndarray
    amount: np.ndarray
    is_error: np.ndarray
    labelled: np.ndarray
    matter: np.ndarray

    def part(self, mask: np.ndarray) -> "Scored":
        return Scored(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))

    def joined(self, other: "Scored") -> "Scored":
        fields = self.__dataclass_fields__
        return Scored(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in fields))


def choose(lines: Scored, goal: Goal, further: Scored | None = None) -> Threshold:
    """The threshold of the goal's strategy; the budget where the lines cannot carry that strategy, with a note.

    `further`: labelled lines that only the strategies that choose by labels look at.
    """
    known = lines.joined(further) if further and goal.strategy in NEEDS_LABELS else lines
    if goal.strategy != "budget" and np.ptp(lines.score) == 0:
        return _budget(lines, goal, "all lines score the same")
    if goal.strategy in NEEDS_LABELS and not known.is_error.any():
        return _budget(lines, goal, "no line is known to be an error")
    if goal.strategy == "budget":
        return _budget(lines, goal, None)
    value = _value(known, goal)
    if value is None:
        return _budget(lines, goal, f"no threshold reaches a precision of {goal.precision_floor:g} for sure")
    return Threshold(value, goal.strategy, lines.score >= value)


def held_out_flags(lines: Scored, goal: Goal) -> np.ndarray:
    """The flags of a cross-fit: each fold of matters is flagged by a threshold chosen on the other folds only."""
    matters = np.unique(lines.matter, return_inverse=True)[1]
    fold = np.random.default_rng(0).permutation(matters.max() + 1)[matters] % FOLDS
    flagged = np.zeros(len(lines.score), dtype=bool)
    for number in range(FOLDS):
        inside = fold == number
        if inside.any() and not inside.all():
            chosen = choose(lines.part(~inside), goal)
            if chosen.strategy == "budget":
                # A budget is a share of the lines at hand, not a score.
                share = chosen.flagged.mean()
                flagged[inside] = top(lines.part(inside), max(round(share * inside.sum()), 1))
            else:
                flagged[inside] = lines.score[inside] >= chosen.value
    return flagged


def _budget(lines: Scored, goal: Goal, note: str | None) -> Threshold:
    flagged = top(lines, goal.lines(len(lines.score)))
    return Threshold(float(lines.score[flagged].min()), "budget", flagged, note)


def top(lines: Scored, count: int) -> np.ndarray:
    """Exactly the `count` highest scores; of equal scores the larger amounts, then the earlier lines."""
    flagged = np.zeros(len(lines.score), dtype=bool)
    flagged[np.lexsort((-lines.amount, -lines.score))[:count]] = True
    return flagged


def _value(lines: Scored, goal: Goal) -> float | None:
    if goal.strategy == "error-median":
        # Machine Learning for Business, chapter 5: half of the known errors lie above it.
        return float(np.median(lines.score[lines.is_error]))
    if goal.strategy == "sigma":
        # AWS's sample for Random Cut Forest: scores beyond mean + 3 standard deviations.
        beyond = lines.model_score > lines.model_score.mean() + 3 * lines.model_score.std()
        return float(lines.score[beyond].min()) if beyond.any() else float(np.nextafter(lines.score.max(), np.inf))
    cuts, flagged, hits = _cuts(lines.part(lines.labelled))
    errors = lines.is_error.sum()
    if goal.strategy == "f-beta":
        weight = goal.beta**2
        return float(cuts[np.argmax((1 + weight) * hits / (weight * errors + flagged))])
    sure = np.array([wilson(hit, all_, ONE_SIDED_99)[0] for hit, all_ in zip(hits, flagged, strict=True)])
    reached = np.flatnonzero(sure >= goal.precision_floor)
    return float(cuts[reached[-1]]) if len(reached) else None


def _cuts(lines: Scored) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every distinct score from the highest, with the lines and the errors at or above it."""
    order = np.argsort(-lines.score, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(lines.score[order]) != 0, True))
    return lines.score[order][ends], ends + 1, np.cumsum(lines.is_error[order])[ends]
