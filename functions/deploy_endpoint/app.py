"""Deploys the trained forest to the run's serverless endpoint."""

from suspicious_lines.hosting import deploy_endpoint
from suspicious_lines.messages import DeployRequest, Endpoint
from suspicious_lines.observability import entry_point
from suspicious_lines.settings import HostingSettings

settings = HostingSettings.from_environment()


@entry_point(DeployRequest)
def handler(request: DeployRequest) -> Endpoint:
    return deploy_endpoint(request, settings)
