"""The results of a run: every line with its score, the flagged ones explained, the metrics and the page."""

import functools
from datetime import UTC, date
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from suspicious_lines import datasets, store
from suspicious_lines.capturing import capture
from suspicious_lines.checking import COLUMNS, FIELDS
from suspicious_lines.contested import Verdict, share_of, together
from suspicious_lines.encoder import Encoder
from suspicious_lines.errors import RunEndedError
from suspicious_lines.explain import Score, explain
from suspicious_lines.hosting_modes import mode_of
from suspicious_lines.judging import Judgement, found_by, judge, judge_by
from suspicious_lines.layout import RunFiles, captured_key, is_challengers
from suspicious_lines.measuring import measure, try_held_out, try_planted
from suspicious_lines.quality import Metrics
from suspicious_lines.receipts import find_receipt, refuse_ended
from suspicious_lines.report import report_html
from suspicious_lines.report_data import report_data
from suspicious_lines.routing import challenger_of
from suspicious_lines.rules import Rules
from suspicious_lines.score_messages import FlagRequest, ModelInUse
from suspicious_lines.scoring import score_features, sender
from suspicious_lines.settings import FlagSettings, ThresholdSettings
from suspicious_lines.spreadsheet import to_csv
from suspicious_lines.suppressing import Suppressions, suppress
from suspicious_lines.thresholds import Goal
from suspicious_lines.train_messages import Results, ThresholdRequest
from suspicious_lines.yardstick import Yardstick, read_encoder, read_scored, read_yardstick

if TYPE_CHECKING:
    import pandas as pd

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


def choose_threshold(request: ThresholdRequest, settings: ThresholdSettings) -> Results:
    """Joins the parts' scores to their lines, chooses the threshold, explains what it flags and writes results/.

    Raises:
        ModelResponseError: a part's scores are not those of its lines.
        EndpointBusyError: the endpoint did not take the explanations' requests.
        SettingsError: a configuration in the bucket is wrong.
    """
    files, bucket = RunFiles(request.run), settings.data_bucket
    encoder = read_encoder(bucket, files)
    rules = Rules.read(bucket)
    suppressions = Suppressions.read(bucket)
    goal = Goal(
        strategy=settings.threshold_strategy,
        budget=settings.review_budget,
        precision_floor=settings.precision_floor,
        beta=settings.f_beta,
    )
    parts = {
        kind: [part for part in request.dataset.parts if part.startswith(f"{kind}/")]
        for kind in ("validation", "planted", "judged")
    }
    validation = read_scored(bucket, files, parts["validation"])
    planted = read_scored(bucket, files, parts["planted"])
    judged = read_scored(bucket, files, parts["judged"]) if parts["judged"] else None
    judgement = judge(validation, encoder, rules, goal, judged)
    explained = _explained(judgement, encoder, rules, request.endpoint_name, bucket, files)
    judgement, flagged = suppress(judgement, explained, suppressions, request.started_at.astimezone(UTC).date())
    held_out = try_held_out(judgement.scored, goal)
    self_test = try_planted(judgement, planted, encoder, rules)
    metrics = measure(judgement, flagged, encoder, request.dataset, held_out, self_test)
    report = report_data(request.run, request.upload.name, judgement.lines, flagged, metrics, judgement.lines)
    return _write(files, settings, judgement, flagged, metrics, report)


