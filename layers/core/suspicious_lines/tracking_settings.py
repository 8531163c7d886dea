"""Settings of the function that tracks runs."""

from pydantic import Field

from suspicious_lines.settings import BucketSettings, ResourcePrefix

# An address, or the ARN of a tracking server that SageMaker manages.
TRACKING_URI = (
    r"^$|^https?://[^@\s]+$|^arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:\d{12}:mlflow-tracking-server/[a-zA-Z0-9-]+$"
)


class TrackSettings(BucketSettings):
    resource_prefix: ResourcePrefix
    experiment: str = Field(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,99}$", description="and `-2026-11`: its trials")
    split_seed: int
    mlflow_tracking_uri: str = Field(pattern=TRACKING_URI)
