"""Encoded lines as the built-in Random Cut Forest reads them."""

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv

from suspicious_lines.encoder import Encoder


def labelled_features_csv(encoder: Encoder, lines: pd.DataFrame, is_error: np.ndarray) -> bytes:
    """As `features_csv`, with the label (1 or 0) in front: what the algorithm's test channel reads."""
    rows = features_csv(encoder, lines).splitlines(keepends=True)
    return b"".join(b"%d,%s" % (label, row) for label, row in zip(is_error, rows, strict=True))


def features_csv(encoder: Encoder, lines: pd.DataFrame) -> bytes:
    """Headerless CSV of the encoded lines, four decimals."""
    encoded = np.round(encoder.encode(lines), 4)
    # Zeros without a point and a sign: most cells are zeros, and they are sent to the endpoint.
    columns = [
        pa.array(column.astype(np.int8) if (column == column.astype(np.int8)).all() else column) for column in encoded.T
    ]
    sink = io.BytesIO()
    table = pa.table(columns, names=[str(i) for i in range(len(columns))])
    pa_csv.write_csv(table, sink, pa_csv.WriteOptions(include_header=False))
    return sink.getvalue()
