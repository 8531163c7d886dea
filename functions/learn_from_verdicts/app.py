"""Measures the live model by the verdicts, moves its threshold and proposes suppressions."""

from suspicious_lines.observability import entry_point, gauge
from suspicious_lines.review_messages import LearnRequest, Lessons
from suspicious_lines.review_settings import LearnSettings
from suspicious_lines.reviewing import learn_from_verdicts

settings = LearnSettings.from_environment()


@entry_point(LearnRequest)
def handler(request: LearnRequest) -> Lessons:
    lessons = learn_from_verdicts(request, settings)
    if lessons.precision is not None:
        gauge(LivePrecision=lessons.precision)
    return lessons
