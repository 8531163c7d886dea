"""The results of a run: every line with its score, the flagged ones explained, the metrics and the page."""

import numpy as np
import pandas as pd

from suspicious_lines import datasets, quality, store, thresholds
from suspicious_lines.encoder import Encoder
from suspicious_lines.errors import ModelResponseError
from suspicious_lines.explain import explain
from suspicious_lines.layout import RunFiles
from suspicious_lines.lines import COLUMNS, FIELDS
from suspicious_lines.messages import Dataset, Results, ThresholdRequest
from suspicious_lines.quality import Caught, FoundBy, Metrics, ThresholdMetrics
from suspicious_lines.ranking import Reference
from suspicious_lines.report import report_html
from suspicious_lines.report_data import report_data
from suspicious_lines.rules import CONFIG_KEY, Rules
from suspicious_lines.scoring import score_features, sender
from suspicious_lines.settings import ThresholdSettings
from suspicious_lines.spreadsheet import to_csv
from suspicious_lines.thresholds import Goal, Scored, Threshold

# The columns of suspicious_lines.csv, in this order for ever: people build on them.
FLAGGED_COLUMNS = {
    "line": "Line",
    **{FIELDS[name]: name for name in COLUMNS},
    "score": "Score",
    "threshold": "Threshold",
    "model_score": "Model Score",
    "found_by": "Found By",
    "rules": "Rules",
    "field": "Field",
    "reason": "Reason",
    "expected_low": "Expected Low",
    "expected_high": "Expected High",
    "at_stake": "Amount At Stake",
}


def write_results(request: ThresholdRequest, settings: ThresholdSettings) -> Results:
    """Joins the parts' scores to their lines, chooses the threshold, explains what it flags and writes results/.

    Raises:
        ModelResponseError: a part's scores are not those of its lines.
        EndpointBusyError: the endpoint did not take the explanations' requests.
        SettingsError: the rules' configuration in the bucket is wrong.
    """
    files, bucket = RunFiles(request.run), settings.data_bucket
    encoder = Encoder.from_json(store.get_bytes(bucket, files.encoder).decode())
    rules = read_rules(bucket)
    lines = _scored(bucket, files, [part for part in request.dataset.parts if part.startswith("validation/")])
    hits = rules.hits(lines, encoder)
    reference = Reference.of(lines["model_score"].to_numpy(), hits, rules.ranking())
    lines = lines.assign(score=reference.score(lines["model_score"].to_numpy(), hits))

    goal = Goal(
        strategy=settings.threshold_strategy,
        budget=settings.review_budget,
        precision_floor=settings.precision_floor,
        beta=settings.f_beta,
    )
    choice = _choice(lines)
    threshold = thresholds.choose(choice, goal)
    lines = lines.assign(suspicious=threshold.flagged)
    flagged = lines[threshold.flagged].sort_values(["score", "total"], ascending=False, kind="stable")
    flagged_hits = {name: hit[flagged.index] for name, hit in hits.items()}
    send = sender(request.endpoint_name)
    told = explain(flagged, flagged_hits, encoder, rules, reference, lambda body: score_features(body, send))
    flagged = flagged.join(told).assign(
        threshold=threshold.value,
        found_by=found_by(flagged["model_score"].to_numpy(), flagged_hits, reference, threshold.value),
        rules=_names(flagged_hits, len(flagged)),
    )
    planted = _scored(bucket, files, [part for part in request.dataset.parts if part.startswith("planted/")])
    metrics = _metrics(lines, flagged, hits, threshold, request.dataset).model_copy(
        update={
            "unknown_categories": encoder.unknown(lines),
            "held_out": _held_out(choice, goal) if choice.labelled.any() else None,
            "self_test": _self_test(planted, rules, encoder, reference, threshold.value),
        }
    )
    datasets.write_dataset(lines.assign(**hits), bucket, files.result("scored_lines.parquet"))
    encoding = "utf-8-sig" if settings.spreadsheet_bom else "utf-8"
    listed = flagged_csv(flagged).encode(encoding)
    store.put(bucket, files.result("suspicious_lines.csv"), listed, "text/csv; charset=utf-8")
    page = report_html(report_data(request.run, request.upload.key, lines, flagged, metrics))
    store.put(bucket, files.result("report.html"), page, "text/html; charset=utf-8")
    store.put_json(bucket, files.result("metrics.json"), metrics.model_dump(mode="json"))
    return Results(threshold=threshold.value, flagged=metrics.flagged, amount_at_stake=metrics.amount_at_stake)


def read_rules(bucket: str) -> Rules:
    """The operator's rules where there are any, the library's elsewhere."""
    found = store.get_with_etag(bucket, CONFIG_KEY)
    return Rules.from_json(found[0]) if found else Rules.default()


