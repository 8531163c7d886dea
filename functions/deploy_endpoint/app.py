"""Deploys the trained forest to the run's serverless endpoint."""

from suspicious_lines.deploying import deploy_endpoint
from suspicious_lines.observability import entry_point
from suspicious_lines.settings import HostingSettings
from suspicious_lines.train_messages import DeployRequest, Endpoint

settings = HostingSettings.from_environment()


@entry_point(DeployRequest)
def handler(request: DeployRequest) -> Endpoint:
    return deploy_endpoint(request, settings)
