"""Chooses the threshold and writes the results."""

from suspicious_lines.messages import Results, ThresholdRequest
from suspicious_lines.observability import count, entry_point
from suspicious_lines.results import write_results
from suspicious_lines.settings import ThresholdSettings

settings = ThresholdSettings.from_environment()


@entry_point(ThresholdRequest)
def handler(request: ThresholdRequest) -> Results:
    results = write_results(request, settings)
    count(LinesFlagged=results.flagged)
    return results
