"""Settings of the functions that compare, promote and restore models."""

from typing import Annotated

from msgspec import Meta

from suspicious_lines.settings import BucketSettings, ScalingSettings, StateMachineArn, TopicArn


class CompareSettings(BucketSettings):
    promotion_margin: Annotated[float, Meta(ge=0, le=1)]
    promotion_agreement: Annotated[float, Meta(ge=0, le=1)]


class RefuseSettings(BucketSettings):
    operators_topic_arn: TopicArn


class RestoreSettings(RefuseSettings):
    models_kept: Annotated[int, Meta(ge=1, le=10)]


class PromoteSettings(ScalingSettings):
    models_kept: Annotated[int, Meta(ge=1, le=10)]
    score_state_machine_arn: StateMachineArn
