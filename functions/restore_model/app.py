"""Makes a former model the live one again."""

from suspicious_lines.model_messages import Restored, RestoreRequest
from suspicious_lines.model_settings import RestoreSettings
from suspicious_lines.observability import entry_point
from suspicious_lines.restoring import restore_model

settings = RestoreSettings.from_environment()


@entry_point(RestoreRequest)
def handler(request: RestoreRequest) -> Restored:
    return restore_model(request, settings)
