"""Encoded lines as the built-in Random Cut Forest reads them."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from suspicious_lines.encoder import CATEGORIES, Encoder
from suspicious_lines.peers import Lines, groups


def labelled_features_csv(encoder: Encoder, lines: Lines, is_error: np.ndarray) -> bytes:
    """As `features_csv`, with the label (1 or 0) in front: what the algorithm's test channel reads."""
    rows = features_csv(encoder, lines).splitlines(keepends=True)
    return b"".join(b"%d,%s" % (label, row) for label, row in zip(is_error, rows, strict=True))


def features_csv(encoder: Encoder, lines: Lines) -> bytes:
    """Headerless CSV of the encoded lines, four decimals.

    Formatting is what takes time, so each distinct number and each combination of categories is formatted once.
    """
    keys, place = groups(lines, CATEGORIES)
    ends = pa.array([",".join(_texts(slots).to_pylist()) + "\n" for slots in encoder.slots(keys)], pa.string())
    columns = [_texts(column) for column in encoder.numbers(lines).T]
    rows = pc.binary_join_element_wise(*columns, ends.take(pa.array(place)), ",")
    return rows.buffers()[2].to_pybytes()


def _texts(numbers: np.ndarray) -> pa.Array:
    """Four decimals at most; no zero has a sign."""
    coded = pa.array(np.round(numbers, 4) + np.float32(0)).dictionary_encode()
    return coded.dictionary.cast(pa.string()).take(coded.indices)
