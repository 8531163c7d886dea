"""How good scores and flags are where labels exist: metrics.json."""

from typing import Annotated

import numpy as np
from msgspec import Meta

from suspicious_lines.documents import Count, Document, Share
from suspicious_lines.messages import ChosenThreshold


class HeldOut(Document):
    """What the threshold's strategy does on lines whose labels it was not chosen on, with 95 % intervals."""

    precision: float | None
    precision_interval: tuple[float, float]
    recall: float | None
    recall_interval: tuple[float, float]
    f1: float | None


class FoundBy(Document):
    """Lines by who found them, and how many of those are known errors (null where none of them has a label)."""

    lines: int
    errors: int | None


class Caught(Document):
    """The self-test: errors of one kind planted in copies of the file's own lines, and how many would be flagged."""

    planted: int
    caught: int


class Confusion(Document):
    tp: int
    fp: int
    fn: int
    tn: int


class ChallengerShare(Document):
    """What a model on trial judged in place of the live one, by its own threshold; `flagged`: of its lines, listed."""

    run: str
    threshold: float
    invoices: int
    lines: int
    flagged: int


class Metrics(Document, forbid_unknown_fields=True):
    """The document metrics.json; what needs labels is null where no line has one."""

    lines_read: Count
    lines_rejected: Count
    lines_train: Count
    lines_validation: Count
    labelled: Annotated[Count, Meta(description="validation lines with a known label")]
    unknown_categories: Annotated[
        dict[str, int], Meta(description="validation lines with a category unseen in training")
    ]
    threshold: ChosenThreshold
    flagged: Count
    matters: Annotated[Count, Meta(description="matters with a flagged line")]
    amount_at_stake: Annotated[float, Meta(ge=0, description="what the flagged lines cost above what is usual")]
    suppressed: Annotated[
        dict[str, int],
        Meta(description="lines at or above the threshold that are not listed, by the suppression's name"),
    ] = {}
    found_by: Annotated[dict[str, FoundBy], Meta(description="by model, rule and both")]
    rules: Annotated[dict[str, FoundBy], Meta(description="validation lines that each rule hits, flagged or not")]
    self_test: Annotated[dict[str, Caught], Meta(description="by kind of planted error")]
    held_out: Annotated[HeldOut | None, Meta(description="null without labels; the figures to believe")]
    confusion: Annotated[
        Confusion | None, Meta(description="of the flagged lines themselves, whose labels chose the threshold")
    ]
    precision: Share | None
    recall: Share | None
    f1: Share | None
    average_precision: Share | None
    roc_auc: Share | None
    challenger: Annotated[
        ChallengerShare | None,
        Meta(description="a model on trial that judged a share of the invoices; the threshold is not its"),
    ] = None


def wilson(hits: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """The score interval of a proportion (Wilson 1927), two-sided 95 % by default; (0, 1) without a trial."""
    if not trials:
        return 0.0, 1.0
    share, weight = hits / trials, z * z / trials
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * np.sqrt(share * (1 - share) / trials + weight / (4 * trials))
    return max(float(middle - half), 0.0), min(float(middle + half), 1.0)


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
