"""Encoded lines as the built-in Random Cut Forest reads them."""

import numpy as np
import pyarrow as pa

from suspicious_lines import arrow
from suspicious_lines.encoder import CATEGORIES, Encoder
from suspicious_lines.peers import Lines, groups, number

_NUMBERS = ["minutes", "fee", "total"]


def labelled_features_csv(encoder: Encoder, lines: Lines, is_error: np.ndarray) -> bytes:
    """As `features_csv`, with the label (1 or 0) in front: what the algorithm's test channel reads."""
    rows = feature_rows(encoder, lines).to_pylist()
    return "".join(f"{label:d},{row}" for label, row in zip(is_error, rows, strict=True)).encode()


def features_csv(encoder: Encoder, lines: Lines) -> bytes:
    """Headerless CSV of the encoded lines, four decimals."""
    return joined(feature_rows(encoder, lines))


def joined(rows: pa.StringArray) -> bytes:
    """The texts of an array, or of a slice of one, in one piece."""
    _, ends, text = rows.buffers()
    start, end = np.frombuffer(ends, np.int32)[[rows.offset, rows.offset + len(rows)]]
    return text[start:end].to_pybytes()


def feature_rows(encoder: Encoder, lines: Lines) -> pa.StringArray:
    """Each line's record of `features_csv`.

    Many lines are equal in all that is encoded, and many more in what comes of it: each is encoded, and written, once.
    """
    keys, place = groups(lines, CATEGORIES)
    read, of_line = arrow.distinct(np.stack([place, *(number(lines, name) for name in _NUMBERS)], axis=1))
    place = read[:, 0].astype(np.int64)
    numbers = encoder.numbers(dict(zip(_NUMBERS, read.T[1:], strict=True)), keys, place)
    # Four decimals at most; no zero has a sign.
    numbers = np.round(numbers, 4) + np.float32(0)
    kinds = place.astype(np.float32)[:, None]  # exact: there are less than 2**24
    written, of_read = arrow.distinct(np.hstack([numbers, kinds]))
    ends = _ends(encoder.slots(keys)).take(arrow.array(written[:, -1].astype(np.int32)))
    return _rows(written[:, :-1], ends).take(arrow.array(of_read[of_line]))


def stored_rows(encoder: Encoder, numbers: np.ndarray, places: np.ndarray) -> pa.StringArray:
    """The records of lines whose features were kept: NUMERIC_FEATURES, shape [n, 5], and what `Encoder.one_hot` takes,
    shape [n, 3]."""
    kinds, of_line = arrow.distinct(places)
    ends = _ends(encoder.one_hot(kinds)).take(arrow.array(of_line))
    return _rows(numbers.astype(np.float32), ends)


def _ends(slots: np.ndarray) -> pa.StringArray:
    """Where each record ends: its features of categories."""
    cells = np.array(_texts(slots.ravel()).to_pylist(), dtype=object).reshape(slots.shape)
    return arrow.texts(",".join(row) + "\n" for row in cells.tolist())


def _rows(numbers: np.ndarray, ends: pa.StringArray) -> pa.StringArray:
    import pyarrow.compute as pc  # which would make the cold start of those that may not encode longer

    columns = [_texts(column) for column in numbers.T]
    return pc.binary_join_element_wise(*columns, ends, arrow.texts([","])[0])


def _texts(numbers: np.ndarray) -> pa.Array:
    """Formatting is what takes time, so each distinct number is formatted once."""
    coded = arrow.array(numbers).dictionary_encode()
    return coded.dictionary.cast(pa.string()).take(coded.indices)
