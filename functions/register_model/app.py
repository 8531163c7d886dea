"""Registers the model that a run trained in the model registry."""

from suspicious_lines.observability import entry_point
from suspicious_lines.registering import register_model
from suspicious_lines.registry_messages import Registered, RegisterRequest
from suspicious_lines.registry_settings import RegisterSettings

settings = RegisterSettings.from_environment()


@entry_point(RegisterRequest)
def handler(request: RegisterRequest) -> Registered:
    return register_model(request, settings)
