"""Settings of the functions that schedules and CloudFormation call."""

from typing import Annotated

from msgspec import Meta

from suspicious_lines.settings import (
    BucketSettings,
    Families,
    ResourcePrefix,
    Settings,
    StateMachineArn,
    TableName,
    TopicArn,
)


class UpkeepSettings(BucketSettings):
    """`sweep_minutes`: how old a thing without an end must be before upkeep deals with it."""

    sweep_minutes: Annotated[int, Meta(ge=0)]
    operators_topic_arn: TopicArn
    train_state_machine_arn: StateMachineArn
    score_state_machine_arn: StateMachineArn
    review_state_machine_arn: StateMachineArn


class SweepSettings(UpkeepSettings):
    claim_table: TableName
    families: Families
    reviewers_topic_arn: TopicArn
    report_failure_function_arn: Annotated[str, Meta(pattern=r"^arn:aws[a-z-]*:lambda:.+\Z")]


class OrphanSettings(UpkeepSettings):
    families: Families
    resource_prefix: ResourcePrefix
    run_retention_days: Annotated[int, Meta(ge=0)]
    model_package_group: str  # empty: there is no model registry
    sweep_state_machine_arn: str  # empty: there are no sweeps


class HostedSettings(Settings):
    resource_prefix: ResourcePrefix
    poll_seconds: Annotated[int, Meta(ge=1, le=300)]
