"""Scores one part of the validation lines by the endpoint."""

from suspicious_lines.messages import Scored, ScoreRequest
from suspicious_lines.observability import count, entry_point
from suspicious_lines.scoring import score_part
from suspicious_lines.settings import BucketSettings

settings = BucketSettings.from_environment()


@entry_point(ScoreRequest)
def handler(request: ScoreRequest) -> Scored:
    scored = score_part(request, settings)
    count(LinesScored=scored.lines)
    return scored
