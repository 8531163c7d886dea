"""What is usual for a number among a line's peers: the nearest group of lines that is large enough to tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

FEWEST_PEERS = 20
# low and high say what is usual, in words; floor and ceiling are the limits beyond which a number stands out.
STATISTICS = ["lines", "median", "spread", "low", "high", "floor", "ceiling"]

# Lines as columns by name: a pandas DataFrame, or a table or record batch of Arrow.
Lines = Mapping[str, Any] | pa.Table | pa.RecordBatch
Key = tuple[str | None, ...]


def number(lines: Lines, column: str) -> np.ndarray:
    return np.asarray(lines[column], dtype=np.float64)


def groups(lines: Lines, columns: Sequence[str]) -> tuple[list[Key], np.ndarray]:
    """The distinct combinations of the texts in `columns`, and for each line which of them it has: shape [n]."""
    place = np.zeros(len(lines), dtype=np.int64)
    names: list[list[str | None]] = []
    for column in columns:
        cells = lines[column]
        if not isinstance(cells, pa.Array | pa.ChunkedArray):
            cells = pa.array(cells, from_pandas=True)
        if isinstance(cells, pa.ChunkedArray):
            cells = cells.unify_dictionaries().combine_chunks()
        if not pa.types.is_dictionary(cells.type):
            cells = cells.dictionary_encode()
        names.append([*cells.dictionary.to_pylist(), None])
        codes = cells.indices.fill_null(len(cells.dictionary)).to_numpy(zero_copy_only=False)
        place = place * len(names[-1]) + codes
    found = pa.array(place).dictionary_encode()
    rest = found.dictionary.to_numpy()
    keys: list[list[str | None]] = []
    for known in names[::-1]:
        rest, codes = np.divmod(rest, len(known))
        keys.insert(0, [known[code] for code in codes])
    return list(zip(*keys, strict=True)) if columns else [()], found.indices.to_numpy()


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
        values, counts = seen.value, seen.count
        for level in levels:
            places = [levels[0].index(column) for column in level]
            found: dict[Key, int] = {}
            group_of = [found.setdefault(tuple(key[place] for place in places), len(found)) for key in keys]
            group = np.array(group_of, dtype=np.int64)[seen.key]
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
        served = np.array([self._serving(key) for key in keys], dtype=np.float64).reshape(-1, len(STATISTICS))
        return dict(zip(STATISTICS, served[place].T, strict=True))

    def _serving(self, key: Key) -> tuple[float, ...]:
        for level, table in zip(self.levels, self.tables, strict=True):
            narrower = tuple(key[self.levels[0].index(column)] for column in level)
            if narrower in table:
                return table[narrower]
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

    Exact, and small where numbers are: 24 bytes for each distinct pair.
    """

    def __init__(self) -> None:
        self._table: pa.Table | None = None

    def add(self, key: np.ndarray, value: np.ndarray) -> None:
        """Counts lines, of which the arrays have an entry each."""
        more = pa.table({"key": key, "value": value, "count": np.ones(len(key), dtype=np.int64)})
        tables = [more] if self._table is None else [self._table, more]
        summed = pa.concat_tables(tables).group_by(["key", "value"], use_threads=False).aggregate([("count", "sum")])
        self._table = summed.rename_columns(["key", "value", "count"]).combine_chunks()

    def _column(self, name: str) -> np.ndarray:
        assert self._table is not None
        return self._table[name].to_numpy()

    @property
    def key(self) -> np.ndarray:
        return self._column("key")

    @property
    def value(self) -> np.ndarray:
        return self._column("value")

    @property
    def count(self) -> np.ndarray:
        return self._column("count")


def _statistics(
    values: np.ndarray, counts: np.ndarray, limits: tuple[float, float], floor: float
) -> tuple[float, ...]:
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
    """numpy.quantile(numpy.repeat(values, counts), share) without the repetition; `values` are sorted."""
    ends = np.cumsum(counts)
    place = share * (ends[-1] - 1)
    below, above = values[np.searchsorted(ends, [np.floor(place), np.ceil(place)], side="right")]
    return float(np.quantile([below, above], place % 1))
