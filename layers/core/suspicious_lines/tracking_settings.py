"""Settings of the function that tracks runs."""

from typing import Annotated

from msgspec import Meta

from suspicious_lines.settings import BucketSettings, ResourcePrefix

# An address, or the ARN of a tracking server that SageMaker manages.
TRACKING_URI = (
    r"^\Z|^https?://[^@\s]+\Z|^arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:\d{12}:mlflow-tracking-server/[a-zA-Z0-9-]+\Z"
)


class TrackSettings(BucketSettings):
    resource_prefix: ResourcePrefix
    experiment: Annotated[
        str, Meta(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,99}\Z", description="and `-2026-11`: its trials")
    ]
    split_seed: int
    mlflow_tracking_uri: Annotated[str, Meta(pattern=TRACKING_URI)]
