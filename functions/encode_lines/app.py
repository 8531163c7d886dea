"""Validates new lines and encodes them for the live model."""

from suspicious_lines import store
from suspicious_lines.layout import RunFiles
from suspicious_lines.observability import count, entry_point, gauge
from suspicious_lines.preprocessing import encode_lines
from suspicious_lines.score_messages import Encoded, EncodeRequest
from suspicious_lines.settings import EncodeSettings

settings = EncodeSettings.from_environment()


@entry_point(EncodeRequest)
def handler(request: EncodeRequest) -> Encoded:
    answer = encode_lines(request, settings)
    store.put_json(settings.data_bucket, RunFiles(request.run).parts, answer.dataset.parts)
    count(LinesRead=answer.dataset.lines_read, LinesRejected=answer.dataset.lines_rejected)
    gauge(LiveModelAgeDays=answer.model_age_days)
    return answer
