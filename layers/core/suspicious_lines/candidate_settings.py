"""Settings of the functions of a sweep."""

from typing import Annotated

from msgspec import Meta

from suspicious_lines.settings import BucketSettings, ResourcePrefix, TopicArn


class CandidateSettings(BucketSettings):
    resource_prefix: ResourcePrefix


class PlanSettings(CandidateSettings):
    batch_instance_type: str
    most_sweep_dollars: Annotated[float, Meta(gt=0)]


class TrainCandidateSettings(CandidateSettings):
    poll_seconds: Annotated[int, Meta(ge=1, le=300)]


class SweepEndSettings(CandidateSettings):
    operators_topic_arn: TopicArn
