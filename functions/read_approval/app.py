"""Reads what was decided in the model registry, and whether the model has an endpoint."""

from suspicious_lines.approving import read_approval
from suspicious_lines.observability import entry_point
from suspicious_lines.registry_messages import Approval, ApprovalRequest
from suspicious_lines.registry_settings import ApprovalSettings

settings = ApprovalSettings.from_environment()


@entry_point(ApprovalRequest)
def handler(request: ApprovalRequest) -> Approval:
    return read_approval(request, settings)
