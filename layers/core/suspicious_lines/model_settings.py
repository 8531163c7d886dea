"""Settings of the functions that compare, promote and restore models."""

from pydantic import Field

from suspicious_lines.settings import BucketSettings, ScalingSettings


class CompareSettings(BucketSettings):
    promotion_margin: float = Field(ge=0, le=1)
    promotion_agreement: float = Field(ge=0, le=1)


class RefuseSettings(BucketSettings):
    operators_topic_arn: str = Field(pattern=r"^arn:aws[a-z-]*:sns:.+$")


class RestoreSettings(RefuseSettings):
    models_kept: int = Field(ge=1, le=10)


class PromoteSettings(BucketSettings, ScalingSettings):
    models_kept: int = Field(ge=1, le=10)
    score_state_machine_arn: str = Field(pattern=r"^arn:aws[a-z-]*:states:.+$")
