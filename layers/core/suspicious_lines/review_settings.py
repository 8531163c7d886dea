"""Settings of the functions of the review workflow."""

from typing import Annotated

from msgspec import Meta

from suspicious_lines.settings import BucketSettings, Families, TopicArn


class LearnSettings(BucketSettings):
    families: Families
    precision_floor: Annotated[float, Meta(gt=0, lt=1)]
    recalibration_verdicts: Annotated[int, Meta(ge=0)]


class NotifyOfReviewSettings(BucketSettings):
    reviewers_topic_arn: TopicArn
    operators_topic_arn: TopicArn
