"""Chooses the threshold and writes the results."""

from suspicious_lines.messages import Results, ThresholdRequest
from suspicious_lines.observability import count, entry_point
from suspicious_lines.results import choose_threshold
from suspicious_lines.settings import ThresholdSettings

settings = ThresholdSettings.from_environment()


@entry_point(ThresholdRequest)
def handler(request: ThresholdRequest) -> Results:
    results = choose_threshold(request, settings)
    count(LinesFlagged=results.flagged)
    return results
