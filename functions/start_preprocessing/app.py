"""Starts the processing job that reads a large file."""

from suspicious_lines.batch_preprocessing import start_preprocessing
from suspicious_lines.large_messages import BatchJob, PreprocessingRequest
from suspicious_lines.large_settings import StartPreprocessingSettings
from suspicious_lines.observability import entry_point

settings = StartPreprocessingSettings.from_environment()


@entry_point(PreprocessingRequest)
def handler(request: PreprocessingRequest) -> BatchJob:
    return start_preprocessing(request, settings)