def _scored(bucket: str, files: RunFiles, parts: list[str]) -> pd.DataFrame:
    """The lines of these parts with the forest's `model_score`."""
    lines = datasets.read_dataset(bucket, [files.lines(part) for part in parts])
    scores = datasets.read_dataset(bucket, [files.scores(part) for part in parts])
    if not lines["line"].equals(scores["line"]):
        raise ModelResponseError(f"the scores are not those of the lines of {parts[0]} to {parts[-1]}")
    return lines.assign(model_score=scores["score"])


def _choice(lines: pd.DataFrame) -> Scored:
    return Scored(
        score=lines["score"].to_numpy(),
        model_score=lines["model_score"].to_numpy(),
        amount=lines["total"].to_numpy(),
        is_error=lines["error"].fillna(False).to_numpy(bool),
        labelled=lines["error"].notna().to_numpy(),
        matter=lines["matter_number"].astype(str).to_numpy(),
    )


def found_by(
    model_scores: np.ndarray, hits: dict[str, np.ndarray], reference: Reference, threshold: float
) -> np.ndarray:
    """`model` where no rule hits, `rule` where a rule alone would have flagged the line and the model would not, else
    `both`."""
    hit = np.logical_or.reduce(list(hits.values())) if hits else np.zeros(len(model_scores), dtype=bool)
    by_model = reference.model_surprise(model_scores) >= threshold
    by_rule = reference.rule_surprise(hits) >= threshold if hits else hit
    return np.where(~hit, "model", np.where(by_rule & ~by_model, "rule", "both"))


def _names(hits: dict[str, np.ndarray], count: int) -> list[str]:
    return [" ".join(name for name, hit in hits.items() if hit[place]) for place in range(count)]


def _held_out(choice: Scored, goal: Goal) -> quality.HeldOut:
    flagged = thresholds.held_out_flags(choice, goal)[choice.labelled]
    found = quality.confusion(flagged, choice.is_error[choice.labelled])
    return quality.HeldOut(
        precision=quality.precision(found),
        precision_interval=quality.wilson(found.tp, found.tp + found.fp),
        recall=quality.recall(found),
        recall_interval=quality.wilson(found.tp, found.tp + found.fn),
        f1=quality.f1(found),
    )


def _self_test(
    planted: pd.DataFrame, rules: Rules, encoder: Encoder, reference: Reference, threshold: float
) -> dict[str, Caught]:
    scores = reference.score(planted["model_score"].to_numpy(), rules.hits(planted, encoder))
    kinds = planted["planted"].to_numpy()
    return {
        kind: Caught(planted=int((kinds == kind).sum()), caught=int((scores[kinds == kind] >= threshold).sum()))
        for kind in dict.fromkeys(kinds)
    }


def _metrics(
    lines: pd.DataFrame,
    flagged: pd.DataFrame,
    hits: dict[str, np.ndarray],
    threshold: Threshold,
    dataset: Dataset,
) -> Metrics:
    labelled = lines["error"].notna().to_numpy()
    is_error = lines["error"].fillna(False).to_numpy(bool)
    found = quality.confusion(threshold.flagged[labelled], is_error[labelled]) if labelled.any() else None
    scores = lines["score"].to_numpy()[labelled]

    def counted(mask: np.ndarray, errors: np.ndarray) -> FoundBy:
        return FoundBy(lines=int(mask.sum()), errors=int((mask & errors).sum()) if labelled.any() else None)

    flagged_errors = flagged["error"].fillna(False).to_numpy(bool)
    return Metrics(
        **dataset.model_dump(include={"lines_read", "lines_rejected", "lines_train", "lines_validation"}),
        labelled=int(labelled.sum()),
        unknown_categories={},
        threshold=ThresholdMetrics(value=threshold.value, strategy=threshold.strategy, note=threshold.note),
        flagged=len(flagged),
        matters=flagged["matter_number"].nunique(),
        amount_at_stake=round(float(flagged["at_stake"].sum()), 2),
        found_by={
            who: counted((flagged["found_by"] == who).to_numpy(), flagged_errors) for who in ("model", "rule", "both")
        },
        rules={name: counted(hit, is_error) for name, hit in hits.items()},
        self_test={},
        held_out=None,
        confusion=found,
        precision=quality.precision(found) if found else None,
        recall=quality.recall(found) if found else None,
        f1=quality.f1(found) if found else None,
        average_precision=quality.average_precision(scores, is_error[labelled]),
        roc_auc=quality.roc_auc(scores, is_error[labelled]),
    )


def flagged_csv(flagged: pd.DataFrame) -> str:
    """The flagged lines, worst first; what is not known is empty."""
    rounded = {name: flagged[name].round(4) for name in ("score", "threshold", "model_score")}
    shown = flagged.assign(**rounded)[list(FLAGGED_COLUMNS)].astype(object)
    return to_csv(list(FLAGGED_COLUMNS.values()), shown.where(shown.notna(), "").itertuples(index=False))
