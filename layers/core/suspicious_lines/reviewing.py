"""The review workflow: verdicts are checked, kept, measured and learnt from."""

import io
import json
from datetime import UTC
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from msgspec.structs import asdict, replace

from suspicious_lines import datasets, store
from suspicious_lines.errors import InvalidUploadError
from suspicious_lines.hashing import HashingStream
from suspicious_lines.judged import ground_truth, judged_lines, read_labels
from suspicious_lines.layout import RunFiles, ground_truth_key, judged_key
from suspicious_lines.learning import GROUPS, Lesson, Precision, Review, by_group, flagged_by
from suspicious_lines.recalibration import recalibrate
from suspicious_lines.review_messages import LearnRequest, Lessons, Verdicts, VerdictsRequest
from suspicious_lines.review_settings import LearnSettings
from suspicious_lines.settings import BucketSettings, family_names
from suspicious_lines.spreadsheet import from_csv, to_csv
from suspicious_lines.suppressing import Suppressions, propose
from suspicious_lines.verdicts import Answer, check, read_rows, require_some, wanted_lines

if TYPE_CHECKING:
    import pandas as pd

MOST_UPLOAD_MB = 20


def read_verdicts(request: VerdictsRequest, settings: BucketSettings) -> Verdicts:
    """Reads the claimed upload, checks each verdict against the run it answers, and adds the good ones to judged/.

    Raises:
        InvalidUploadError: the file is no file of verdicts, or none of them can be used; the refused ones, if any, are
        in
            rejected.csv all the same.
    """
    files, bucket, key = RunFiles(request.run), settings.data_bucket, request.upload.key
    if request.upload.size > MOST_UPLOAD_MB * 1_000_000:
        reason = f"the file has {request.upload.size / 1e6:,.0f} MB, at most {MOST_UPLOAD_MB} can be read"
        raise InvalidUploadError(key, reason, "Split it by run and drop the parts.")
    stream = HashingStream(store.open_upload(request.upload))
    rows, unread = read_rows(stream, key)
    answered = {run: _answered(bucket, run, lines) for run, lines in wanted_lines(rows).items()}
    runs = {run: found for run, found in answered.items() if found}
    answers = check(rows, unread, {run: set(scored["line"]) for run, (_, scored) in runs.items()})
    refused = [(refusal.line, refusal.column, refusal.value, refusal.reason) for refusal in answers.refused]
    store.put(bucket, files.rejected, to_csv(["Line", "Column", "Value", "Reason"], refused), "text/csv; charset=utf-8")
    require_some(answers, key)
    judged = _judged(request, bucket, answers.kept, runs)
    for family, lines in judged.items():
        key = judged_key(request.started_at.astimezone(UTC).date(), request.run, family)
        datasets.write_dataset(lines, bucket, key)
    labels = "".join(ground_truth(lines) for lines in judged.values())
    store.put(bucket, ground_truth_key(request.started_at, request.run), labels, "application/jsonlines")
    return Verdicts(counts=answers.counts(), sha256=stream.hexdigest())


def _answered(bucket: str, run: str, lines: set[int]) -> "tuple[dict[str, Any], pd.DataFrame] | None":
    """The receipt of a run and those of these lines that it scored; None where the run has no results."""
    files = RunFiles(run)
    receipt = store.get_with_etag(bucket, files.receipt)
    scored = receipt and store.get_with_etag(bucket, files.result("scored_lines.parquet"))
    if not receipt or not scored:
        return None
    told = json.loads(receipt[0])
    if told["status"] != "SUCCEEDED":
        return None
    # Only the rows that are asked for: a run may have scored millions.
    table = pq.read_table(io.BytesIO(scored[0]), filters=[("line", "in", sorted(lines))])
    return told, table.to_pandas()


def _judged(
    request: VerdictsRequest, bucket: str, answers: list[Answer], runs: "dict[str, tuple[dict[str, Any], pd.DataFrame]]"
) -> "dict[str, pd.DataFrame]":
    """The answers in the columns of the dataset, by family; `runs`: what `_answered` found of each."""
    import pandas as pd

    by_run: dict[str, list[Answer]] = {}
    for answer in answers:
        by_run.setdefault(answer.run, []).append(answer)
    by_family: dict[str, list[pd.DataFrame]] = {}
    for run, told in by_run.items():
        receipt, scored = runs[run]
        lines = judged_lines(request.run, request.started_at, told, scored, _listed(bucket, run), receipt)
        by_family.setdefault(receipt.get("family", ""), []).append(lines)
    return {family: pd.concat(frames, ignore_index=True) for family, frames in by_family.items()}


def _listed(bucket: str, run: str) -> list[dict[str, str]]:
    return from_csv(store.get_bytes(bucket, RunFiles(run).result("suspicious_lines.csv")))


def learn_from_verdicts(request: LearnRequest, settings: LearnSettings) -> Lessons:
    """Measures the live model by all verdicts so far, moves its threshold where they say so, and proposes suppressions;
    where there are families, the live model of each.

    Raises:
        AwsUnavailableError: others kept changing the live model meanwhile.
        SettingsError: config/suppressions.json is wrong.
    """
    files, bucket = RunFiles(request.run), settings.data_bucket
    accepted = Suppressions.read(bucket)
    judged = read_labels(bucket)
    queried = int(judged["is_error"].sum())
    models = {
        family: _lesson(request.run, judged, settings, family) for family in ("", *family_names(settings.families))
    }
    review = Review(
        counts=request.counts,
        judged={"query": queried, "fine": len(judged) - queried},
        **asdict(models.pop("")),
        families=models,
        proposals=propose(judged, accepted, request.started_at.astimezone(UTC).date()),
    )
    if review.proposals:
        proposed = Suppressions(suppressions=[*accepted.suppressions, *review.proposals])
        store.put_json(bucket, files.result("proposed_suppressions.json"), proposed)
    store.put_json(bucket, files.result("review.json"), review)
    return Lessons(
        precision=review.precision.precision if review.precision else None,
        threshold_moved=any(lesson.recalibration for lesson in (review, *models.values())),
        proposals=len(review.proposals),
    )


def _lesson(run: str, judged: "pd.DataFrame", settings: LearnSettings, family: str) -> Lesson:
    """What the verdicts say of the live model of a family, or of none, once they have moved its threshold."""
    bucket, floor, fewest = settings.data_bucket, settings.precision_floor, settings.recalibration_verdicts
    live, moved = recalibrate(bucket, run, judged, floor, fewest, family)
    # Measured at the threshold that the lines were flagged by, before it was moved.
    measured = replace(live, threshold=moved.before) if live and moved else live
    flagged = flagged_by(judged, measured) if measured else judged.iloc[:0]
    return Lesson(
        model_run=live.run if live else None,
        threshold=live.threshold if live else None,
        precision=Precision.of(flagged["is_error"].to_numpy(bool)) if live else None,
        **{name: by_group(flagged, column) for name, column in GROUPS.items()},
        recalibration=moved,
    )
