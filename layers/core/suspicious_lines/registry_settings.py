"""Settings of the functions that keep the model registry."""

from typing import Annotated

from msgspec import Meta

from suspicious_lines.settings import BucketSettings, ResourcePrefix, ScalingSettings, TopicArn


class RegisterSettings(BucketSettings):
    resource_prefix: ResourcePrefix
    model_package_group: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}\Z")]
    aws_region: str


class ApprovalSettings(BucketSettings):
    resource_prefix: ResourcePrefix


class ApproveSettings(ScalingSettings):
    operators_topic_arn: TopicArn
    models_kept: Annotated[int, Meta(ge=1, le=10)]
