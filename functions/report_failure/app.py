"""Cleans up after a failed run, releases its claim and tells people."""

from suspicious_lines.failures import report_failure
from suspicious_lines.messages import Failure, FailureReport
from suspicious_lines.observability import entry_point, gauge
from suspicious_lines.settings import FailureSettings

settings = FailureSettings.from_environment()


@entry_point(FailureReport)
def handler(request: FailureReport) -> Failure:
    failure = report_failure(request, settings)
    gauge(EstimatedCost=failure.estimated_cost)
    return failure
