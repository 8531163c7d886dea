"""The Parquet datasets of a run, by awswrangler."""

import awswrangler as wr
import pandas as pd


def write_parquet(frame: pd.DataFrame, bucket: str, key: str) -> None:
    """One object; snappy, because the AWS-managed pandas layer reads nothing newer."""
    wr.s3.to_parquet(frame, path=f"s3://{bucket}/{key}", index=False, compression="snappy")


def read_parquet(bucket: str, keys: list[str], columns: list[str] | None = None) -> pd.DataFrame:
    """The rows of these objects, in the order of `keys`: explicit keys, so that no list permission is needed."""
    frames = [wr.s3.read_parquet(path=f"s3://{bucket}/{key}", columns=columns) for key in keys]
    return pd.concat(frames, ignore_index=True)
