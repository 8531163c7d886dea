"""Arrow's arrays to and from numpy and lists, without pandas, which pyarrow's own conversions import to look for it.

It would be a third of the memory and of the cold start of the functions that read uploads.
"""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

# The other allocators keep what they once had, which for blocks that come and go is a fifth of the function's memory.
pa.set_memory_pool(pa.system_memory_pool())


def give_back() -> None:
    """Returns to the system the memory that is free between what is held: what comes next may not fit there."""
    pa.default_memory_pool().release_unused()


def array(values: np.ndarray) -> pa.Array:
    """Numbers or truth values, shape [n], as an array of Arrow."""
    bits = np.packbits(values, bitorder="little") if values.dtype == bool else np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(bits)])


def texts(values: Iterable[str]) -> pa.StringArray:
    encoded = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))


def numbers(values: pa.Array, dtype: type[np.generic]) -> np.ndarray:
    """Numbers without nulls, shape [n]: a view."""
    return np.frombuffer(values.buffers()[1] or b"", dtype, len(values), values.offset * np.dtype(dtype).itemsize)


def codes(cells: pa.DictionaryArray) -> np.ndarray:
    return numbers(cells.indices, np.int32)


def distinct(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct rows of a matrix, bit by bit, and for each row which of them it is: shape [n]."""
    width = rows.shape[1]
    cells = pa.binary(width * rows.itemsize)
    values = pa.py_buffer(np.ascontiguousarray(rows))
    coded = pa.Array.from_buffers(cells, len(rows), [None, values]).dictionary_encode()
    return np.frombuffer(coded.dictionary.buffers()[1] or b"", rows.dtype).reshape(-1, width), codes(coded)


def truths(values: pa.BooleanArray) -> np.ndarray:
    """A mask in which null counts as false, shape [n]."""
    end = values.offset + len(values)
    bits = [np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little") for bits in values.buffers() if bits]
    return np.logical_and.reduce([some[values.offset : end] for some in bits])
