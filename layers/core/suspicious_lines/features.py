"""Encoded lines as the built-in Random Cut Forest reads them."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from suspicious_lines import arrow
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
    comma = arrow.texts([","]).take(arrow.array(np.zeros(len(place), dtype=np.int8)))
    columns = [_texts(column) for column in encoder.numbers(lines, keys, place).T]
    slots = encoder.slots(keys)
    cells = np.array(_texts(slots.ravel()).to_pylist(), dtype=object).reshape(slots.shape)
    ends = arrow.texts(",".join(row) + "\n" for row in cells.tolist())
    rows = pc.binary_join_element_wise(*columns, ends.take(arrow.array(place)), comma)
    _, ends_of_rows, text = rows.buffers()
    return text[: np.frombuffer(ends_of_rows, np.int32)[len(rows)]].to_pybytes()


def _texts(numbers: np.ndarray) -> pa.Array:
    """Four decimals at most; no zero has a sign."""
    coded = arrow.array(np.round(numbers, 4) + np.float32(0)).dictionary_encode()
    return coded.dictionary.cast(pa.string()).take(coded.indices)
