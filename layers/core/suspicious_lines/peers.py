"""What is usual for a number among a line's peers: the nearest group of lines that is large enough to tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from suspicious_lines import arrow

FEWEST_PEERS = 20
# low and high say what is usual, in words; floor and ceiling are the limits beyond which a number stands out.
STATISTICS = ["lines", "median", "spread", "low", "high", "floor", "ceiling"]

# Lines as columns by name: a pandas DataFrame, or a table or record batch of Arrow.
Lines: TypeAlias = Mapping[str, Any] | pa.Table | pa.RecordBatch
Key = tuple[str | None, ...]


def number(lines: Lines, column: str, dtype: type[np.generic] = np.float64) -> np.ndarray:
    """A column of numbers, shape [n]."""
    values = lines[column]
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    return arrow.numbers(values, dtype) if isinstance(values, pa.Array) else np.asarray(values, dtype=dtype)


def groups(lines: Lines, columns: Sequence[str]) -> tuple[list[Key], np.ndarray]:
    """The distinct combinations of the texts in `columns`, and for each line which of them it has: shape [n]."""
    place = np.zeros(len(lines), dtype=np.int64)
    names: list[list[str | None]] = []
    for column in columns:
        codes, known = _coded(lines[column])
        names.append(known)
        place = place * len(known) + codes
    found = arrow.array(place).dictionary_encode()
    rest = arrow.numbers(found.dictionary, np.int64)
    keys: list[list[str | None]] = []
    for known in names[::-1]:
        rest, codes = np.divmod(rest, len(known))
        keys.insert(0, [known[code] for code in codes])
    return list(zip(*keys, strict=True)), arrow.codes(found)


def _coded(cells: Any) -> tuple[np.ndarray, list[str | None]]:
    """A code for each cell, and what each stands for."""
    whole = cells if isinstance(cells, pa.Array | pa.ChunkedArray) else pa.array(cells, from_pandas=True)
    if isinstance(whole, pa.ChunkedArray):  # texts of pandas may be chunked as well
        whole = whole.unify_dictionaries().combine_chunks()
    if not pa.types.is_dictionary(whole.type):
        whole = whole.dictionary_encode()
    if whole.null_count or whole.type.index_type != pa.int32():
        indices = whole.indices.cast(pa.int32()).fill_null(len(whole.dictionary))
        return arrow.numbers(indices, np.int32), [*whole.dictionary.to_pylist(), None]
    return arrow.codes(whole), [*whole.dictionary.to_pylist(), None]


@dataclass(frozen=True)
class Peers:
    """`levels` go from the narrowest group to all the lines; `tables[i]` maps the categories of a group of `levels[i]`
    to STATISTICS: the count, then natural logarithms of the number. `limits` are the quantiles of floor and ceiling."""

    levels: list[list[str]]
    tables: list[dict[Key, tuple[float, ...]]]

    @classmethod
    def fit(
        cls,
        keys: Sequence[Key],
        seen: "Seen",
        levels: list[list[str]],
        limits: tuple[float, float],
        floor: float,
    ) -> "Peers":
        """Fits on the logarithms that were `seen` of lines with these `keys`, which name the columns of `levels[0]`.

        Groups below FEWEST_PEERS are left to the next level. spread = 1.4826 * median absolute deviation, which equals
        the standard deviation of normal data (Rousseeuw and Croux 1993), at least `floor`, so that groups of equal
        numbers do not make every other number infinitely far.
        """
        tables: list[dict[Key, tuple[float, ...]]] = []
        seen_key, values, counts = seen.columns()
        for level in levels:
            places = [levels[0].index(column) for column in level]
            found: dict[Key, int] = {}
            group_of = [found.setdefault(tuple(key[place] for place in places), len(found)) for key in keys]
            group = np.array(group_of, dtype=np.int64)[seen_key]
            order = np.lexsort([values, group])
            starts = np.searchsorted(group[order], np.arange(len(found) + 1))
            tables.append({})
            for key, start, end in sorted(zip(found, starts, starts[1:], strict=False)):
                rows = order[start:end]
                if counts[rows].sum() >= FEWEST_PEERS or not level:
                    tables[-1][key] = _statistics(values[rows], counts[rows], limits, floor)
        return cls(levels, tables)

    def of(self, lines: Lines) -> dict[str, np.ndarray]:
        """The statistics that serve each line: arrays of shape [n] by the names of STATISTICS."""
        keys, place = groups(lines, self.levels[0])
        return {name: values[place] for name, values in self.serving(keys).items()}

    def serving(self, keys: Sequence[Key]) -> dict[str, np.ndarray]:
        """The statistics that serve lines with these keys, which name the columns of `levels[0]`: as `of`."""
        served = np.array([self._nearest(key) for key in keys], dtype=np.float64).reshape(-1, len(STATISTICS))
        return dict(zip(STATISTICS, served.T, strict=True))

    def _nearest(self, key: Key) -> tuple[float, ...]:
        if key in self.tables[0]:
            return self.tables[0][key]
        for level, table in zip(self.levels[1:], self.tables[1:], strict=True):
            wider = tuple(key[self.levels[0].index(column)] for column in level)
            if wider in table:
                return table[wider]
        raise AssertionError("the last level has all the lines")

    def to_json(self) -> list[dict[str, Any]]:
        return [
            {"by": level, "groups": [[*key, *values] for key, values in table.items()]}
            for level, table in zip(self.levels, self.tables, strict=True)
        ]

    @classmethod
    def from_json(cls, document: list[dict[str, Any]]) -> "Peers":
        levels = [entry["by"] for entry in document]
        tables = [
            {tuple(row[: len(level)]): tuple(row[len(level) :]) for row in entry["groups"]}
            for level, entry in zip(levels, document, strict=True)
        ]
        return cls(levels, tables)


class Seen:
    """How many lines have the same key (a position in a list that is kept elsewhere) and the same number.

    Exact, and small where numbers come again and again: 24 bytes for each distinct pair.
    """

    def __init__(self) -> None:
        none = np.empty(0, dtype=np.int64)
        self._counted = (none, none.astype(np.float64), none)
        self._more: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, key: np.ndarray, value: np.ndarray) -> None:
        """Counts lines, of which the arrays have an entry each."""
        more = _counted(key, value, np.ones(len(key), dtype=np.int64))
        self._more.append(more)
        # Merged now and then: each time would count all the former pairs again.
        if sum(len(counts) for _, _, counts in self._more) > len(self._counted[2]) + len(key):
            self._merge()

    def _merge(self) -> None:
        self._counted = _counted(*map(np.concatenate, zip(self._counted, *self._more, strict=True)))
        self._more = []

    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Keys, numbers, and how many lines have both."""
        self._merge()
        return self._counted


