"""Flags new lines by the live model's threshold and writes the results."""

from suspicious_lines.observability import count, entry_point
from suspicious_lines.results import flag_lines
from suspicious_lines.score_messages import FlagRequest
from suspicious_lines.settings import FlagSettings
from suspicious_lines.train_messages import Results

settings = FlagSettings.from_environment()


@entry_point(FlagRequest)
def handler(request: FlagRequest) -> Results:
    answer = flag_lines(request, settings)
    count(LinesFlagged=answer.flagged)
    return answer
