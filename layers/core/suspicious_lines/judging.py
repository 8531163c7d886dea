"""One judgement on every line: the forest's score and the rules' hits as one score, and the threshold on it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from suspicious_lines.encoder import Encoder
from suspicious_lines.messages import MOVED_BY_VERDICTS, ChosenThreshold
from suspicious_lines.ranking import Reference
from suspicious_lines.rules import Rules
from suspicious_lines.thresholds import Goal, Scored, Threshold, choose

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Judgement:
    """`lines` have gained `score` and `suspicious`; `hits` are masks over them; `scored` is what the threshold was
    chosen from."""

    lines: "pd.DataFrame"
    hits: dict[str, np.ndarray]
    reference: Reference
    scored: Scored
    threshold: Threshold


def judge(
    lines: "pd.DataFrame", encoder: Encoder, rules: Rules, goal: Goal, judged: "pd.DataFrame | None" = None
) -> Judgement:
    """Judges lines that have the forest's `model_score`, measured against one another.

    `judged`: lines of other runs that reviewers judged, scored by the same forest. They are further labels for the
    strategies that choose by labels, and nothing else: an earlier model picked them because they looked suspicious, so
    they say nothing of how many lines score how high (budget, sigma, the reference) or of how good the flags of this
    file are.
    """
    hits = rules.hits(lines, encoder)
    reference = Reference.of(lines["model_score"].to_numpy(), hits, rules.ranking())
    scored = to_scored(lines, hits, reference)
    further = None if judged is None else to_scored(judged, rules.hits(judged, encoder), reference)
    return _judgement(lines, hits, reference, scored, choose(scored, goal, further))


def judge_by(
    lines: "pd.DataFrame", encoder: Encoder, rules: Rules, reference: Reference, value: float, chosen: ChosenThreshold
) -> Judgement:
    """Judges new lines by `value`, measured against those that `chosen` was chosen on when the model was trained."""
    hits = rules.hits(lines, encoder)
    scored = to_scored(lines, hits, reference)
    note = chosen.note if value == chosen.value else f"{MOVED_BY_VERDICTS} {chosen.value:.2f}"
    threshold = Threshold(value, chosen.strategy, scored.score >= value, note)
    return _judgement(lines, hits, reference, scored, threshold)


def to_scored(lines: "pd.DataFrame", hits: dict[str, np.ndarray], reference: Reference) -> Scored:
    model_scores = lines["model_score"].to_numpy()
    return Scored(
        score=reference.score(model_scores, hits),
        model_score=model_scores,
        amount=lines["total"].to_numpy(),
        is_error=lines["error"].fillna(False).to_numpy(bool),
        labelled=lines["error"].notna().to_numpy(),
        matter=lines["matter_number"].astype(str).to_numpy(),
    )


def _judgement(
    lines: "pd.DataFrame", hits: dict[str, np.ndarray], reference: Reference, scored: Scored, threshold: Threshold
) -> Judgement:
    judged = lines.assign(score=scored.score, suspicious=threshold.flagged)
    return Judgement(judged, hits, reference, scored, threshold)


def found_by(
    model_scores: np.ndarray, hits: dict[str, np.ndarray], reference: Reference, threshold: float
) -> np.ndarray:
    """`model` where no rule hits, `rule` where a rule alone would have flagged the line and the model would not, else
    `both`."""
    hit = np.logical_or.reduce(list(hits.values())) if hits else np.zeros(len(model_scores), dtype=bool)
    by_model = reference.model_surprise(model_scores) >= threshold
    by_rule = reference.rule_surprise(hits) >= threshold if hits else hit
    return np.where(~hit, "model", np.where(by_rule & ~by_model, "rule", "both"))
