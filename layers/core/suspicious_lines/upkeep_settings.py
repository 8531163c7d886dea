"""Settings of the functions that schedules and CloudFormation call."""

from pydantic import Field

from suspicious_lines.settings import BucketSettings, ClaimTableSettings, FamilySettings, ResourcePrefix, Settings


class UpkeepSettings(BucketSettings):
    """`sweep_minutes`: how old a thing without an end must be before upkeep deals with it."""

    sweep_minutes: int = Field(ge=0)
    operators_topic_arn: str = Field(pattern=r"^arn:aws[a-z-]*:sns:.+$")
    train_state_machine_arn: str = Field(pattern=r"^arn:aws[a-z-]*:states:.+$")
    score_state_machine_arn: str = Field(pattern=r"^arn:aws[a-z-]*:states:.+$")
    review_state_machine_arn: str = Field(pattern=r"^arn:aws[a-z-]*:states:.+$")


class SweepSettings(UpkeepSettings, ClaimTableSettings, FamilySettings):
    reviewers_topic_arn: str = Field(pattern=r"^arn:aws[a-z-]*:sns:.+$")
    report_failure_function_arn: str = Field(pattern=r"^arn:aws[a-z-]*:lambda:.+$")


class OrphanSettings(UpkeepSettings, FamilySettings):
    resource_prefix: ResourcePrefix
    run_retention_days: int = Field(ge=0)
    model_package_group: str  # empty: there is no model registry
    sweep_state_machine_arn: str  # empty: there are no sweeps


class HostedSettings(Settings):
    resource_prefix: ResourcePrefix
    poll_seconds: int = Field(ge=1, le=300)
