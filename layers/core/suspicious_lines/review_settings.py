"""Settings of the functions of the review workflow."""

from pydantic import Field

from suspicious_lines.settings import BucketSettings, FamilySettings


class LearnSettings(BucketSettings, FamilySettings):
    precision_floor: float = Field(gt=0, lt=1)
    recalibration_verdicts: int = Field(ge=0)


class NotifyOfReviewSettings(BucketSettings):
    reviewers_topic_arn: str = Field(pattern=r"^arn:aws[a-z-]*:sns:.+$")
    operators_topic_arn: str = Field(pattern=r"^arn:aws[a-z-]*:sns:.+$")
