"""What a trial has shown so far: how a model in the shadow differs from the live one, or what each did of its share."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from suspicious_lines import datasets, store
from suspicious_lines.aws import client
from suspicious_lines.documents import Count, Document, Share
from suspicious_lines.errors import TrialRefusedError
from suspicious_lines.judged import read_labels
from suspicious_lines.layout import CAPTURED_PREFIX, TRIALS_PREFIX, trial_report_key
from suspicious_lines.learning import Precision
from suspicious_lines.messages import Message
from suspicious_lines.promotion import find_live_model
from suspicious_lines.settings import BucketSettings
from suspicious_lines.trial_messages import TrialRequest

if TYPE_CHECKING:
    import pandas as pd

LISTED = 20
Correlation = Annotated[float, Meta(ge=-1, le=1)]
_ARM_COLUMNS = ["run", "model_run", "line", "matter_number", "suspicious", "at_stake"]


class Difference(Document):
    """A line that one of the two flags and the other does not."""

    run: str
    line: int
    score: float
    challenger_score: float


class Agreement(Message):
    """Of lines that both models have scored, each flagging by its own threshold."""

    lines: Count
    both: Annotated[Count, Meta(description="lines that both flag")]
    only_live: Count
    only_challenger: Count
    agreement: Annotated[Share | None, Meta(description="share of the lines on which their flags are the same")]
    flag_agreement: Annotated[Share | None, Meta(description="share of the lines flagged by any that both flag")]
    rank_correlation: Annotated[
        Correlation | None, Meta(description="Spearman's, of the scores; null where all scores of a model are equal")
    ]
    differences: Annotated[list[Difference], Meta(description="the greatest first, at most 20")]


class Arm(Document):
    """What a model did of the invoices that fell to it."""

    run: str
    invoices: Count
    lines: Count
    flagged: Count
    flagged_share: Share | None
    amount_at_stake: Annotated[float, Meta(ge=0)]
    verdicts: Annotated[Precision, Meta(description="what reviewers said of its flagged lines")]


class TrialReport(Message, forbid_unknown_fields=True):
    """The document trials/<trial>/report.json."""

    trial: str
    run: str
    live_run: str
    kind: Literal["ab", "shadow"]
    share: int
    began_at: str
    runs: Annotated[Count, Meta(description="scored since then")]
    shadow: Agreement | None
    arms: Annotated[list[Arm], Meta(description="of an A/B: the live model and the one on trial")]


def report_trial(request: TrialRequest, settings: BucketSettings) -> TrialReport:
    """Writes and answers what the trial that goes on has shown so far.

    Raises:
        TrialRefusedError: no model is on trial.
    """
    bucket = settings.data_bucket
    live = find_live_model(bucket)
    if not live or not live.challenger:
        raise TrialRefusedError("No model is on trial: begin with make trial RUN=...")
    trial = live.challenger
    arms: list[Arm] = []
    if trial.kind == "shadow":
        keys = store.keys(bucket, f"{TRIALS_PREFIX}{trial.trial}/scores/")
        shadow = agreement(datasets.read_dataset(bucket, keys)) if keys else None
        runs = len(keys)
    else:
        keys = _captured_since(bucket, datetime.fromisoformat(trial.began_at))
        shadow = None
        runs, arms = _arms(bucket, keys, [live.run, trial.run])
    report = TrialReport(
        trial=trial.trial,
        run=trial.run,
        live_run=live.run,
        kind=trial.kind,
        share=trial.share,
        began_at=trial.began_at,
        runs=runs,
        shadow=shadow,
        arms=arms,
    )
    store.put_json(bucket, trial_report_key(trial.trial), report)
    return report


def agreement(captured: "pd.DataFrame") -> Agreement:
    """`captured`: columns `run`, `line`, `score`, `flagged`, `challenger_score` and `challenger_flagged`."""
    live, other = (captured[name].to_numpy(bool) for name in ("flagged", "challenger_flagged"))
    scores, theirs = (captured[name].to_numpy(np.float64) for name in ("score", "challenger_score"))
    either, differ = live | other, live ^ other
    greatest = np.argsort(-np.abs(scores - theirs)[differ], kind="stable")[:LISTED]
    shown = captured[differ].iloc[greatest]
    return Agreement(
        lines=len(captured),
        both=int((live & other).sum()),
        only_live=int((live & ~other).sum()),
        only_challenger=int((other & ~live).sum()),
        agreement=float((live == other).mean()) if len(captured) else None,
        flag_agreement=float((live & other).sum() / either.sum()) if either.any() else None,
        rank_correlation=spearman(scores, theirs),
        differences=[
            Difference(
                run=row.run, line=int(row.line), score=float(row.score), challenger_score=float(row.challenger_score)
            )
            for row in shown.itertuples(index=False)
        ],
    )


def spearman(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's rank correlation of two arrays of shape [n], equal values having the mean of their ranks (Spearman
    1904); None where one of them has no two values that differ."""
    ranks = [_ranks(values) for values in (first, second)]
    if any(len(np.unique(each)) < 2 for each in ranks):
        return None
    return float(np.clip(np.corrcoef(ranks[0], ranks[1])[0, 1], -1, 1))


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def _captured_since(bucket: str, began: datetime) -> list[str]:
    pages = client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=CAPTURED_PREFIX)
    objects = [found for page in pages for found in page.get("Contents", [])]
    return [found["Key"] for found in objects if found["LastModified"] >= began]


def _arms(bucket: str, keys: list[str], model_runs: list[str]) -> tuple[int, list[Arm]]:
    """How many runs these models had lines of, and what each did; files of families have lines of neither.

    Read a file at a time: a trial may have scored millions of lines.
    """
    invoices: dict[str, set[Any]] = {run: set() for run in model_runs}
    sums = {run: np.zeros(3) for run in model_runs}
    runs: set[str] = set()
    for key in keys:
        lines = datasets.read_part(bucket, key, _ARM_COLUMNS).to_pandas()
        runs |= set(lines["run"][lines["model_run"].isin(model_runs)])
        for run in model_runs:
            own = lines[(lines["model_run"] == run).to_numpy(bool)]
            flagged = own[own["suspicious"].to_numpy(bool)]
            invoices[run] |= set(own["matter_number"])
            sums[run] += len(own), len(flagged), flagged["at_stake"].fillna(0).sum()
    labels = read_labels(bucket)
    judged = labels[(labels["run"].isin(runs) & labels["suspicious"].fillna(False)).to_numpy(bool)]
    return len(runs), [
        Arm(
            run=run,
            invoices=len(invoices[run]),
            lines=int(sums[run][0]),
            flagged=int(sums[run][1]),
            flagged_share=float(sums[run][1] / sums[run][0]) if sums[run][0] else None,
            amount_at_stake=round(float(sums[run][2]), 2),
            verdicts=Precision.of(judged["is_error"].to_numpy(bool)[(judged["model_run"] == run).to_numpy(bool)]),
        )
        for run in model_runs
    ]
