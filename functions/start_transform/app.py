"""Starts the transform job that scores the lines of a large file."""

from suspicious_lines.batch_transform import start_transform
from suspicious_lines.large_messages import BatchJob, TransformRequest
from suspicious_lines.large_settings import BatchSettings
from suspicious_lines.observability import entry_point

settings = BatchSettings.from_environment()


@entry_point(TransformRequest)
def handler(request: TransformRequest) -> BatchJob:
    return start_transform(request, settings)
