"""Bars a model that was rejected in the model registry from going live."""

from suspicious_lines.approving import reject_model
from suspicious_lines.model_settings import RefuseSettings
from suspicious_lines.observability import entry_point
from suspicious_lines.registry_messages import Decided, RejectRequest

settings = RefuseSettings.from_environment()


@entry_point(RejectRequest)
def handler(request: RejectRequest) -> Decided:
    return reject_model(request, settings)
