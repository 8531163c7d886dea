"""Which lines of a file are equal to an earlier one, found with memory that does not grow with the file."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa

PARTITIONS = 64
_ENTRY = np.dtype([("high", np.uint64), ("low", np.uint64), ("line", np.int64)])
_ODD = np.uint64(0x9E3779B97F4A7C15)
_NOT_COMPARED = {"line", "error"}


class Repeats:
    """For each line the number of the first line of the file that is equal in every column but the label, or 0.

    Where the format tells the occasion of the work, `occasion` is a column: equal work on two days is no repeat.

    Takes all the accepted lines of a file, in its order: the first of two equal lines may be in the train part. Lines
    are compared by 128 bits of hash: that two of ten million different ones have the same is a chance of 1 in 10**24.
    The hashes lie in files, cut by their first bits, so that equal lines are in the same one.
    """

    def __init__(self, folder: Path) -> None:
        self._files = [(folder / f"hashes-{number}").open("w+b") for number in range(PARTITIONS)]
        self._lines = self._firsts = np.empty(0, dtype=np.int64)

    def add(self, lines: pa.RecordBatch) -> None:
        entries = np.empty(len(lines), dtype=_ENTRY)
        entries["high"], entries["low"] = _hashes(lines)
        entries["line"] = lines["line"]
        partition = (entries["high"] // (2**64 // PARTITIONS)).astype(np.uint8)
        order = np.argsort(partition, kind="stable")
        ends = np.cumsum(np.bincount(partition, minlength=PARTITIONS))
        for file, some in zip(self._files, np.split(entries[order], ends[:-1]), strict=True):
            file.write(some.tobytes())

    def find(self) -> None:
        """To be called once, after the last line."""
        found = []
        for file in self._files:
            file.seek(0)
            found.append(_repeated(np.fromfile(file, dtype=_ENTRY)))
            file.close()
        lines, firsts = np.concatenate(found, axis=1)
        order = np.argsort(lines)
        self._lines, self._firsts = lines[order], firsts[order]

    def of(self, lines: np.ndarray) -> np.ndarray:
        """The first equal line of each of these, which are in the file's order, or 0."""
        repeats = np.zeros(len(lines), dtype=np.int64)
        if len(lines):
            start, end = np.searchsorted(self._lines, [lines[0], lines[-1] + 1])
            repeats[np.searchsorted(lines, self._lines[start:end])] = self._firsts[start:end]
        return repeats


def _repeated(entries: np.ndarray) -> np.ndarray:
    """The lines that repeat another, and the first that is equal to each: shape [2, n]."""
    high = entries["high"]
    order = np.argsort(high)
    same = np.diff(high[order], prepend=0) == 0
    same[:1] = False
    some = entries[order[same | np.append(same[1:], False)]]
    some = some[np.lexsort([some["line"], some["low"], some["high"]])]
    starts = (np.diff(some["high"], prepend=0) != 0) | (np.diff(some["low"], prepend=0) != 0)
    starts[:1] = True
    firsts = some["line"][np.maximum.accumulate(np.where(starts, np.arange(len(some)), 0))]
    return np.stack([some["line"], firsts])[:, ~starts]


def _hashes(lines: pa.RecordBatch) -> np.ndarray:
    """Two hashes of each line's columns: uint64, shape [2, n]."""
    hashes = np.zeros((2, len(lines)), dtype=np.uint64)
    for name in lines.schema.names:
        if name not in _NOT_COMPARED:
            hashes = _mixed(hashes * _ODD + _of_column(lines[name]))
    return hashes


def _of_column(cells: pa.Array) -> np.ndarray:
    if pa.types.is_dictionary(cells.type):
        names = cells.dictionary.to_pylist()
        digests = b"".join(hashlib.blake2b(name.encode(), digest_size=16).digest() for name in names)
        return np.frombuffer(digests, np.uint64).reshape(-1, 2).T[:, cells.indices.to_numpy()]
    bits = (cells.to_numpy() + 0.0).view(np.uint64)  # 0.0 and -0.0 are equal
    return _mixed(np.stack([bits, bits ^ _ODD]))


def _mixed(bits: np.ndarray) -> np.ndarray:
    """Spreads each bit over all of them: the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
