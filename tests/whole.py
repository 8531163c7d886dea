"""A whole upload in memory, for tests whose files are small."""

import io
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from suspicious_lines import lines
from suspicious_lines.checking import FIELDS, TEXT_COLUMNS, Refusal
from suspicious_lines.ledes import Mapping

TEXT_FIELDS = [FIELDS[name] for name in TEXT_COLUMNS]
TEXT = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    dict.fromkeys(TEXT_FIELDS, TEXT)
    | {"line": pa.int64(), "error": pa.bool_()}
    | {name: pa.float64() for name in ("minutes", "fee", "total")}
)


@dataclass(frozen=True)
class Lines:
    """`accepted`: a frame in file order; text columns are categories, `error` is a nullable boolean."""

    accepted: pd.DataFrame
    refused: list[Refusal]
    occasions: pd.Series | None
    counts: lines.Counts

    @property
    def read(self) -> int:
        return len(self.accepted) + len(self.refused)


def read_lines(stream: io.RawIOBase, key: str, mapping: Mapping | None = None) -> Lines:
    counts, batches, refused = lines.Counts(), [], []
    for checked in lines.read_lines(stream, key, mapping):
        counts.add(checked)
        batches.append(checked.accepted)
        refused += checked.refused
    table = pa.Table.from_batches(batches, None if batches else SCHEMA).unify_dictionaries()
    accepted = table.to_pandas().astype({"error": "boolean"})
    for column in TEXT_FIELDS:
        accepted[column] = accepted[column].cat.set_categories(sorted(set(accepted[column])))
    return Lines(accepted, refused, accepted.pop("occasion") if "occasion" in accepted else None, counts)
