"""Ends a sweep that failed: nothing of it runs on, and the operators are told."""

from suspicious_lines.candidate_messages import EndedSweep
from suspicious_lines.candidate_settings import SweepEndSettings
from suspicious_lines.messages import FailureReport
from suspicious_lines.observability import entry_point
from suspicious_lines.sweep_end import end_sweep

settings = SweepEndSettings.from_environment()


@entry_point(FailureReport)
def handler(report: FailureReport) -> EndedSweep:
    return end_sweep(report, settings)
