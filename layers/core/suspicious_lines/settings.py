"""Settings of the functions: read once from the environment at cold start and validated."""

import os
import re
from typing import Annotated, Literal, Self

from msgspec import Meta, ValidationError, convert
from msgspec.structs import fields

from suspicious_lines.documents import Document
from suspicious_lines.errors import SettingsError
from suspicious_lines.messages import BUDGET_PATTERN, SizeLimits, Strategy

# SageMaker's names end at 63 characters; prefix + run's part (22) must fit.
ResourcePrefix = Annotated[str, Meta(pattern=r"^[a-zA-Z][a-zA-Z0-9-]{0,39}\Z")]
TableName = Annotated[str, Meta(min_length=3)]
# Their names, with a comma between them; empty, there are none.
Families = Annotated[str, Meta(pattern=r"^\Z|^[a-z0-9][a-z0-9-]{0,30}(,[a-z0-9][a-z0-9-]{0,30})*\Z")]
KeyArn = Annotated[str, Meta(pattern=r"^arn:aws[a-z-]*:kms:.+\Z")]
TopicArn = Annotated[str, Meta(pattern=r"^arn:aws[a-z-]*:sns:.+\Z")]
TopicArnOrEmpty = Annotated[str, Meta(pattern=r"^\Z|^arn:aws[a-z-]*:sns:.+\Z")]
StateMachineArn = Annotated[str, Meta(pattern=r"^arn:aws[a-z-]*:states:.+\Z")]
# Of the network for SageMaker's jobs; empty, in no network of ours.
SubnetIds = Annotated[str, Meta(pattern=r"^\Z|^subnet-[0-9a-f]+(,subnet-[0-9a-f]+)*\Z")]
GroupId = Annotated[str, Meta(pattern=r"^\Z|^sg-[0-9a-f]+\Z")]
# ml.m5d.large, ml.c6id.xlarge: SageMaker refuses a key for disks that the hardware itself encrypts.
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ResourceConfig.html
LOCAL_DISK = re.compile(r"ml\.[a-z]+\d[a-z]*d[a-z]*\.")
# The name of the feature group, a name as SageMaker takes it; empty, there is none.
FEATURE_GROUP = r"^\Z|^[a-zA-Z0-9]([_-]*[a-zA-Z0-9]){0,63}\Z"


class Settings(Document):
    """Base of all the settings: a field `data_bucket` is the environment variable `DATA_BUCKET`. What several of them
    have is a type where it is not a base: a Struct cannot have two bases with fields."""

    @classmethod
    def from_environment(cls) -> Self:
        """The settings of this process.

        Raises:
            SettingsError: naming every variable that is missing or does not fit.
        """
        values, faults = {}, []
        for field in fields(cls):
            name = field.name.upper()
            try:
                values[field.name] = convert(os.environ[name], field.type, strict=False)
            except KeyError:
                faults.append(f"{name}: is missing")
            except ValidationError as error:
                faults.append(f"{name}: {error}")
        if faults:
            raise SettingsError(f"The function's environment is wrong: {'; '.join(faults)}")
        return cls(**values)


def family_names(families: Families) -> tuple[str, ...]:
    return tuple(filter(None, families.split(",")))


class BucketSettings(Settings):
    data_bucket: Annotated[str, Meta(min_length=3)]


class ClaimSettings(Settings):
    claim_table: TableName
    families: Families
    distributed_above_mb: Annotated[float, Meta(ge=0)]
    batch_above_mb: Annotated[float, Meta(ge=0)]

    def size_limits(self) -> SizeLimits:
        return SizeLimits(
            distributed_above=round(self.distributed_above_mb * 1_000_000),
            batch_above=round(self.batch_above_mb * 1_000_000),
        )


class EncodeSettings(BucketSettings):
    lines_per_part: Annotated[int, Meta(ge=100, le=20_000)]


class PreprocessSettings(EncodeSettings):
    """`feature_group`: where the run's lines are stored; empty, nowhere. `train_on_stored_days`: how old those are at
    most, of that store, that a model is trained on as well; 0, on none."""

    split_seed: Annotated[int, Meta(ge=0, le=2**32 - 1)]
    feature_group: Annotated[str, Meta(pattern=FEATURE_GROUP)]
    train_on_stored_days: Annotated[int, Meta(ge=0, le=3650)]


class SageMakerSettings(BucketSettings):
    resource_prefix: ResourcePrefix
    training_role_arn: Annotated[str, Meta(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/.+\Z")]
    poll_seconds: Annotated[int, Meta(ge=1, le=300)]
    aws_region: str


class TrainingSettings(SageMakerSettings):
    training_instance_type: str
    training_max_runtime_seconds: Annotated[int, Meta(ge=60, le=10_800)]
    data_key_arn: KeyArn
    training_subnet_ids: SubnetIds
    training_group_id: GroupId
    num_trees: Annotated[int, Meta(ge=50, le=1000)]
    num_samples_per_tree: Annotated[int, Meta(ge=1, le=2048)]


HostingMode = Literal["serverless", "provisioned", "real-time", "async", "batch"]


class ScalingSettings(BucketSettings):
    """`invocations_per_instance`: a minute."""

    endpoint_max_concurrency: Annotated[int, Meta(ge=1, le=200)]
    provisioned_concurrency: Annotated[int, Meta(ge=1, le=200)]
    endpoint_max_instances: Annotated[int, Meta(ge=1, le=20)]
    invocations_per_instance: Annotated[int, Meta(ge=1, le=100_000)]


class HostingSettings(SageMakerSettings):
    """Topics are of the mode async, and empty in all others."""

    hosting_mode: HostingMode
    endpoint_memory_mb: Annotated[int, Meta(ge=1024, le=6144, multiple_of=1024)]
    endpoint_max_concurrency: Annotated[int, Meta(ge=1, le=200)]
    provisioned_concurrency: Annotated[int, Meta(ge=1, le=200)]
    endpoint_instance_type: str
    endpoint_instances: Annotated[int, Meta(ge=1, le=20)]
    capture_percent: Annotated[int, Meta(ge=0, le=100)]
    data_key_arn: KeyArn
    success_topic_arn: TopicArnOrEmpty
    error_topic_arn: TopicArnOrEmpty


class FlagSettings(BucketSettings):
    spreadsheet_bom: bool


class ThresholdSettings(FlagSettings):
    threshold_strategy: Strategy
    review_budget: Annotated[str, Meta(pattern=BUDGET_PATTERN)]
    precision_floor: Annotated[float, Meta(gt=0, lt=1)]
    f_beta: Annotated[float, Meta(gt=0)]


class NotifySettings(BucketSettings):
    notify_by_firm: bool
    reviewers_topic_arn: TopicArn


class ParkSettings(BucketSettings):
    claim_table: TableName
    operators_topic_arn: TopicArn


class ReceiptSettings(BucketSettings):
    resource_prefix: ResourcePrefix
    batch_instance_type: str
    training_instance_type: str
    endpoint_memory_mb: Annotated[int, Meta(ge=1024, le=6144)]
    endpoint_instance_type: str


class WriteReceiptSettings(ReceiptSettings):
    """`train_on_stored_days`: above 0, trainings note what the feature store gave to them."""

    train_on_stored_days: Annotated[int, Meta(ge=0, le=3650)]


class FailureSettings(ReceiptSettings):
    """`former_hosting_mode`: that of runs which began before the stack was switched to another."""

    claim_table: TableName
    families: Families
    hosting_mode: HostingMode
    former_hosting_mode: HostingMode
    reviewers_topic_arn: TopicArn
    operators_topic_arn: TopicArn
