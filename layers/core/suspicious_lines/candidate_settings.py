"""Settings of the functions of a sweep."""

from pydantic import Field

from suspicious_lines.settings import BucketSettings, ResourcePrefix


class CandidateSettings(BucketSettings):
    resource_prefix: ResourcePrefix


class PlanSettings(CandidateSettings):
    batch_instance_type: str
    most_sweep_dollars: float = Field(gt=0)


class TrainCandidateSettings(CandidateSettings):
    poll_seconds: int = Field(ge=1, le=300)


class SweepEndSettings(CandidateSettings):
    operators_topic_arn: str = Field(pattern=r"^arn:aws[a-z-]*:sns:.+$")
