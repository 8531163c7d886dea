"""Chooses the threshold and writes the results."""

from suspicious_lines.observability import count, entry_point
from suspicious_lines.results import choose_threshold
from suspicious_lines.settings import ThresholdSettings
from suspicious_lines.train_messages import Results, ThresholdRequest

settings = ThresholdSettings.from_environment()


@entry_point(ThresholdRequest)
def handler(request: ThresholdRequest) -> Results:
    results = choose_threshold(request, settings)
    count(LinesFlagged=results.flagged)
    return results