def _counted(keys: np.ndarray, values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct pairs of keys and values, and the sum of each one's counts."""
    coded = arrow.array(values).dictionary_encode()
    distinct = arrow.numbers(coded.dictionary, np.float64)
    pairs = arrow.array(keys * len(distinct) + arrow.codes(coded)).dictionary_encode()
    key, code = np.divmod(arrow.numbers(pairs.dictionary, np.int64), max(len(distinct), 1))
    return key, distinct[code], np.bincount(arrow.codes(pairs), weights=counts).astype(np.int64)


def _statistics(values: np.ndarray, counts: np.ndarray, limits: tuple[float, float], floor: float) -> tuple[float, ...]:
    """STATISTICS of sorted values, each of which so many lines have."""
    median = _quantile(values, counts, 0.5)
    off = np.abs(values - median)
    order = np.argsort(off)
    spread = max(1.4826 * _quantile(off[order], counts[order], 0.5), floor)
    low, high, floor_log, ceiling = (_quantile(values, counts, share) for share in (0.05, 0.95, *limits))
    # Where many lines are errors, a quantile alone would call them usual.
    low, high = max(low, median - 2 * spread), min(high, median + 2 * spread)
    return (int(counts.sum()), median, spread, low, high, floor_log, ceiling)


def _quantile(values: np.ndarray, counts: np.ndarray, share: float) -> float:
    """numpy.quantile(numpy.repeat(values, counts), share) to the bit, without the repetition; `values` are sorted."""
    ends = np.cumsum(counts)
    place = share * (ends[-1] - 1)
    below, above = values[np.searchsorted(ends, [np.floor(place), np.ceil(place)], side="right")]
    part = place % 1
    return float(below + (above - below) * part if part < 0.5 else above - (above - below) * (1 - part))
