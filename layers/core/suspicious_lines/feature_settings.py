"""Settings of the function that feeds the feature store."""

from typing import Annotated

from msgspec import Meta

from suspicious_lines.settings import FEATURE_GROUP, BucketSettings


class IngestSettings(BucketSettings):
    """`aws_lambda_function_name`: the function's own, as Lambda tells it."""

    feature_group: Annotated[str, Meta(min_length=1, pattern=FEATURE_GROUP)]
    aws_lambda_function_name: Annotated[str, Meta(min_length=1)]
