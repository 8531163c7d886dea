"""How good scores and flags are where labels exist: metrics.json."""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field


class ThresholdMetrics(BaseModel):
    value: float
    strategy: str


class Confusion(BaseModel):
    tp: int
    fp: int
    fn: int
    tn: int


class Metrics(BaseModel):
    """The document metrics.json; what needs labels is null where no line has one."""

    model_config = ConfigDict(extra="forbid")

    lines_read: int = Field(ge=0)
    lines_rejected: int = Field(ge=0)
    lines_train: int = Field(ge=0)
    lines_validation: int = Field(ge=0)
    labelled: int = Field(ge=0, description="validation lines with a known label")
    unknown_categories: dict[str, int] = Field(description="validation lines with a category unseen in training")
    threshold: ThresholdMetrics
    flagged: int = Field(ge=0)
    matters: int = Field(ge=0, description="matters with a flagged line")
    amount_at_stake: float = Field(ge=0, description="sum of Total over the flagged lines")
    confusion: Confusion | None
    precision: float | None = Field(ge=0, le=1)
    recall: float | None = Field(ge=0, le=1)
    f1: float | None = Field(ge=0, le=1)
    average_precision: float | None = Field(ge=0, le=1)
    roc_auc: float | None = Field(ge=0, le=1)


def confusion(flagged: np.ndarray, is_error: np.ndarray) -> Confusion:
    return Confusion(
        tp=int((flagged & is_error).sum()),
        fp=int((flagged & ~is_error).sum()),
        fn=int((~flagged & is_error).sum()),
        tn=int((~flagged & ~is_error).sum()),
    )


def precision(found: Confusion) -> float | None:
    return found.tp / (found.tp + found.fp) if found.tp + found.fp else None


def recall(found: Confusion) -> float | None:
    return found.tp / (found.tp + found.fn) if found.tp + found.fn else None


def f1(found: Confusion) -> float | None:
    return 2 * found.tp / (2 * found.tp + found.fp + found.fn) if found.tp + found.fp + found.fn else None


def average_precision(scores: np.ndarray, is_error: np.ndarray) -> float | None:
    """Sum over the distinct scores, from the highest, of (gain in recall) * precision; None without an error."""
    errors = int(is_error.sum())
    if not errors:
        return None
    order = np.argsort(-scores, kind="stable")
    # Lines of equal score are flagged together: only the last of each run of equals is a cut.
    cuts = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    hits = np.cumsum(is_error[order])[cuts]
    return float(np.sum(np.diff(hits, prepend=0) / errors * hits / (cuts + 1)))


def roc_auc(scores: np.ndarray, is_error: np.ndarray) -> float | None:
    """The chance that an error scores above another line, ties counting half (Mann-Whitney U); None if undefined."""
    errors, others = int(is_error.sum()), int((~is_error).sum())
    if not errors or not others:
        return None
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[inverse]
    return float((ranks[is_error].sum() - errors * (errors + 1) / 2) / (errors * others))
