"""Turns the answers of a transform job into the scores of its parts."""

from suspicious_lines.batch_scoring import finish_transform
from suspicious_lines.large_messages import FinishTransformRequest, Transformed
from suspicious_lines.observability import count, entry_point
from suspicious_lines.settings import BucketSettings

settings = BucketSettings.from_environment()


@entry_point(FinishTransformRequest)
def handler(request: FinishTransformRequest) -> Transformed:
    transformed = finish_transform(request, settings)
    count(LinesScored=transformed.lines)
    return transformed