def flag_lines(request: FlagRequest, settings: FlagSettings) -> Results:
    """Flags new lines by the threshold of the model that scored them, measured against that model's own lines.

    Where a model on trial scored a share of the invoices, these are flagged by its threshold: see routing.py.

    Raises as `choose_threshold` does, and
        ModelGoneError: the model was replaced and deleted meanwhile.
        RunEndedError: the run was reported as failed meanwhile; nothing of it stays captured.
    """
    files, bucket = RunFiles(request.run), settings.data_bucket
    rules = Rules.read(bucket)
    suppressions = Suppressions.read(bucket)
    model = read_yardstick(bucket, request.model.run, rules)
    theirs = [part for part in request.dataset.parts if is_challengers(part)]
    own = [part for part in request.dataset.parts if not is_challengers(part)]
    verdicts = [_verdict(files, bucket, own, request.model, model, rules)] if own else []
    if theirs:
        challenger = challenger_of(bucket, request.run)
        other = read_yardstick(bucket, challenger.run, rules)
        verdicts.append(_verdict(files, bucket, theirs, challenger, other, rules))
        verdicts = [together(verdicts, request.model)]
    judgement, explained = verdicts[0].judgement, verdicts[0].explained
    day = request.started_at.astimezone(UTC).date()
    judgement, flagged = suppress(judgement, explained, suppressions, day)
    metrics = measure(judgement, flagged, model.encoder, request.dataset)
    if theirs:
        metrics = replace(metrics, challenger=share_of(challenger, judgement))
    report = report_data(request.run, request.upload.name, judgement.lines, flagged, metrics, model.past)
    results = _write(files, settings, judgement, flagged, metrics, report)
    _capture(request, bucket, day, capture(request, judgement, explained))
    return results


def _verdict(
    files: RunFiles, bucket: str, parts: list[str], used: ModelInUse, model: Yardstick, rules: Rules
) -> Verdict:
    lines = read_scored(bucket, files, parts)
    judgement = judge_by(lines, model.encoder, rules, model.reference, used.threshold, model.chosen)
    return Verdict(used, judgement, _explained(judgement, model.encoder, rules, used.endpoint_name, bucket, files))


def _capture(request: FlagRequest, bucket: str, day: date, captured: "pd.DataFrame") -> None:
    """Adds the run's lines to the dataset of all runs, unless the run has failed: its lines count where they are
    scored again. ReportFailure takes them away once its receipt is written, so that one of the two sees the other."""
    key = captured_key(day, request.run)
    datasets.write_dataset(captured, bucket, key)
    try:
        refuse_ended(find_receipt(bucket, request.run))
    except RunEndedError:
        store.delete(bucket, key)
        raise


def _write(
    files: RunFiles,
    settings: FlagSettings,
    judgement: Judgement,
    flagged: "pd.DataFrame",
    metrics: Metrics,
    report: dict[str, Any],
) -> Results:
    bucket = settings.data_bucket
    scored_lines = judgement.lines.assign(**judgement.hits)
    datasets.write_dataset(scored_lines, bucket, files.result("scored_lines.parquet"))
    listed = flagged_csv(flagged).encode("utf-8-sig" if settings.spreadsheet_bom else "utf-8")
    store.put(bucket, files.result("suspicious_lines.csv"), listed, "text/csv; charset=utf-8")
    store.put(bucket, files.result("report.html"), report_html(report), "text/html; charset=utf-8")
    store.put_json(bucket, files.result("metrics.json"), metrics)
    return Results(threshold=metrics.threshold, flagged=metrics.flagged, amount_at_stake=metrics.amount_at_stake)


def _explained(
    judgement: Judgement, encoder: Encoder, rules: Rules, endpoint_name: str, bucket: str, files: RunFiles
) -> "pd.DataFrame":
    """The flagged lines, worst first, with why."""
    score: Score | None = None
    if mode_of(endpoint_name).endpoint:
        send = sender(endpoint_name, bucket, files)
        score = functools.partial(score_features, send=send)
    lines, reference, threshold = judgement.lines, judgement.reference, judgement.threshold.value
    flagged = lines[lines["suspicious"]].sort_values(["score", "total"], ascending=False, kind="stable")
    hits = {name: hit[flagged.index] for name, hit in judgement.hits.items()}
    told = explain(flagged, hits, encoder, rules, reference, score)
    return flagged.join(told).assign(
        threshold=threshold,
        found_by=found_by(flagged["model_score"].to_numpy(), hits, reference, threshold),
        rules=[" ".join(name for name, hit in hits.items() if hit[place]) for place in range(len(flagged))],
    )


def flagged_csv(flagged: "pd.DataFrame") -> str:
    """The flagged lines, worst first; what is not known is empty."""
    rounded = {name: flagged[name].round(4) for name in ("score", "threshold", "model_score")}
    shown = flagged.assign(**rounded)[list(FLAGGED_COLUMNS)].astype(object)
    return to_csv(list(FLAGGED_COLUMNS.values()), shown.where(shown.notna(), "").itertuples(index=False))
