"""The lines of one file, some judged by the live model and some by one on trial, as one judgement."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from suspicious_lines.judging import Judgement
from suspicious_lines.quality import ChallengerShare
from suspicious_lines.score_messages import ModelInUse

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Verdict:
    """What `model` says of the lines that it scored; `explained`: the flagged ones, worst first, with why."""

    model: ModelInUse
    judgement: Judgement
    explained: "pd.DataFrame"


def together(verdicts: list[Verdict], live: ModelInUse) -> Verdict:
    """All lines in the order of the file; they gain `model_run` and `threshold`, which tell who judged each.

    Scores are surprises, measured by each model against its own past lines, so that they rank together. The
    judgement's threshold is the live model's; its flags are those of each line's own.
    """
    import pandas as pd

    told = [verdict.judgement for verdict in verdicts]
    counts = [len(judgement.lines) for judgement in told]
    lines = pd.concat([judgement.lines for judgement in told], ignore_index=True).assign(
        model_run=np.repeat([verdict.model.run for verdict in verdicts], counts),
        threshold=np.repeat([verdict.model.threshold for verdict in verdicts], counts),
    )
    order = np.argsort(lines["line"].to_numpy(), kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    scored, first = told[0].scored, told[0]
    for judgement in told[1:]:
        scored = scored.joined(judgement.scored)
    flagged = np.concatenate([judgement.threshold.flagged for judgement in told])[order]
    judgement = Judgement(
        lines=lines.iloc[order].reset_index(drop=True),
        hits={name: np.concatenate([judgement.hits[name] for judgement in told])[order] for name in first.hits},
        reference=first.reference,
        scored=scored.part(order),
        threshold=replace(first.threshold, value=live.threshold, flagged=flagged),
    )
    starts = np.cumsum([0, *counts])
    explained = pd.concat(
        [
            verdict.explained.set_axis(place[verdict.explained.index.to_numpy() + start])
            for verdict, start in zip(verdicts, starts[:-1], strict=True)
        ]
    ).sort_values(["score", "total"], ascending=False, kind="stable")
    return Verdict(live, judgement, explained)


def share_of(challenger: ModelInUse, judgement: Judgement) -> ChallengerShare:
    """What the model on trial did of a run; `judgement`: of all its lines, `together`."""
    lines = judgement.lines[(judgement.lines["model_run"] == challenger.run).to_numpy(bool)]
    return ChallengerShare(
        run=challenger.run,
        threshold=challenger.threshold,
        invoices=lines["matter_number"].nunique(),
        lines=len(lines),
        flagged=int(lines["suspicious"].sum()),
    )
