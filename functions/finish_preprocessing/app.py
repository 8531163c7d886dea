"""Takes what the processing job of a large file has answered."""

from suspicious_lines.batch_preprocessing import finish_preprocessing
from suspicious_lines.large_messages import FinishPreprocessingRequest, Preprocessed
from suspicious_lines.observability import count, entry_point, gauge
from suspicious_lines.settings import BucketSettings

settings = BucketSettings.from_environment()


@entry_point(FinishPreprocessingRequest)
def handler(request: FinishPreprocessingRequest) -> Preprocessed:
    answer = finish_preprocessing(request, settings)
    count(LinesRead=answer.dataset.lines_read, LinesRejected=answer.dataset.lines_rejected)
    gauge(LiveModelAgeDays=answer.model_age_days)
    return answer
