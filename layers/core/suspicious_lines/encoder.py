"""Turns invoice lines into the numbers the forest reads, and back; a fitted encoder is a readable JSON file.

Features of a line (no labels, no identifiers):

* `minutes_vs_peers` = (ln(1 + minutes) - median) / spread, both of the line's peers;
* `fee_vs_resource` = (ln(1 + fee) - median) / spread, both of the lines of the same resource;
* `total_vs_arithmetic` = (ln(1 + total) - ln(1 + minutes / 60 * fee)) / 0.02: zero where the bill adds up;
* `<column>=<category>` = 1 or 0 for each known category of matter type, resource and activity, and `<column>=other` for
  one the encoder has not seen: constant while training, so a new category stands out instead of looking normal.

Peers are the lines of the same (matter type, resource, activity); where they are fewer than 20, the next wider group
serves: (matter type, activity), (activity), all. Spread = 1.4826 * median absolute deviation, which equals the standard
deviation of normal data (Rousseeuw and Croux 1993), with a floor so that constant groups do not blow up.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

VERSION = 1
CATEGORIES = ["matter_type", "resource", "activity"]
PEER_LEVELS = [["matter_type", "resource", "activity"], ["matter_type", "activity"], ["activity"], []]
RATE_LEVELS = [["resource"], []]
NUMERIC_FEATURES = ["minutes_vs_peers", "fee_vs_resource", "total_vs_arithmetic"]
FEWEST_PEERS = 20
MINUTES_FLOOR = 0.08
FEE_FLOOR = 0.02
ARITHMETIC_SCALE = 0.02
MOST_CATEGORIES = 100
OTHER = "other"


@dataclass(frozen=True)
class Groups:
    """The middle of a number in each group of lines. `levels` go from the narrowest group to all the lines;
    `tables[i]` maps the categories of a group of `levels[i]` to (lines, median, spread, low, high), natural units
    of ln(1 + x); low and high are the 5 % and 95 % quantiles."""

    levels: list[list[str]]
    tables: list[dict[tuple[str, ...], tuple[float, ...]]]

    @classmethod
    def fit(cls, lines: pd.DataFrame, values: np.ndarray, levels: list[list[str]], floor: float) -> "Groups":
        frame = lines[CATEGORIES].astype(object).assign(value=values)
        tables = []
        for level in levels:
            groups = frame.groupby(level, sort=True)["value"] if level else [((), frame["value"])]
            table = {}
            for key, group in groups:
                if len(group) >= FEWEST_PEERS or not level:
                    table[tuple(key) if level else ()] = _middle(group.to_numpy(), floor)
            tables.append(table)
        return cls(levels, tables)

    def of(self, lines: pd.DataFrame) -> np.ndarray:
        """The (lines, median, spread, low, high) that serve each line: shape [n, 5]."""
        served = np.tile(np.asarray(self.tables[-1][()], dtype=np.float64), (len(lines), 1))
        for level, table in list(zip(self.levels, self.tables, strict=True))[-2::-1]:
            if table:
                keys = pd.MultiIndex.from_tuples(table) if len(level) > 1 else pd.Index([key[0] for key in table])
                wanted = lines[level].astype(object)
                found = keys.get_indexer(pd.MultiIndex.from_frame(wanted) if len(level) > 1 else wanted[level[0]])
                served[found >= 0] = np.asarray(list(table.values()))[found[found >= 0]]
        return served

    def to_json(self) -> list[dict[str, Any]]:
        return [
            {"by": level, "groups": [[*key, *middle] for key, middle in table.items()]}
            for level, table in zip(self.levels, self.tables, strict=True)
        ]

    @classmethod
    def from_json(cls, document: list[dict[str, Any]]) -> "Groups":
        levels = [entry["by"] for entry in document]
        tables = [
            {tuple(row[: len(level)]): tuple(row[len(level) :]) for row in entry["groups"]}
            for level, entry in zip(levels, document, strict=True)
        ]
        return cls(levels, tables)


def _middle(values: np.ndarray, floor: float) -> tuple[float, ...]:
    median = float(np.median(values))
    spread = max(1.4826 * float(np.median(np.abs(values - median))), floor)
    low, high = np.quantile(values, [0.05, 0.95])
    return (len(values), median, spread, float(low), float(high))


@dataclass(frozen=True)
class Encoder:
    """`categories`: the known values a column, most frequent first; `minutes` and `fee`: the groups above."""

    categories: dict[str, list[str]]
    minutes: Groups
    fee: Groups

    @classmethod
    def fit(cls, lines: pd.DataFrame) -> "Encoder":
        """Fits on the lines to train on: at least one, with the columns of `lines.Lines.accepted`."""
        categories = {
            column: [str(name) for name in lines[column].value_counts().index[:MOST_CATEGORIES]]
            for column in CATEGORIES
        }
        return cls(
            categories=categories,
            minutes=Groups.fit(lines, np.log1p(lines["minutes"].to_numpy()), PEER_LEVELS, MINUTES_FLOOR),
            fee=Groups.fit(lines, np.log1p(lines["fee"].to_numpy()), RATE_LEVELS, FEE_FLOOR),
        )

    @property
    def features(self) -> list[str]:
        """The names of the columns of `encode`, in order."""
        slots = [f"{column}={name}" for column in CATEGORIES for name in [*self.categories[column], OTHER]]
        return [*NUMERIC_FEATURES, *slots]

    def encode(self, lines: pd.DataFrame) -> np.ndarray:
        """The features of lines: float32, shape [n, len(features)], in the lines' order."""
        minutes, fee, total = (lines[column].to_numpy(np.float64) for column in ("minutes", "fee", "total"))
        peers, rates = self.minutes.of(lines), self.fee.of(lines)
        encoded = np.zeros((len(lines), len(self.features)), dtype=np.float32)
        encoded[:, 0] = (np.log1p(minutes) - peers[:, 1]) / peers[:, 2]
        encoded[:, 1] = (np.log1p(fee) - rates[:, 1]) / rates[:, 2]
        encoded[:, 2] = (np.log1p(total) - np.log1p(minutes / 60 * fee)) / ARITHMETIC_SCALE
        start = len(NUMERIC_FEATURES)
        for column in CATEGORIES:
            encoded[np.arange(len(lines)), start + self._codes(lines, column)] = 1
            start += len(self.categories[column]) + 1
        return encoded

    def _codes(self, lines: pd.DataFrame, column: str) -> np.ndarray:
        known = self.categories[column]
        codes = pd.Index(known).get_indexer(lines[column].astype(object))
        return np.where(codes < 0, len(known), codes)

    def decode(self, encoded: np.ndarray) -> pd.DataFrame:
        """The lines that features stand for: the inverse of `encode` up to float32; None for an unknown category."""
        start = len(NUMERIC_FEATURES)
        columns: dict[str, Any] = {}
        for column in CATEGORIES:
            names = np.array([*self.categories[column], None], dtype=object)
            codes = encoded[:, start : start + len(names)].argmax(axis=1)
            columns[column] = pd.Series(names[codes], dtype=object)
            start += len(names)
        lines = pd.DataFrame(columns)
        peers, rates = self.minutes.of(lines), self.fee.of(lines)
        numbers = encoded[:, :3].astype(np.float64)
        minutes = np.expm1(numbers[:, 0] * peers[:, 2] + peers[:, 1])
        fee = np.expm1(numbers[:, 1] * rates[:, 2] + rates[:, 1])
        total = np.expm1(numbers[:, 2] * ARITHMETIC_SCALE + np.log1p(minutes / 60 * fee))
        return lines.assign(minutes=minutes, fee=fee, total=total)

    def unknown(self, lines: pd.DataFrame) -> dict[str, int]:
        """How many lines have a category this encoder has not seen, by column."""
        return {
            column: int((self._codes(lines, column) == len(self.categories[column])).sum()) for column in CATEGORIES
        }

    def to_json(self) -> str:
        document = {
            "version": VERSION,
            "features": self.features,
            "categories": self.categories,
            "groups": ["lines", "median", "spread", "low", "high"],
            "minutes": self.minutes.to_json(),
            "fee": self.fee.to_json(),
        }
        return json.dumps(document, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Encoder":
        """Raises ValueError for another version's encoder."""
        document = json.loads(text)
        if document["version"] != VERSION:
            raise ValueError(f"encoder.json has version {document['version']}, this code reads version {VERSION}")
        return cls(document["categories"], Groups.from_json(document["minutes"]), Groups.from_json(document["fee"]))
