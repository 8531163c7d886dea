"""The monitor workflow: a day's captured lines against the baseline that the live model was trained on.

The baseline is the live model's own validation lines: a fifth of its training file, drawn at random, with their scores.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec import DecodeError, to_builtins
from msgspec.structs import replace

from suspicious_lines import datasets, drift, store
from suspicious_lines.documents import Document
from suspicious_lines.drift import Measure
from suspicious_lines.drift_page import drift_html
from suspicious_lines.errors import InvalidUploadError
from suspicious_lines.features import features_csv
from suspicious_lines.hosting_modes import mode_of
from suspicious_lines.layout import CAPTURED_PREFIX, RunFiles, monitoring_key
from suspicious_lines.model_messages import LiveModel
from suspicious_lines.monitor_messages import Drift, DriftRequest
from suspicious_lines.monitor_settings import DriftSettings
from suspicious_lines.planted import plant
from suspicious_lines.promotion import find_live_model
from suspicious_lines.receipts import Receipt
from suspicious_lines.rules import Rules
from suspicious_lines.scoring import score_features, sender
from suspicious_lines.settings import family_names
from suspicious_lines.yardstick import Yardstick, read_yardstick

if TYPE_CHECKING:
    import pandas as pd

# Below this, chance alone makes nearly any index; a day of fewer lines is told, not judged.
FEWEST_LINES = 200
# How many measures share the chance of a false alarm: nine stabilities, two shares, the catch rate.
MEASURES = 12


class DriftReport(Document):
    """The document monitoring/dt=<day>/report.json; `note` says why nothing was measured."""

    day: date
    family: str = ""
    model_run: str | None = None
    promoted_at: str | None = None
    threshold: float | None = None
    runs: int = 0
    lines: int = 0
    matters: int = 0
    lines_of_other_models: int = 0
    note: str | None = None
    measures: list[Measure] = []


@dataclass(frozen=True)
class Watched:
    """The live model as it judges lines: `model.past` is the baseline."""

    live: LiveModel
    model: Yardstick
    rules: Rules


def measure_drift(request: DriftRequest, settings: DriftSettings) -> Drift:
    """Measures a day's lines and writes the report and its page; the same day gives the same report. Where there are
    families, each live model has a report on the lines that it scored, and the answer is the worst of all.

    Raises:
        InvalidUploadError: the execution's input names no day.
        EndpointBusyError, ModelGoneError, ModelResponseError: the live endpoint did not score the planted errors.
    """
    bucket, day = settings.data_bucket, _day(request)
    models = {family: find_live_model(bucket, family) for family in ("", *family_names(settings.families))}
    keys = store.keys(bucket, f"{CAPTURED_PREFIX}dt={day.isoformat()}/") if any(models.values()) else []
    captured = datasets.read_dataset(bucket, keys) if keys else None
    return _worst(
        [
            _measured(DriftReport(day=day, family=family), live, captured, keys, settings)
            for family, live in models.items()
        ]
    )


def _measured(
    report: DriftReport,
    live: LiveModel | None,
    captured: "pd.DataFrame | None",
    keys: list[str],
    settings: DriftSettings,
) -> Drift:
    """Measures what the live model of a family, or of none, scored; `keys`: of what was captured of all of them."""
    bucket = settings.data_bucket
    if live is None:
        return _write(replace(report, note="no model is live"), bucket, None)
    lines = None
    if captured is not None:
        lines = captured[(captured["model_run"] == live.run).to_numpy()].reset_index(drop=True)
    count = 0 if lines is None else len(lines)
    found = {
        "model_run": live.run,
        "promoted_at": live.promoted_at,
        "threshold": live.threshold,
        "runs": len(keys),
        "lines": count,
        "lines_of_other_models": 0 if captured is None else len(captured) - count,
    }
    report = replace(report, **found)
    if lines is None or count < FEWEST_LINES:
        few = f"the live model scored {count} lines, and {FEWEST_LINES} are needed to tell drift from chance"
        return _write(replace(report, note=few), bucket, live)
    rules = Rules.read(bucket)
    watched = Watched(live, read_yardstick(bucket, live.run, rules), rules)
    measures = judged(watched, lines)
    if mode_of(live.endpoint_name).endpoint:
        measures.append(drift.caught(*_planted_scores(watched, lines, bucket, settings.split_seed), MEASURES))
    measures.append(_rejected(bucket, keys, settings.rejected_percent, report.family))
    update = {"matters": lines["matter_number"].nunique(), "measures": measures}
    return _write(replace(report, **update), bucket, live)


def _worst(found: list[Drift]) -> Drift:
    """All of them as one: sums of what is counted, and the worst of each figure."""

    def pick(name: str, worst: Callable[..., float | None]) -> float | None:
        return worst((value for drift in found if (value := getattr(drift, name)) is not None), default=None)

    return Drift(
        day=found[0].day,
        lines=sum(drift.lines for drift in found),
        drifted=sum(drift.drifted for drift in found),
        largest_psi=pick("largest_psi", max),
        flagged_percent=pick("flagged_percent", max),
        unseen_percent=pick("unseen_percent", max),
        catch_percent=pick("catch_percent", min),
        model_age_days=pick("model_age_days", max),
    )


def judged(watched: Watched, lines: "pd.DataFrame") -> list[Measure]:
    """All that can be measured of lines and of what was said of them."""
    baseline, encoder, threshold = watched.model.past, watched.model.encoder, watched.live.threshold
    flagged = [frame["score"].to_numpy() >= threshold for frame in (baseline, lines)]
    unseen = [encoder.unseen(frame) for frame in (baseline, lines)]
    matters = [frame["matter_number"] for frame in (baseline, lines)]
    return [
        *drift.stability(baseline, lines, encoder, MEASURES),
        drift.share("flagged", "lines above the threshold", flagged, matters, MEASURES),
        drift.share("unseen", "lines with a category unseen in training", unseen, matters, MEASURES),
    ]


def _day(request: DriftRequest) -> date:
    given = request.input.get("day")
    if given is None:
        return request.started_at.astimezone(UTC).date() - timedelta(days=1)
    try:
        return date.fromisoformat(str(given))
    except ValueError as error:
        raise InvalidUploadError("the execution's input", "day is no date", 'Give {"day": "2026-11-23"}.') from error


def _planted_scores(watched: Watched, lines: "pd.DataFrame", bucket: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which errors, planted among the baseline's and among the day's lines, are caught: two masks. A model without an
    endpoint cannot be asked."""
    send = sender(watched.live.endpoint_name, bucket, RunFiles(watched.live.run))
    caught = []
    for frame in (watched.model.past, lines.assign(error=False)):
        planted = plant(frame, seed)
        scores = np.array(score_features(features_csv(watched.model.encoder, planted), send))
        joined = watched.model.reference.score(scores, watched.rules.hits(planted, watched.model.encoder))
        caught.append(joined >= watched.live.threshold)
    return caught[0], caught[1]


