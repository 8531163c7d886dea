"""Makes a run's model the live one and deletes the one it replaces."""

from suspicious_lines.model_messages import LiveModel, PromoteRequest
from suspicious_lines.model_settings import PromoteSettings
from suspicious_lines.observability import entry_point
from suspicious_lines.promotion import promote_model

settings = PromoteSettings.from_environment()


@entry_point(PromoteRequest)
def handler(request: PromoteRequest) -> LiveModel:
    return promote_model(request, settings)
