"""What a judgement is worth: the figures of metrics.json."""

from typing import TYPE_CHECKING

import numpy as np

from suspicious_lines import quality
from suspicious_lines.encoder import Encoder
from suspicious_lines.judging import Judgement
from suspicious_lines.messages import ChosenThreshold, Dataset
from suspicious_lines.quality import Caught, FoundBy, HeldOut, Metrics
from suspicious_lines.rules import Rules
from suspicious_lines.thresholds import Goal, Scored, held_out_flags

if TYPE_CHECKING:
    import pandas as pd


def measure(
    judgement: Judgement,
    flagged: "pd.DataFrame",
    encoder: Encoder,
    dataset: Dataset,
    held_out: HeldOut | None = None,
    self_test: dict[str, Caught] | None = None,
) -> Metrics:
    """`flagged`: the explained lines that are listed; `held_out` and `self_test`: what only a training run can tell.

    The confusion is that of the threshold: a line that is suppressed was flagged all the same.
    """
    threshold, scored = judgement.threshold, judgement.scored
    labelled, errors = scored.labelled, scored.is_error[scored.labelled]
    found = quality.confusion(threshold.flagged[labelled], errors) if labelled.any() else None
    return Metrics(
        lines_read=dataset.lines_read,
        lines_rejected=dataset.lines_rejected,
        lines_train=dataset.lines_train,
        lines_validation=dataset.lines_validation,
        labelled=int(labelled.sum()),
        unknown_categories=encoder.unknown(judgement.lines),
        threshold=ChosenThreshold(value=threshold.value, strategy=threshold.strategy, note=threshold.note),
        flagged=len(flagged),
        matters=flagged["matter_number"].nunique(),
        amount_at_stake=round(float(flagged["at_stake"].sum()), 2),
        suppressed={name: int(lines) for name, lines in judgement.lines["suppressed_by"].value_counts().items()},
        found_by={who: _counted(flagged[(flagged["found_by"] == who).to_numpy()]) for who in ("model", "rule", "both")},
        rules={name: _counted(judgement.lines[hit]) for name, hit in judgement.hits.items()},
        self_test=self_test or {},
        held_out=held_out,
        confusion=found,
        precision=quality.precision(found) if found else None,
        recall=quality.recall(found) if found else None,
        f1=quality.f1(found) if found else None,
        average_precision=quality.average_precision(scored.score[labelled], errors),
        roc_auc=quality.roc_auc(scored.score[labelled], errors),
    )


def _counted(lines: "pd.DataFrame") -> FoundBy:
    known = lines["error"].dropna()
    return FoundBy(lines=len(lines), errors=int(known.sum()) if len(known) else None)


def try_held_out(scored: Scored, goal: Goal) -> HeldOut | None:
    """What the goal's strategy does on labels it was not chosen on; None without labels or with one matter only."""
    if not scored.labelled.any() or len(np.unique(scored.matter)) < 2:
        return None
    flagged = held_out_flags(scored, goal)[scored.labelled]
    found = quality.confusion(flagged, scored.is_error[scored.labelled])
    return HeldOut(
        precision=quality.precision(found),
        precision_interval=quality.wilson(found.tp, found.tp + found.fp),
        recall=quality.recall(found),
        recall_interval=quality.wilson(found.tp, found.tp + found.fn),
        f1=quality.f1(found),
    )


def try_planted(judgement: Judgement, planted: "pd.DataFrame", encoder: Encoder, rules: Rules) -> dict[str, Caught]:
    """How many of the self-test's lines, which have `model_score` and `planted`, would have been flagged."""
    scores = judgement.reference.score(planted["model_score"].to_numpy(), rules.hits(planted, encoder))
    caught = scores >= judgement.threshold.value
    kinds = planted["planted"].to_numpy()
    return {
        str(kind): Caught(planted=int((kinds == kind).sum()), caught=int((caught & (kinds == kind)).sum()))
        for kind in dict.fromkeys(kinds)
    }
