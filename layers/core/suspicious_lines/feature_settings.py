"""Settings of the function that feeds the feature store."""

from pydantic import Field

from suspicious_lines.settings import FEATURE_GROUP, BucketSettings


class IngestSettings(BucketSettings):
    """`aws_lambda_function_name`: the function's own, as Lambda tells it."""

    feature_group: str = Field(min_length=1, pattern=FEATURE_GROUP)
    aws_lambda_function_name: str = Field(min_length=1)
