"""Turns invoice lines into the numbers the forest reads, and back; a fitted encoder is a readable JSON file.

Features of a line: no labels, no identifiers, logarithms natural, each about as wide as the others because the forest
cuts wide features more often.

* `minutes_above_peers` = 0.6 * max(0, (ln minutes - median) / spread);
* `minutes_beyond_peers` = min(6, max(0, ln minutes - ceiling) / spread), the ceiling being the peers' 97.5 % quantile,
  or median + 2.5 * spread where that is lower, so that many errors cannot hide each other;
* `fee_off_card` = 10 * the distance of ln fee from the resource's card, its 1 % to 98.5 % quantiles: positive above,
  negative below, at most 6 either way;
* `total_off_arithmetic` = 100 * ln(total / (minutes / 60 * fee)), at most 6 either way; 0 where the bill adds up;
* `rarity` = 0.25 * max(0, ln((expected + 1) / (seen + 1))): lines of this matter type, resource and activity that were
  seen, and that were to be expected if the three had nothing to do with one another;
* `<column>=<category>` = 0.3 or 0 for each category of matter type, resource and activity, and `<column>=other` for one
  that the encoder has not seen. Such a line has the greatest rarity there is, so it does not look normal.

Peers for minutes are the lines of the same (matter type, resource, activity), or of the next wider group that is large
enough: (matter type, activity), (activity), all. docs/quality.md has the measurements behind the numbers.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from suspicious_lines.peers import STATISTICS, Peers

VERSION = 2
CATEGORIES = ["matter_type", "resource", "activity"]
NUMERIC_FEATURES = [
    "minutes_above_peers",
    "minutes_beyond_peers",
    "fee_off_card",
    "total_off_arithmetic",
    "rarity",
]
MOST_CATEGORIES = 100
OTHER = "other"

_MINUTES_LEVELS = [CATEGORIES, ["matter_type", "activity"], ["activity"], []]
_FEE_LEVELS = [["resource"], []]
_MINUTES_LIMITS, _FEE_LIMITS = (0.025, 0.975), (0.01, 0.985)
_MINUTES_SPREAD, _FEE_SPREAD = 0.08, 0.05
_ABOVE, _BEYOND, _OFF_CARD, _OFF_ARITHMETIC, _RARE, _ONE_HOT = 0.6, 2.5, 10.0, 100.0, 0.25, 0.3
_MOST = 6.0
_CENT = 0.01
# Rounding to cents moves a total by half a cent, and the next cent is no error either.
_ARITHMETIC_CENTS, _ARITHMETIC_SHARE = 0.0101, 0.002


@dataclass(frozen=True)
class Encoder:
    """`categories`: the known values a column, most frequent first, with the lines each has; `combinations`: the lines
    of each (matter type, resource, activity) seen; `minutes` and `fee`: what is usual for them."""

    categories: dict[str, dict[str, int]]
    combinations: dict[tuple[str, ...], int]
    minutes: Peers
    fee: Peers

    @classmethod
    def fit(cls, lines: pd.DataFrame) -> "Encoder":
        """Fits on the lines to train on: at least one, with the columns of `lines.Lines.accepted`."""
        categories = {}
        for column in CATEGORIES:
            counts = lines[column].value_counts()[:MOST_CATEGORIES]
            categories[column] = {str(name): int(count) for name, count in counts.items() if count}
        seen = lines[CATEGORIES].astype(object).value_counts(sort=False)
        return cls(
            categories=categories,
            combinations={tuple(key): int(count) for key, count in seen.items()},
            minutes=Peers.fit(lines, _log(lines["minutes"]), _MINUTES_LEVELS, _MINUTES_LIMITS, _MINUTES_SPREAD),
            fee=Peers.fit(lines, _log(lines["fee"]), _FEE_LEVELS, _FEE_LIMITS, _FEE_SPREAD),
        )

    @property
    def lines(self) -> int:
        """How many lines it was fitted on."""
        return sum(self.combinations.values())

    @property
    def features(self) -> list[str]:
        """The names of the columns of `encode`, in order."""
        slots = [f"{column}={name}" for column in CATEGORIES for name in [*self.categories[column], OTHER]]
        return [*NUMERIC_FEATURES, *slots]

    def encode(self, lines: pd.DataFrame) -> np.ndarray:
        """The features of lines: float32, shape [n, len(features)], in the lines' order."""
        minutes, fee = _log(lines["minutes"]), _log(lines["fee"])
        peers, card = self.minutes.of(lines), self.fee.of(lines)
        off_card = np.maximum(fee - card["ceiling"], 0) + np.minimum(fee - card["floor"], 0)
        encoded = np.zeros((len(lines), len(self.features)), dtype=np.float32)
        encoded[:, 0] = _ABOVE * np.maximum(minutes - peers["median"], 0) / peers["spread"]
        ceiling = np.minimum(peers["ceiling"], peers["median"] + _BEYOND * peers["spread"])
        encoded[:, 1] = np.clip((minutes - ceiling) / peers["spread"], 0, _MOST)
        encoded[:, 2] = np.clip(_OFF_CARD * off_card, -_MOST, _MOST)
        encoded[:, 3] = np.clip(_OFF_ARITHMETIC * off_arithmetic(lines), -_MOST, _MOST)
        encoded[:, 4] = _RARE * self.rarity(lines)
        start = len(NUMERIC_FEATURES)
        for column in CATEGORIES:
            encoded[np.arange(len(lines)), start + self._codes(lines, column)] = _ONE_HOT
            start += len(self.categories[column]) + 1
        return encoded

    def rarity(self, lines: pd.DataFrame) -> np.ndarray:
        """max(0, ln((expected + 1) / (seen + 1))) of each line's combination; ln(1 + lines) for an unseen category."""
        keys = pd.MultiIndex.from_frame(lines[CATEGORIES].astype(object))
        found = pd.MultiIndex.from_tuples(self.combinations, names=CATEGORIES).get_indexer(keys)
        seen = np.where(found >= 0, np.fromiter(self.combinations.values(), dtype=float)[found], 0)
        expected = np.full(len(lines), float(self.lines))
        for column in CATEGORIES:
            counts = np.array([*self.categories[column].values(), 0.0])
            expected *= counts[self._codes(lines, column)] / self.lines
        rarity = np.maximum(np.log((expected + 1) / (seen + 1)), 0)
        return np.where(self.unseen(lines), np.log1p(self.lines), rarity)

    def _codes(self, lines: pd.DataFrame, column: str) -> np.ndarray:
        known = list(self.categories[column])
        codes = pd.Index(known, dtype=object).get_indexer(pd.Index(lines[column].astype(object)))
        return np.where(codes < 0, len(known), codes)

    def decode(self, encoded: np.ndarray) -> pd.DataFrame:
        """The plainest lines with these features: what a feature does not tell is what is usual, so that encoding them
        again gives the same features. None stands for an unknown category."""
        start = len(NUMERIC_FEATURES)
        columns: dict[str, Any] = {}
        for column in CATEGORIES:
            names = np.array([*self.categories[column], None], dtype=object)
            codes = encoded[:, start : start + len(names)].argmax(axis=1)
            columns[column] = pd.Series(names[codes], dtype=object)
            start += len(names)
        lines = pd.DataFrame(columns)
        peers, card = self.minutes.of(lines), self.fee.of(lines)
        above, _, off_card, off, _ = encoded[:, :start].astype(np.float64).T[: len(NUMERIC_FEATURES)]
        minutes = np.exp(peers["median"] + above / _ABOVE * peers["spread"])
        edge = np.where(off_card > 0, card["ceiling"], np.where(off_card < 0, card["floor"], card["median"]))
        fee = np.exp(edge + off_card / _OFF_CARD)
        return lines.assign(minutes=minutes, fee=fee, total=minutes / 60 * fee * np.exp(off / _OFF_ARITHMETIC))

    def unseen(self, lines: pd.DataFrame) -> np.ndarray:
        """A mask of the lines with a category that this encoder has not seen, shape [n]."""
        return np.logical_or.reduce(
            [self._codes(lines, column) == len(self.categories[column]) for column in CATEGORIES]
        )

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
            "combinations": [[*key, count] for key, count in self.combinations.items()],
            "statistics": STATISTICS,
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
        return cls(
            document["categories"],
            {tuple(row[:-1]): row[-1] for row in document["combinations"]},
            Peers.from_json(document["minutes"]),
            Peers.from_json(document["fee"]),
        )


def due(lines: pd.DataFrame) -> np.ndarray:
    """What the line should cost: minutes / 60 * fee, shape [n]."""
    return (lines["minutes"] / 60 * lines["fee"]).to_numpy(np.float64)


def off_arithmetic(lines: pd.DataFrame) -> np.ndarray:
    """ln(total / due) of each line; 0 within rounding."""
    total, owed = lines["total"].to_numpy(np.float64), due(lines)
    ratio = np.log(np.maximum(total, _CENT) / np.maximum(owed, _CENT))
    adds_up = (np.abs(total - np.round(owed, 2)) <= _ARITHMETIC_CENTS) | (np.abs(ratio) <= _ARITHMETIC_SHARE)
    return np.where(adds_up, 0.0, ratio)


def _log(numbers: pd.Series) -> np.ndarray:
    """Natural logarithm, with a cent (or a hundredth of a minute) in place of nothing."""
    return np.log(np.maximum(numbers.to_numpy(np.float64), _CENT))
