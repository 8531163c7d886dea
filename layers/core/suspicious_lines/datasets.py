"""The Parquet parts of a run.

Where hundreds of invocations touch one part each, pyarrow does, because importing awswrangler makes a cold start long.
The datasets that are read as a whole are awswrangler's.
"""

import functools
import io
from typing import TYPE_CHECKING, Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq

from suspicious_lines import store

if TYPE_CHECKING:
    import pandas as pd


def write_part(table: pa.Table, bucket: str, key: str) -> None:
    """One object; snappy, because the AWS-managed pandas layer reads nothing newer."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="snappy")
    store.put(bucket, key, sink.getvalue(), "application/vnd.apache.parquet")


def read_part(bucket: str, key: str, columns: list[str]) -> pa.Table:
    # read_table would do the same with pyarrow.dataset, which it imports for that.
    return pq.ParquetFile(pa.BufferReader(store.get_bytes(bucket, key))).read(columns=columns)


def read_dataset(bucket: str, keys: list[str]) -> "pd.DataFrame":
    """The rows of these objects, in the order of `keys`: explicit keys, so that no list permission is needed."""
    import awswrangler as wr

    return wr.s3.read_parquet(path=[f"s3://{bucket}/{key}" for key in keys], boto3_session=_session())


def write_dataset(frame: "pd.DataFrame", bucket: str, key: str) -> None:
    import awswrangler as wr

    path = f"s3://{bucket}/{key}"
    wr.s3.to_parquet(frame, path=path, index=False, compression="snappy", boto3_session=_session())


class _Session(boto3.Session):
    """Has one client for each service: awswrangler asks for another at every call, which takes as long as the call."""

    def __init__(self) -> None:
        super().__init__()
        self._clients: dict[str, Any] = {}

    def client(self, service_name: str, **settings: Any) -> Any:  # type: ignore[override]
        if service_name not in self._clients:
            self._clients[service_name] = super().client(service_name, **settings)  # type: ignore[call-overload]
        return self._clients[service_name]


@functools.cache
def _session() -> _Session:
    return _Session()
