"""Settings of the functions: read once from the environment at cold start and validated."""

import os
import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from suspicious_lines.errors import SettingsError
from suspicious_lines.messages import BUDGET_PATTERN, SizeLimits, Strategy

# SageMaker's names end at 63 characters; prefix + run's part (22) must fit.
ResourcePrefix = Annotated[str, Field(pattern=r"^[a-zA-Z][a-zA-Z0-9-]{0,39}$")]


# Of the network for SageMaker's jobs; empty, in no network of ours.
SUBNET_IDS = Field(pattern=r"^$|^subnet-[0-9a-f]+(,subnet-[0-9a-f]+)*$")
GROUP_ID = Field(pattern=r"^$|^sg-[0-9a-f]+$")
# ml.m5d.large, ml.c6id.xlarge: SageMaker refuses a key for disks that the hardware itself encrypts.
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ResourceConfig.html
LOCAL_DISK = re.compile(r"ml\.[a-z]+\d[a-z]*d[a-z]*\.")


# The name of the feature group, a name as SageMaker takes it; empty, there is none.
FEATURE_GROUP = r"^$|^[a-zA-Z0-9]([_-]*[a-zA-Z0-9]){0,63}$"


class Settings(BaseModel):
    """Base of all the settings: a field `data_bucket` is the environment variable `DATA_BUCKET`."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    @classmethod
    def from_environment(cls) -> Self:
        """The settings of this process.

        Raises:
            SettingsError: naming every variable that is missing or does not fit.
        """
        given = {name: os.environ[name.upper()] for name in cls.model_fields if name.upper() in os.environ}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            faults = "; ".join(f"{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
            raise SettingsError(f"The function's environment is wrong: {faults}") from error


class BucketSettings(Settings):
    data_bucket: str = Field(min_length=3)


class ClaimTableSettings(Settings):
    claim_table: str = Field(min_length=3)


class FamilySettings(Settings):
    """`families`: their names, with a comma between them; empty, there are none."""

    families: str = Field(pattern=r"^$|^[a-z0-9][a-z0-9-]{0,30}(,[a-z0-9][a-z0-9-]{0,30})*$")

    @property
    def family_names(self) -> tuple[str, ...]:
        return tuple(filter(None, self.families.split(",")))


class ClaimSettings(ClaimTableSettings, FamilySettings):
    distributed_above_mb: float = Field(ge=0)
    batch_above_mb: float = Field(ge=0)

    def size_limits(self) -> SizeLimits:
        return SizeLimits(
            distributed_above=round(self.distributed_above_mb * 1_000_000),
            batch_above=round(self.batch_above_mb * 1_000_000),
        )


class EncodeSettings(BucketSettings):
    lines_per_part: int = Field(ge=100, le=20_000)


class PreprocessSettings(EncodeSettings):
    """`feature_group`: where the run's lines are stored; empty, nowhere. `train_on_stored_days`: how old those are at
    most, of that store, that a model is trained on as well; 0, on none."""

    split_seed: int = Field(ge=0, le=2**32 - 1)
    feature_group: str = Field(pattern=FEATURE_GROUP)
    train_on_stored_days: int = Field(ge=0, le=3650)


class SageMakerSettings(Settings):
    resource_prefix: ResourcePrefix
    training_role_arn: str = Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/.+$")
    poll_seconds: int = Field(ge=1, le=300)
    aws_region: str


class TrainingSettings(SageMakerSettings, BucketSettings):
    training_instance_type: str
    training_max_runtime_seconds: int = Field(ge=60, le=10_800)
    data_key_arn: str = Field(pattern=r"^arn:aws[a-z-]*:kms:.+$")
    training_subnet_ids: str = SUBNET_IDS
    training_group_id: str = GROUP_ID
    num_trees: int = Field(ge=50, le=1000)
    num_samples_per_tree: int = Field(ge=1, le=2048)


HostingMode = Literal["serverless", "provisioned", "real-time", "async", "batch"]


class ScalingSettings(Settings):
    """`invocations_per_instance`: a minute."""

    endpoint_max_concurrency: int = Field(ge=1, le=200)
    provisioned_concurrency: int = Field(ge=1, le=200)
    endpoint_max_instances: int = Field(ge=1, le=20)
    invocations_per_instance: int = Field(ge=1, le=100_000)


class HostingSettings(SageMakerSettings, BucketSettings):
    """Topics are of the mode async, and empty in all others."""

    hosting_mode: HostingMode
    endpoint_memory_mb: int = Field(ge=1024, le=6144, multiple_of=1024)
    endpoint_max_concurrency: int = Field(ge=1, le=200)
    provisioned_concurrency: int = Field(ge=1, le=200)
    endpoint_instance_type: str
    endpoint_instances: int = Field(ge=1, le=20)
    capture_percent: int = Field(ge=0, le=100)
    data_key_arn: str = Field(pattern=r"^arn:aws[a-z-]*:kms:.+$")
    success_topic_arn: str = Field(pattern=r"^$|^arn:aws[a-z-]*:sns:.+$")
    error_topic_arn: str = Field(pattern=r"^$|^arn:aws[a-z-]*:sns:.+$")


class FlagSettings(BucketSettings):
    spreadsheet_bom: bool


class ThresholdSettings(FlagSettings):
    threshold_strategy: Strategy
    review_budget: str = Field(pattern=BUDGET_PATTERN)
    precision_floor: float = Field(gt=0, lt=1)
    f_beta: float = Field(gt=0)


class NotifySettings(BucketSettings):
    notify_by_firm: bool
    reviewers_topic_arn: str = Field(pattern=r"^arn:aws[a-z-]*:sns:.+$")


class ParkSettings(BucketSettings, ClaimTableSettings):
    operators_topic_arn: str = Field(pattern=r"^arn:aws[a-z-]*:sns:.+$")


class ReceiptSettings(BucketSettings):
    resource_prefix: ResourcePrefix
    batch_instance_type: str
    training_instance_type: str
    endpoint_memory_mb: int = Field(ge=1024, le=6144)
    endpoint_instance_type: str


class WriteReceiptSettings(ReceiptSettings):
    """`train_on_stored_days`: above 0, trainings note what the feature store gave to them."""

    train_on_stored_days: int = Field(ge=0, le=3650)


class FailureSettings(ReceiptSettings, ClaimTableSettings, FamilySettings):
    """`former_hosting_mode`: that of runs which began before the stack was switched to another."""

    hosting_mode: HostingMode
    former_hosting_mode: HostingMode
    reviewers_topic_arn: str = Field(pattern=r"^arn:aws[a-z-]*:sns:.+$")
    operators_topic_arn: str = Field(pattern=r"^arn:aws[a-z-]*:sns:.+$")
