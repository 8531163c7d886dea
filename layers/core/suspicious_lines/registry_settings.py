"""Settings of the functions that keep the model registry."""

from pydantic import Field

from suspicious_lines.model_settings import RefuseSettings
from suspicious_lines.settings import BucketSettings, ResourcePrefix, ScalingSettings

GROUP = Field(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$")


class RegisterSettings(BucketSettings):
    resource_prefix: ResourcePrefix
    model_package_group: str = GROUP
    aws_region: str


class ApprovalSettings(BucketSettings):
    resource_prefix: ResourcePrefix


class ApproveSettings(RefuseSettings, ScalingSettings):
    models_kept: int = Field(ge=1, le=10)
