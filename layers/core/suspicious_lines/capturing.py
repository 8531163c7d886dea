"""What the live model said of each line, kept as one dataset of all runs: SQL, drift and verdicts read it."""

from typing import TYPE_CHECKING

import numpy as np

from suspicious_lines.checking import COLUMNS, FIELDS, LABEL_COLUMN, NUMBER_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

    from suspicious_lines.judging import Judgement
    from suspicious_lines.score_messages import FlagRequest

# The columns of the dataset's files, in this order: the table scored_lines in the Glue Data Catalog names the same.
CAPTURED_COLUMNS = {
    "run": "string",
    "model_run": "string",
    "inference_id": "string",
    "line": "int64",
    **{FIELDS[name]: "float64" if name in NUMBER_COLUMNS else "string" for name in COLUMNS if name != LABEL_COLUMN},
    "error": "boolean",
    "repeats": "int64",
    "model_score": "float64",
    "score": "float64",
    "threshold": "float64",
    "suspicious": "bool",
    "found_by": "string",
    "rules": "string",
    "field": "string",
    "reason": "string",
    "at_stake": "float64",
    "suppressed_by": "string",
}


def inference_id(run: str, line: int) -> str:
    """Names one answer of the model: what SageMaker's ground truth is keyed by."""
    return f"{run}-{line}"


def capture(request: "FlagRequest", judgement: "Judgement", explained: "pd.DataFrame") -> "pd.DataFrame":
    """All lines of a run in the columns of the dataset; what only flagged lines have, listed or suppressed, is null
    elsewhere."""
    told = explained[["found_by", "field", "reason", "at_stake"]].reindex(judgement.lines.index)
    rules = np.full(len(judgement.lines), "", dtype=object)
    for name, hit in judgement.hits.items():
        rules[hit] += f" {name}"
    lines = judgement.lines.assign(
        **told,
        rules=[names.strip() for names in rules],
        run=request.run,
        inference_id=[inference_id(request.run, line) for line in judgement.lines["line"]],
    )
    if "model_run" not in lines:  # where a model on trial judged some of them, each says by whom
        lines = lines.assign(model_run=request.model.run, threshold=request.model.threshold)
    return lines[list(CAPTURED_COLUMNS)].astype(CAPTURED_COLUMNS)
