"""Settings of the functions of large files."""

from pydantic import Field

from suspicious_lines.settings import GROUP_ID, SUBNET_IDS, BucketSettings, PreprocessSettings, ResourcePrefix


class BatchSettings(BucketSettings):
    resource_prefix: ResourcePrefix
    batch_instance_type: str
    data_key_arn: str = Field(pattern=r"^arn:aws[a-z-]*:kms:.+$")
    poll_seconds: int = Field(ge=1, le=300)


class StartPreprocessingSettings(BatchSettings, PreprocessSettings):
    """`layers`: the versions of this function's layers, separated by commas; the job runs what they hold."""

    training_subnet_ids: str = SUBNET_IDS
    training_group_id: str = GROUP_ID
    batch_role_arn: str = Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/.+$")
    batch_max_runtime_seconds: int = Field(ge=60, le=10_800)
    layers: str = Field(pattern=r"^arn:aws[a-z-]*:lambda:.+$")
    aws_region: str
