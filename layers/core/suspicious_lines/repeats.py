"""Which lines of a file are equal to an earlier one, found with memory that does not grow with the file."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from suspicious_lines import arrow
from suspicious_lines.peers import number

PARTITIONS = 16
_ENTRY = np.dtype([("hash", np.uint64), ("total", np.float64), ("line", np.int64)])
_ODD = np.uint64(0x9E3779B97F4A7C15)
_NOT_COMPARED = {"line", "error"}


class Repeats:
    """For each line the number of the first line of the file that is equal in every column but the label, or 0.

    Where the format tells the occasion of the work, `occasion` is a column: equal work on two days is no repeat.

    Takes all the accepted lines of a file, in its order: the first of two equal lines may be in the train part. Lines
    are compared by 64 bits of keyed hash and by their total: in a file of ten million, the chance that two different
    lines of the same total are taken for equal is less than one in a million. The hashes lie in files, cut by their
    first bits, so that equal lines are in the same one.
    """

    def __init__(self, folder: Path) -> None:
        self._files = [(folder / f"hashes-{number}").open("w+b") for number in range(PARTITIONS)]
        self._lines = self._firsts = np.empty(0, dtype=np.int64)

    def add(self, lines: pa.RecordBatch) -> None:
        entries = np.empty(len(lines), dtype=_ENTRY)
        entries["hash"] = _hashes(lines)
        entries["total"] = arrow.numbers(lines["total"], np.float64)
        entries["line"] = arrow.numbers(lines["line"], np.int64)
        partition = (entries["hash"] // (2**64 // PARTITIONS)).astype(np.uint8)
        order = np.argsort(partition, kind="stable")
        ends = np.cumsum(np.bincount(partition, minlength=PARTITIONS))
        for file, some in zip(self._files, np.split(entries.take(order), ends[:-1]), strict=True):
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
        """The first equal line of each of these, some of the file in its order, or 0."""
        repeats = np.zeros(len(lines), dtype=np.int64)
        if len(lines):
            start, end = np.searchsorted(self._lines, [lines[0], lines[-1] + 1])
            repeated, firsts = self._lines[start:end], self._firsts[start:end]
            places = np.searchsorted(lines, repeated)
            ours = lines[places] == repeated
            repeats[places[ours]] = firsts[ours]
        return repeats

    def beside(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The same lines, some of the file in its order, with the column `repeats`."""
        for lines in tables:
            yield lines.append_column("repeats", arrow.array(self.of(number(lines, "line", np.int64))))


def _repeated(entries: np.ndarray) -> np.ndarray:
    """The lines that repeat another, and the first that is equal to each: shape [2, n]."""
    order = np.argsort(entries["hash"])
    same = np.diff(entries["hash"][order], prepend=0) == 0
    same[:1] = False
    some = entries[order[same | np.append(same[1:], False)]]
    some = some[np.lexsort([some["line"], some["total"], some["hash"]])]
    starts = (np.diff(some["hash"], prepend=0) != 0) | (np.diff(some["total"], prepend=0) != 0)
    starts[:1] = True
    firsts = some["line"][np.maximum.accumulate(np.where(starts, np.arange(len(some)), 0))]
    return np.stack([some["line"], firsts])[:, ~starts]


def _hashes(lines: pa.RecordBatch) -> np.ndarray:
    """A hash of each line's columns: uint64, shape [n]."""
    hashes = np.zeros(len(lines), dtype=np.uint64)
    for name in lines.schema.names:
        if name not in _NOT_COMPARED:
            hashes *= _ODD
            hashes += _of_column(lines[name])
    return hashes


def _of_column(cells: pa.Array) -> np.ndarray:
    if pa.types.is_dictionary(cells.type):
        # Python's own hash of text: SipHash with a key of the process's.
        hashes = np.array([hash(name) for name in cells.dictionary.to_pylist()], dtype=np.int64)
        return hashes.view(np.uint64)[arrow.codes(cells)]
    return _mixed((arrow.numbers(cells, np.float64) + 0.0).view(np.uint64))  # 0.0 and -0.0 are equal


def _mixed(bits: np.ndarray) -> np.ndarray:
    """Spreads each bit over all of them: the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
