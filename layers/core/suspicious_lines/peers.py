"""What is usual for a number among a line's peers: the nearest group of lines that is large enough to tell."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

FEWEST_PEERS = 20
# low and high say what is usual, in words; floor and ceiling are the limits beyond which a number stands out.
STATISTICS = ["lines", "median", "spread", "low", "high", "floor", "ceiling"]


@dataclass(frozen=True)
class Peers:
    """`levels` go from the narrowest group to all the lines; `tables[i]` maps the categories of a group of `levels[i]`
    to STATISTICS: the count, then natural logarithms of the number. `limits` are the quantiles of floor and ceiling."""

    levels: list[list[str]]
    tables: list[dict[tuple[str, ...], tuple[float, ...]]]

    @classmethod
    def fit(
        cls, lines: pd.DataFrame, logs: np.ndarray, levels: list[list[str]], limits: tuple[float, float], floor: float
    ) -> "Peers":
        """Fits on `logs` of shape [n], the lines' numbers; groups below FEWEST_PEERS are left to the next level.

        spread = 1.4826 * median absolute deviation, which equals the standard deviation of normal data (Rousseeuw and
        Croux 1993), at least `floor`, so that groups of equal numbers do not make every other number infinitely far.
        """
        columns = sorted({column for level in levels for column in level})
        frame = lines[columns].astype(object).assign(log=logs)
        tables = []
        for level in levels:
            groups = frame.groupby(level, sort=True)["log"] if level else [((), frame["log"])]
            tables.append(
                {
                    tuple(key): _statistics(group.to_numpy(), limits, floor)
                    for key, group in groups
                    if len(group) >= FEWEST_PEERS or not level
                }
            )
        return cls(levels, tables)

    def of(self, lines: pd.DataFrame) -> dict[str, np.ndarray]:
        """The statistics that serve each line: arrays of shape [n] by the names of STATISTICS."""
        served = np.tile(np.asarray(self.tables[-1][()], dtype=np.float64), (len(lines), 1))
        for level, table in list(zip(self.levels, self.tables, strict=True))[-2::-1]:
            if table:
                found = _index(level, table).get_indexer(_keys(level, lines))
                served[found >= 0] = np.asarray(list(table.values()))[found[found >= 0]]
        return dict(zip(STATISTICS, served.T, strict=True))

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


def _statistics(logs: np.ndarray, limits: tuple[float, float], floor: float) -> tuple[float, ...]:
    median = float(np.median(logs))
    spread = max(1.4826 * float(np.median(np.abs(logs - median))), floor)
    low, high, floor_log, ceiling = (float(quantile) for quantile in np.quantile(logs, [0.05, 0.95, *limits]))
    # Where many lines are errors, a quantile alone would call them usual.
    low, high = max(low, median - 2 * spread), min(high, median + 2 * spread)
    return (len(logs), median, spread, low, high, floor_log, ceiling)


def _index(level: list[str], table: dict[tuple[str, ...], tuple[float, ...]]) -> pd.Index:
    return pd.MultiIndex.from_tuples(table, names=level) if len(level) > 1 else pd.Index([key[0] for key in table])


def _keys(level: list[str], lines: pd.DataFrame) -> pd.Index:
    wanted = lines[level].astype(object)
    return pd.MultiIndex.from_frame(wanted) if len(level) > 1 else pd.Index(wanted[level[0]])
