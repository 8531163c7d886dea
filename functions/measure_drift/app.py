"""Measures how far a day's lines are from those the live model was trained on."""

from suspicious_lines.monitor_messages import Drift, DriftRequest
from suspicious_lines.monitor_settings import DriftSettings
from suspicious_lines.monitoring import measure_drift
from suspicious_lines.observability import count, entry_point, gauge

settings = DriftSettings.from_environment()


@entry_point(DriftRequest)
def handler(request: DriftRequest) -> Drift:
    drift = measure_drift(request, settings)
    count(LinesWatched=drift.lines, MeasuresDrifted=drift.drifted)
    gauge(
        LargestPSI=drift.largest_psi,
        FlaggedPercent=drift.flagged_percent,
        UnseenPercent=drift.unseen_percent,
        CatchPercent=drift.catch_percent,
        LiveModelAgeDays=drift.model_age_days,
    )
    return drift
