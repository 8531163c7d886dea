"""Settings of the functions that look for drift."""

from typing import Annotated

from msgspec import Meta

from suspicious_lines.settings import BucketSettings, Families, TopicArn


class DriftSettings(BucketSettings):
    families: Families
    split_seed: Annotated[int, Meta(ge=0, le=2**32 - 1)]
    rejected_percent: Annotated[float, Meta(ge=0, lt=100)]


class DriftMailSettings(BucketSettings):
    families: Families
    operators_topic_arn: TopicArn
