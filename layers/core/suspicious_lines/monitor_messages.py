"""What the states that look for drift hand to the functions and get back."""

from datetime import date
from typing import Any

from suspicious_lines.messages import AwareDatetime, Message, Run


class DriftRequest(Message):
    """`input`: that of the execution, `{"day": "2026-11-23"}`, or `{}` for the day before it started, in UTC."""

    run: Run
    input: dict[str, Any]
    started_at: AwareDatetime


class Drift(Message):
    """What was measured of a day's lines, as CloudWatch gets it; null where there is nothing to measure."""

    day: date
    lines: int
    drifted: int
    largest_psi: float | None = None
    flagged_percent: float | None = None
    unseen_percent: float | None = None
    catch_percent: float | None = None
    model_age_days: float | None = None


class DriftMailRequest(Message):
    run: Run
    day: date
