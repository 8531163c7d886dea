"""What reviewers said of lines, kept as one dataset of all runs that is only ever added to."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from suspicious_lines import datasets, store
from suspicious_lines.capturing import CAPTURED_COLUMNS, inference_id
from suspicious_lines.layout import JUDGED_PREFIX, is_judged_of
from suspicious_lines.rules import Rules

if TYPE_CHECKING:
    import pandas as pd

    from suspicious_lines.verdicts import Answer

# The columns of the dataset's files, in this order: the table judged_lines in the Glue Data Catalog names the same.
# `judged_at` is ISO 8601 in UTC with microseconds, so that text sorts as time does.
JUDGED_COLUMNS = {
    "review_run": "string",
    "judged_at": "string",
    **CAPTURED_COLUMNS,
    "verdict": "string",
    "note": "string",
}
_TOLD = ["found_by", "field", "reason", "at_stake"]


def judged_lines(
    review_run: str,
    judged_at: datetime,
    answers: "Sequence[Answer]",
    scored: "pd.DataFrame",
    listed: Sequence[Mapping[str, str]],
    receipt: Mapping[str, Any],
) -> "pd.DataFrame":
    """The answers to one run's lines in the columns of the dataset.

    `scored`: the run's scored lines with these numbers; `listed`: the rows of its suspicious_lines.csv; `receipt`: its
    receipt, which names the model and the threshold.
    """
    lines = scored.set_index("line").loc[[answer.line for answer in answers]].reset_index()
    rows = {int(row["Line"]): row for row in listed}
    told = [rows.get(line, {}) for line in lines["line"]]
    lines = lines.assign(
        review_run=review_run,
        judged_at=judged_at.astimezone(UTC).isoformat(timespec="microseconds"),
        run=receipt["run"],
        # Where a model on trial judged some of the lines, each says by whom.
        model_run=lines.get("model_run", receipt["model"]["run"]),
        inference_id=[inference_id(receipt["run"], line) for line in lines["line"]],
        threshold=lines.get("threshold", receipt["threshold"]["value"]),
        rules=_rules(lines),
        found_by=[row.get("Found By") for row in told],
        field=[row.get("Field") for row in told],
        reason=[row.get("Reason") for row in told],
        at_stake=[float(row["Amount At Stake"]) if row else np.nan for row in told],
        verdict=[answer.verdict for answer in answers],
        note=[answer.note for answer in answers],
    )
    return lines.reindex(columns=list(JUDGED_COLUMNS)).astype(JUDGED_COLUMNS)


def _rules(lines: "pd.DataFrame") -> list[str]:
    names = [name for name in Rules.__struct_fields__ if name in lines]
    return [" ".join(name for name in names if getattr(line, name)) for line in lines.itertuples(index=False)]


def ground_truth(lines: "pd.DataFrame") -> str:
    """The labels as JSON Lines, as Model Monitor merges them with what was captured; unsure is no label.

    https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-merge.html
    """
    labels = {"query": "1", "fine": "0"}
    records = [
        {
            "groundTruthData": {"data": labels[line.verdict], "encoding": "CSV"},
            "eventMetadata": {"eventId": line.inference_id},
            "eventVersion": "0",
        }
        for line in lines.itertuples(index=False)
        if line.verdict in labels
    ]
    return "".join(json.dumps(record) + "\n" for record in records)


def latest(judged: "pd.DataFrame") -> "pd.DataFrame":
    """The verdict that counts for each line of each run: the last one given, whatever the order of the rows.

    A verdict that is given again says nothing new: it keeps the date of when it was given first.
    """
    ordered = judged.sort_values(["run", "line", "judged_at", "review_run"], kind="stable")
    same = (ordered[["run", "line", "verdict"]] == ordered[["run", "line", "verdict"]].shift()).all(axis=1)
    return ordered[~same.to_numpy(bool)].drop_duplicates(["run", "line"], keep="last").reset_index(drop=True)


def labels(judged: "pd.DataFrame") -> "pd.DataFrame":
    """The lines whose latest verdict tells whether they are an error, with `is_error`: query is, fine is not.

    Unsure is neither.
    """
    known = judged[judged["verdict"].isin(["query", "fine"]).to_numpy(bool)]
    return known.assign(is_error=(known["verdict"] == "query").to_numpy(bool))


def read_labels(bucket: str, family: str | None = None) -> "pd.DataFrame":
    """All labels that reviewers gave so far, in the columns of the dataset and `is_error`; of one family, or (empty) of
    none, or (None) of all."""
    import pandas as pd

    keys = [key for key in store.keys(bucket, JUDGED_PREFIX) if key.endswith(".parquet")]
    keys = [key for key in keys if family is None or is_judged_of(key, family)]
    read = datasets.read_dataset(bucket, keys) if keys else pd.DataFrame(columns=list(JUDGED_COLUMNS))
    return labels(latest(read.astype(JUDGED_COLUMNS)))
