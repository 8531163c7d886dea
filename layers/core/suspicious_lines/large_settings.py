"""Settings of the functions of large files."""

from typing import Annotated

from msgspec import Meta

from suspicious_lines.settings import BucketSettings, GroupId, KeyArn, PreprocessSettings, ResourcePrefix, SubnetIds


class BatchSettings(BucketSettings):
    resource_prefix: ResourcePrefix
    batch_instance_type: str
    data_key_arn: KeyArn
    poll_seconds: Annotated[int, Meta(ge=1, le=300)]


class StartPreprocessingSettings(PreprocessSettings):
    """The job's own, and what it is started with. `layers`: the versions of this function's layers, separated by
    commas; the job runs what they hold."""

    resource_prefix: ResourcePrefix
    batch_instance_type: str
    data_key_arn: KeyArn
    poll_seconds: Annotated[int, Meta(ge=1, le=300)]
    training_subnet_ids: SubnetIds
    training_group_id: GroupId
    batch_role_arn: Annotated[str, Meta(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/.+\Z")]
    batch_max_runtime_seconds: Annotated[int, Meta(ge=60, le=10_800)]
    layers: Annotated[str, Meta(pattern=r"^arn:aws[a-z-]*:lambda:.+\Z")]
    aws_region: str
