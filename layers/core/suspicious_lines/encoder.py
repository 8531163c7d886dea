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
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from suspicious_lines.peers import STATISTICS, Key, Lines, Peers, Seen, groups, number

if TYPE_CHECKING:
    import pandas as pd

VERSION = 2
CATEGORIES = ["matter_type", "resource", "activity"]
ENCODED = [*CATEGORIES, "minutes", "fee", "total"]
NUMERIC_FEATURES = [
    "minutes_above_peers",
    "minutes_beyond_peers",
    "fee_off_card",
    "total_off_arithmetic",
    "rarity",
]
MOST_CATEGORIES = 100
MOST_COMBINATIONS = 200_000
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


class TooManyCombinationsError(ValueError):
    """What the columns name are no categories: nearly each line has its own."""


@dataclass(frozen=True)
class Encoder:
    """`categories`: the known values a column, most frequent first, with the lines each has; `combinations`: the lines
    of each (matter type, resource, activity) seen of known values; `minutes` and `fee`: what is usual for them."""

    categories: dict[str, dict[str, int]]
    combinations: dict[Key, int]
    minutes: Peers
    fee: Peers

    @classmethod
    def fit(cls, lines: Lines) -> "Encoder":
        """Fits on the lines to train on: at least one, with the columns of `checking.Checked.accepted`."""
        fitting = Fitting()
        fitting.add(lines)
        return fitting.encoder()

    @property
    def lines(self) -> int:
        """How many lines it was fitted on."""
        return int(self.minutes.tables[-1][()][0])

    @property
    def features(self) -> list[str]:
        """The names of the columns of `encode`, in order."""
        slots = [f"{column}={name}" for column in CATEGORIES for name in [*self.categories[column], OTHER]]
        return [*NUMERIC_FEATURES, *slots]

    def encode(self, lines: Lines) -> np.ndarray:
        """The features of lines: float32, shape [n, len(features)], in the lines' order."""
        keys, place = groups(lines, CATEGORIES)
        return np.hstack([self.numbers(lines, keys, place), self.slots(keys)[place]])

    def numbers(self, lines: Lines, keys: list[Key], place: np.ndarray) -> np.ndarray:
        """NUMERIC_FEATURES of lines: float32, shape [n, 5]. `keys`, `place`: the lines' groups by CATEGORIES."""
        minutes, fee = _log(lines, "minutes"), _log(lines, "fee")
        peers, card = self.minutes.serving(keys), self.fee.serving([(resource,) for _, resource, _ in keys])
        median, spread = peers["median"][place], peers["spread"][place]
        ceiling = np.minimum(peers["ceiling"], peers["median"] + _BEYOND * peers["spread"])[place]
        off_card = np.maximum(fee - card["ceiling"][place], 0) + np.minimum(fee - card["floor"][place], 0)
        numbers = np.empty((len(place), len(NUMERIC_FEATURES)), dtype=np.float32)
        numbers[:, 0] = _ABOVE * np.maximum(minutes - median, 0) / spread
        numbers[:, 1] = np.clip((minutes - ceiling) / spread, 0, _MOST)
        numbers[:, 2] = np.clip(_OFF_CARD * off_card, -_MOST, _MOST)
        numbers[:, 3] = np.clip(_OFF_ARITHMETIC * off_arithmetic(lines), -_MOST, _MOST)
        numbers[:, 4] = _RARE * self._rarity(keys)[place]
        return numbers

    def slots(self, keys: list[Key]) -> np.ndarray:
        """The one-hot features of combinations of CATEGORIES: float32, shape [len(keys), features of categories]."""
        places = []
        for position, column in enumerate(CATEGORIES):
            codes = {name: code for code, name in enumerate(self.categories[column])}
            places.append([codes.get(str(key[position]), len(codes)) for key in keys])
        return self.one_hot(np.array(places, dtype=np.int64).T)

    def one_hot(self, places: np.ndarray) -> np.ndarray:
        """The features of categories by the places of their names in `categories`, which the other one follows.

        `places`: integers, shape [n, 3]; the answer: float32, shape [n, features of categories].
        """
        blocks = []
        for column, taken in zip(CATEGORIES, places.T, strict=True):
            blocks.append(np.eye(len(self.categories[column]) + 1, dtype=np.float32)[taken] * np.float32(_ONE_HOT))
        return np.hstack(blocks)

    def places(self, slots: np.ndarray) -> np.ndarray:
        """What `one_hot` takes, from what it gives: int64, shape [n, 3]."""
        ends = np.cumsum([len(self.categories[column]) + 1 for column in CATEGORIES])[:-1]
        return np.stack([block.argmax(axis=1) for block in np.split(slots, ends, axis=1)], axis=1)

    def rarity(self, lines: Lines) -> np.ndarray:
        """max(0, ln((expected + 1) / (seen + 1))) of each line's combination; ln(1 + lines) for an unseen category."""
        keys, place = groups(lines, CATEGORIES)
        return self._rarity(keys)[place]

    def _rarity(self, keys: list[Key]) -> np.ndarray:
        seen = np.array([self.combinations.get(key, 0) for key in keys], dtype=np.float64)
        expected = np.full(len(keys), float(self.lines))
        for position, column in enumerate(CATEGORIES):
            counts = self.categories[column]
            expected *= np.array([counts.get(str(key[position]), 0) for key in keys]) / self.lines
        rarity = np.maximum(np.log((expected + 1) / (seen + 1)), 0)
        known = [key in self.combinations or _is_known(key, self.categories) for key in keys]
        return np.where(known, rarity, np.log1p(self.lines))

    def decode(self, encoded: np.ndarray) -> "pd.DataFrame":
        """The plainest lines with these features: what a feature does not tell is what is usual, so that encoding them
        again gives the same features. None stands for an unknown category."""
        import pandas as pd

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

    def unseen(self, lines: Lines) -> np.ndarray:
        """A mask of the lines with a category that this encoder has not seen, shape [n]."""
        keys, place = groups(lines, CATEGORIES)
        return np.array([not _is_known(key, self.categories) for key in keys], dtype=bool)[place]

    def unknown(self, lines: Lines) -> dict[str, int]:
        """How many lines have a category this encoder has not seen, by column."""
        keys, place = groups(lines, CATEGORIES)
        counts = np.bincount(place, minlength=len(keys))
        return {
            column: int(counts[[key[position] not in self.categories[column] for key in keys]].sum())
            for position, column in enumerate(CATEGORIES)
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


class Fitting:
    """Fits on lines that come in parts, of which it keeps counts only: the same whatever the parts and the order."""

    def __init__(self) -> None:
        self._seen, self._minutes, self._fees = Counter[Key](), Seen(), Seen()
        self._places: dict[Key, int] = {}

    def add(self, lines: Lines) -> None:
        if len(self._seen) > MOST_COMBINATIONS:  # which are held, so that no more are
            return
        keys, place = groups(lines, CATEGORIES)
        self._seen.update(dict(zip(keys, np.bincount(place, minlength=len(keys)).tolist(), strict=True)))
        among_all = np.array([self._places.setdefault(key, len(self._places)) for key in keys], dtype=np.int64)[place]
        self._minutes.add(among_all, _log(lines, "minutes"))
        self._fees.add(among_all, _log(lines, "fee"))

    def encoder(self) -> Encoder:
        """Raises TooManyCombinationsError: the lines have more than MOST_COMBINATIONS."""
        if len(self._seen) > MOST_COMBINATIONS:
            raise TooManyCombinationsError
        categories = {}
        for position, column in enumerate(CATEGORIES):
            counts = Counter[str]()
            for key, count in self._seen.items():
                counts[str(key[position])] += count
            ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
            categories[column] = dict(ranked[:MOST_CATEGORIES])
        by_resource = [(key[CATEGORIES.index("resource")],) for key in self._places]
        return Encoder(
            categories=categories,
            combinations={key: self._seen[key] for key in sorted(self._seen) if _is_known(key, categories)},
            minutes=Peers.fit(list(self._places), self._minutes, _MINUTES_LEVELS, _MINUTES_LIMITS, _MINUTES_SPREAD),
            fee=Peers.fit(by_resource, self._fees, _FEE_LEVELS, _FEE_LIMITS, _FEE_SPREAD),
        )


def _is_known(key: Key, categories: dict[str, dict[str, int]]) -> bool:
    return all(name in categories[column] for column, name in zip(CATEGORIES, key, strict=True))


def due(lines: Lines) -> np.ndarray:
    """What the line should cost: minutes / 60 * fee, shape [n]."""
    return number(lines, "minutes") / 60 * number(lines, "fee")


def off_arithmetic(lines: Lines) -> np.ndarray:
    """ln(total / due) of each line; 0 within rounding."""
    total, owed = number(lines, "total"), due(lines)
    off = np.zeros(len(total))
    rows = np.flatnonzero(np.abs(total - np.round(owed, 2)) > _ARITHMETIC_CENTS)
    ratio = np.log(np.maximum(total[rows], _CENT) / np.maximum(owed[rows], _CENT))
    off[rows] = np.where(np.abs(ratio) <= _ARITHMETIC_SHARE, 0.0, ratio)
    return off


def _log(lines: Lines, column: str) -> np.ndarray:
    """Natural logarithm, with a cent (or a hundredth of a minute) in place of nothing."""
    return np.log(np.maximum(number(lines, column), _CENT))
