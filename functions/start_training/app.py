"""Starts the training job of a run."""

from suspicious_lines.observability import entry_point
from suspicious_lines.settings import TrainingSettings
from suspicious_lines.train_messages import Training, TrainingRequest
from suspicious_lines.training import start_training

settings = TrainingSettings.from_environment()


@entry_point(TrainingRequest)
def handler(request: TrainingRequest) -> Training:
    return start_training(request, settings)
