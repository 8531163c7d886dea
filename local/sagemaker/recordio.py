"""RecordIO-protobuf, the built-in algorithms' own format, as far as the forest has to do with it: rows in, scores out.

A file is a sequence of records, each 4 bytes of MAGIC, 4 of length, a `Record` message, and padding to 4 bytes. The
message: https://docs.aws.amazon.com/sagemaker/latest/dg/cdf-training.html
"""

import struct
from collections.abc import Iterator

import numpy as np

from local.sagemaker.errors import DataError

MEDIA_TYPE = "application/x-recordio-protobuf"
MAGIC = 0xCED7230A
# Field numbers of the messages, and the tensors that a value may be.
FEATURES, LABEL = 1, 2
KEY, VALUE = 1, 2
VALUES, KEYS = 1, 2
TENSORS = {2: "<f4", 3: "<f8", 7: "int32"}
VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5


def to_rows(data: bytes, labelled: bool = False) -> np.ndarray:
    """The features `values` of each record, float64, rows x features; `labelled`: with its label as the first column.

    Raises DataError, naming the record, for anything else.
    """
    rows: list[np.ndarray] = []
    for number, record in enumerate(_records(data), start=1):
        try:
            row = _row(record, labelled)
        except (ValueError, IndexError) as error:
            raise DataError(f"record {number} is not a Record message: {error}") from None
        if not len(row):
            raise DataError(f"record {number} has no dense features called values")
        if rows and len(row) != len(rows[0]):
            raise DataError(f"record {number} has {len(row)} values, the first has {len(rows[0])}")
        if not np.isfinite(row).all():
            raise DataError(f"record {number} holds a value that is not a finite number")
        rows.append(row)
    if not rows:
        raise DataError("there are no rows")
    return np.stack(rows)


def from_scores(scores: list[float]) -> bytes:
    """A record for each score, whose label `score` is one float32."""
    return b"".join(_framed(_entry(LABEL, b"score", score)) for score in scores)


def _records(data: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(data):
        if len(data) < place + 8:
            raise DataError(f"byte {place}: the data ends within a record's header")
        magic, length = struct.unpack_from("<II", data, place)
        if magic != MAGIC:
            raise DataError(f"byte {place}: no RecordIO record begins here")
        place += 8
        if len(data) < place + length:
            raise DataError(f"byte {place}: the data ends within a record")
        yield data[place : place + length]
        place += length + -length % 4


def _row(record: bytes, labelled: bool) -> np.ndarray:
    found = {FEATURES: np.empty(0), LABEL: np.empty(0)}
    for field, entry in _fields(record):
        if field in found:
            members = dict(_fields(entry))
            if members.get(KEY) == b"values":
                found[field] = _tensor(members.get(VALUE, b""))
    if labelled and len(found[LABEL]) != 1:
        raise ValueError("it has no label called values")
    return np.concatenate([found[LABEL], found[FEATURES]]) if labelled else found[FEATURES]


def _tensor(value: bytes) -> np.ndarray:
    """The numbers of a dense tensor; they may be packed into one field or stand in one each."""
    for field, tensor in _fields(value):
        if field not in TENSORS:
            continue
        members = list(_fields(tensor))
        if any(number == KEYS for number, _ in members):
            raise ValueError("sparse tensors are not read by the local engine")
        parts = [each for number, each in members if number == VALUES]
        if TENSORS[field] == "int32":
            return np.array([number for part in parts for number in _varints(part)], dtype=np.float64)
        return np.frombuffer(b"".join(parts), dtype=TENSORS[field]).astype(np.float64)
    return np.empty(0)


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and raw value of each field of a protobuf message, a varint as its bytes."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        start, kind = place, tag & 7
        if kind == BYTES:
            length, start = _varint(message, place)
            place = start + length
        elif kind == VARINT:
            _, place = _varint(message, place)
        elif kind in (FOUR, EIGHT):
            place += 4 if kind == FOUR else 8
        else:
            raise ValueError(f"wire type {kind}")
        if place > len(message):
            raise ValueError("it ends within a field")
        yield tag >> 3, message[start:place]


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and where it ends."""
    number, shift = 0, 0
    while True:
        byte = message[place]
        number |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return number, place


def _varints(packed: bytes) -> Iterator[int]:
    place = 0
    while place < len(packed):
        number, place = _varint(packed, place)
        yield number - (1 << 64) if number >> 63 else number  # negative ones are written as 64 bits


def _entry(field: int, key: bytes, value: float) -> bytes:
    """A map entry of a Record: `key` with a float32 tensor of one value."""
    tensor = _delimited(VALUES, struct.pack("<f", value))
    return _delimited(field, _delimited(KEY, key) + _delimited(VALUE, _delimited(2, tensor)))


def _delimited(field: int, body: bytes) -> bytes:
    return bytes((field << 3 | BYTES, len(body))) + body  # all of ours are shorter than 128 bytes


def _framed(record: bytes) -> bytes:
    return struct.pack("<II", MAGIC, len(record)) + record + bytes(-len(record) % 4)
