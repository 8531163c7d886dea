"""Writes what the trial that goes on has shown so far."""

from suspicious_lines.observability import entry_point
from suspicious_lines.settings import BucketSettings
from suspicious_lines.trial_messages import TrialRequest
from suspicious_lines.trial_report import TrialReport, report_trial

settings = BucketSettings.from_environment()


@entry_point(TrialRequest)
def handler(request: TrialRequest) -> TrialReport:
    return report_trial(request, settings)
