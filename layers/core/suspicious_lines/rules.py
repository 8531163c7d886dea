"""The second opinion: a few rules any reviewer would check by hand, each switched and set in rules.json.

An operator changes them by putting a file of the same form at config/rules.json in the data bucket.
"""

from typing import TYPE_CHECKING, Annotated

import numpy as np
from msgspec import Meta

from suspicious_lines.configuration import Configuration
from suspicious_lines.documents import Document
from suspicious_lines.encoder import Encoder, due

if TYPE_CHECKING:
    import pandas as pd


class Rule(Document, forbid_unknown_fields=True):
    """`ranks`: whether a hit lifts a line in the ranking, or is only told beside the model's own finding."""

    enabled: bool
    ranks: bool


class ArithmeticRule(Rule):
    tolerance: Annotated[
        float, Meta(ge=0, description="most that Total may differ from Minutes / 60 * Fee, in currency units")
    ]


class RateRule(Rule):
    tolerance: Annotated[float, Meta(ge=0, le=1, description="share by which a rate may leave its card")]
    cards: Annotated[
        dict[str, tuple[float, float]],
        Meta(description="lowest and highest rate by resource; without one, the 1 % to 98.5 % quantiles of the past"),
    ]


class MinutesCapRule(Rule):
    minutes: Annotated[dict[str, float], Meta(description="most minutes by activity")]


class DayRule(Rule):
    minutes: Annotated[float, Meta(gt=0, description="most minutes of one line")]


class Rules(Configuration):
    """The whole configuration, in the order in which rules are told."""

    FILE = "rules.json"

    arithmetic: ArithmeticRule
    duplicate: Rule
    rate: RateRule
    minutes_cap: MinutesCapRule
    day: DayRule

    def hits(self, lines: "pd.DataFrame", encoder: Encoder) -> dict[str, np.ndarray]:
        """A mask over the lines for each enabled rule. Needs the column `repeats`: the first equal line, or 0."""
        found = {
            "arithmetic": np.abs(lines["total"] - np.round(due(lines), 2)) > self.arithmetic.tolerance,
            "duplicate": lines["repeats"] > 0,
            "rate": self._off_card(lines, encoder),
            "minutes_cap": lines["minutes"] > lines["activity"].astype(object).map(self.minutes_cap.minutes),
            "day": lines["minutes"] > self.day.minutes,
        }
        return {name: np.asarray(hit, dtype=bool) for name, hit in found.items() if getattr(self, name).enabled}

    def ranking(self) -> list[str]:
        """The rules whose hits lift a line."""
        return [name for name in self.__struct_fields__ if getattr(self, name).ranks]

    def _off_card(self, lines: "pd.DataFrame", encoder: Encoder) -> np.ndarray:
        lowest, highest = self.card(lines, encoder)
        fee = lines["fee"].to_numpy(np.float64)
        return (fee < lowest / (1 + self.rate.tolerance)) | (fee > highest * (1 + self.rate.tolerance))

    def card(self, lines: "pd.DataFrame", encoder: Encoder) -> tuple[np.ndarray, np.ndarray]:
        """The lowest and highest usual rate of each line's resource."""
        learnt = encoder.fee.of(lines)
        given = lines["resource"].astype(object).map(self.rate.cards)
        edges = []
        for side, quantile in enumerate(("floor", "ceiling")):
            told = given.map(lambda card, side=side: card[side], na_action="ignore").to_numpy(np.float64)
            edges.append(np.where(np.isnan(told), np.exp(learnt[quantile]), told))
        return edges[0], edges[1]
