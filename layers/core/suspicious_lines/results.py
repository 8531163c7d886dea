"""The results of a run: every line with its score, the flagged ones for a spreadsheet, the metrics and the page."""

import numpy as np
import pandas as pd

from suspicious_lines import datasets, quality, store, thresholds
from suspicious_lines.encoder import Encoder
from suspicious_lines.errors import ModelResponseError
from suspicious_lines.layout import RunFiles
from suspicious_lines.lines import COLUMNS, FIELDS
from suspicious_lines.messages import Dataset, Results, ThresholdRequest
from suspicious_lines.quality import Metrics, ThresholdMetrics
from suspicious_lines.reasons import reasons
from suspicious_lines.report import report_html
from suspicious_lines.settings import ThresholdSettings
from suspicious_lines.spreadsheet import to_csv

# The columns of suspicious_lines.csv, in this order for ever: people build on them.
FLAGGED_HEADER = ["Line", *COLUMNS, "Score", "Threshold", "Reason"]


def write_results(request: ThresholdRequest, settings: ThresholdSettings) -> Results:
    """Joins the parts' scores to their lines, chooses the threshold and writes everything under results/.

    Raises:
        ModelResponseError: a part's scores are not those of its lines.
    """
    files, bucket = RunFiles(request.run), settings.data_bucket
    parts = request.dataset.parts
    lines = datasets.read_dataset(bucket, [files.validation_lines(part) for part in parts])
    scores = datasets.read_dataset(bucket, [files.scores(part) for part in parts])
    if not lines["line"].equals(scores["line"]):
        raise ModelResponseError("the scores are not those of the validation lines")
    encoder = Encoder.from_json(store.get_bytes(bucket, files.encoder).decode())

    threshold = choose_threshold(lines, scores["score"].to_numpy(), settings.review_budget)
    scored = lines.assign(score=scores["score"], suspicious=threshold.flagged)
    flagged = scored[scored["suspicious"]].sort_values(["score", "total"], ascending=False, kind="stable")
    flagged = flagged.assign(threshold=threshold.value, reason=reasons(encoder, flagged))
    metrics = measure(scored, threshold, encoder.unknown(lines), request.dataset)

    datasets.write_dataset(scored, bucket, files.result("scored_lines.parquet"))
    store.put(bucket, files.result("suspicious_lines.csv"), flagged_csv(flagged), "text/csv; charset=utf-8")
    page = report_html(request.upload.key, flagged, metrics)
    store.put(bucket, files.result("report.html"), page, "text/html; charset=utf-8")
    store.put_json(bucket, files.result("metrics.json"), metrics.model_dump(mode="json"))
    return Results(threshold=threshold.value, flagged=metrics.flagged, amount_at_stake=metrics.amount_at_stake)


def choose_threshold(lines: pd.DataFrame, scores: np.ndarray, review_budget: int) -> thresholds.Threshold:
    """The median score of the known errors; without a known error, the lines that the reviewers can query."""
    is_error = lines["error"].fillna(False).to_numpy(bool)
    if is_error.any():
        return thresholds.error_median(scores, is_error)
    return thresholds.budget(scores, lines["total"].to_numpy(), review_budget)


def measure(
    scored: pd.DataFrame, threshold: thresholds.Threshold, unknown: dict[str, int], dataset: Dataset
) -> Metrics:
    flagged = scored[scored["suspicious"]]
    labelled = scored[scored["error"].notna()]
    is_error = labelled["error"].to_numpy(bool)
    found = quality.confusion(labelled["suspicious"].to_numpy(bool), is_error) if len(labelled) else None
    scores = labelled["score"].to_numpy()
    return Metrics(
        lines_read=dataset.lines_read,
        lines_rejected=dataset.lines_rejected,
        lines_train=dataset.lines_train,
        lines_validation=dataset.lines_validation,
        labelled=len(labelled),
        unknown_categories=unknown,
        threshold=ThresholdMetrics(value=threshold.value, strategy=threshold.strategy),
        flagged=len(flagged),
        matters=flagged["matter_number"].nunique(),
        amount_at_stake=round(float(flagged["total"].sum()), 2),
        confusion=found,
        precision=quality.precision(found) if found else None,
        recall=quality.recall(found) if found else None,
        f1=quality.f1(found) if found else None,
        average_precision=quality.average_precision(scores, is_error),
        roc_auc=quality.roc_auc(scores, is_error),
    )


def flagged_csv(flagged: pd.DataFrame) -> str:
    """The flagged lines, worst first; the label is empty where it is not known."""
    columns = ["line", *FIELDS.values(), "score", "threshold", "reason"]
    shown = flagged[columns].assign(
        error=flagged["error"].astype(object).where(flagged["error"].notna(), ""),
        score=flagged["score"].round(4),
        threshold=flagged["threshold"].round(4),
    )
    return to_csv(FLAGGED_HEADER, shown.itertuples(index=False))