def _rejected(bucket: str, keys: list[str], percent: float, family: str) -> Measure:
    """The share of lines refused, from the receipts of the family's runs that captured something."""
    read = rejected = 0
    for key in keys:
        run = key.rpartition("/")[2].removesuffix(".parquet")
        found = store.get_with_etag(bucket, RunFiles(run).receipt)
        try:
            receipt = msgspec.json.decode(found[0], type=Receipt) if found else None
        except DecodeError:
            receipt = None
        counts = receipt.counts or {} if receipt and receipt.family == family else {}
        read += counts.get("lines_read", 0)
        rejected += counts.get("lines_rejected", 0)
    value = rejected / read if read else None
    return Measure(
        name="rejected",
        what="lines refused",
        value=None if value is None else round(value, 4),
        limit=percent / 100,
        drifted=value is not None and value > percent / 100,
    )


def _write(report: DriftReport, bucket: str, live: LiveModel | None) -> Drift:
    page, document = (monitoring_key(report.day, name, report.family) for name in ("report.html", "report.json"))
    store.put(bucket, page, drift_html(to_builtins(report)), "text/html; charset=utf-8")
    store.put_json(bucket, document, report)
    by_name = {measure.name: measure for measure in report.measures}
    indices = [measure.value for measure in report.measures if measure.bins and measure.value is not None]
    return Drift(
        day=report.day,
        lines=report.lines,
        drifted=sum(measure.drifted for measure in report.measures),
        largest_psi=max(indices, default=None),
        flagged_percent=_percent(by_name.get("flagged")),
        unseen_percent=_percent(by_name.get("unseen")),
        catch_percent=_percent(by_name.get("catch_rate")),
        model_age_days=live.age_days(datetime.now(UTC)) if live else None,
    )


def _percent(measure: Measure | None) -> float | None:
    return None if measure is None or measure.value is None else round(100 * measure.value, 2)
