"""Deletes a model that is not as good as the live one and tells the operators."""

from suspicious_lines.model_messages import Refused, RefuseRequest
from suspicious_lines.model_settings import RefuseSettings
from suspicious_lines.observability import entry_point
from suspicious_lines.promotion import refuse_model

settings = RefuseSettings.from_environment()


@entry_point(RefuseRequest)
def handler(request: RefuseRequest) -> Refused:
    return refuse_model(request, settings)
