"""Makes a model that was approved in the model registry the live one."""

from suspicious_lines.approving import approve_model
from suspicious_lines.observability import entry_point
from suspicious_lines.registry_messages import ApproveRequest, Decided
from suspicious_lines.registry_settings import ApproveSettings

settings = ApproveSettings.from_environment()


@entry_point(ApproveRequest)
def handler(request: ApproveRequest) -> Decided:
    return approve_model(request, settings)
