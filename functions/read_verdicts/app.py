"""Checks reviewers' verdicts and adds the good ones to the judged lines."""

from suspicious_lines.observability import count, entry_point
from suspicious_lines.review_messages import Verdicts, VerdictsRequest
from suspicious_lines.reviewing import read_verdicts
from suspicious_lines.settings import BucketSettings

settings = BucketSettings.from_environment()


@entry_point(VerdictsRequest)
def handler(request: VerdictsRequest) -> Verdicts:
    verdicts = read_verdicts(request, settings)
    count(VerdictsRead=verdicts.counts.read, VerdictsRejected=verdicts.counts.rejected)
    return verdicts
