"""The Parquet parts of a run.

Where hundreds of invocations touch one part each, pyarrow does, because importing awswrangler makes a cold start long.
The datasets that are read as a whole are awswrangler's.
"""

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from suspicious_lines import store

if TYPE_CHECKING:
    import pandas as pd


def write_part(table: pa.Table, bucket: str, key: str) -> None:
    """One object; snappy, because the AWS-managed pandas layer reads nothing newer.

    Numbers are written as they are: to look for equal ones takes more memory than the smaller part is worth.
    """
    sink = pa.BufferOutputStream()
    texts = [column.name for column in table.schema if pa.types.is_dictionary(column.type)]
    pq.write_table(table, sink, compression="snappy", use_dictionary=texts)
    store.put(bucket, key, sink.getvalue().to_pybytes(), "application/vnd.apache.parquet")


def read_part(bucket: str, key: str, columns: list[str]) -> pa.Table:
    # read_table would do the same with pyarrow.dataset, which it imports for that.
    return pq.ParquetFile(pa.BufferReader(store.get_bytes(bucket, key))).read(columns=columns)


def read_dataset(bucket: str, keys: list[str]) -> "pd.DataFrame":
    """The rows of these objects, in the order of `keys`: explicit keys, so that no list permission is needed."""
    import awswrangler as wr

    from suspicious_lines.wrangler_session import session

    return wr.s3.read_parquet(path=[f"s3://{bucket}/{key}" for key in keys], boto3_session=session())


def write_dataset(frame: "pd.DataFrame", bucket: str, key: str) -> None:
    import awswrangler as wr

    from suspicious_lines.wrangler_session import session

    path = f"s3://{bucket}/{key}"
    wr.s3.to_parquet(frame, path=path, index=False, compression="snappy", boto3_session=session())
