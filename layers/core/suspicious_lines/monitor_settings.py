"""Settings of the functions that look for drift."""

from pydantic import Field

from suspicious_lines.settings import BucketSettings, FamilySettings


class DriftSettings(BucketSettings, FamilySettings):
    split_seed: int = Field(ge=0, le=2**32 - 1)
    rejected_percent: float = Field(ge=0, lt=100)


class DriftMailSettings(BucketSettings, FamilySettings):
    operators_topic_arn: str = Field(pattern=r"^arn:aws[a-z-]*:sns:.+$")
