"""Patterns that reviewers always call fine: proposed from their verdicts, set by an operator, left out of the lists.

An operator accepts a proposal by putting it into config/suppressions.json of the data bucket. No line is lost: it stays
in scored_lines.parquet and in the captured dataset, with the suppression's name.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Annotated

import numpy as np
from msgspec import Meta, convert

from suspicious_lines.configuration import Configuration
from suspicious_lines.documents import Document
from suspicious_lines.quality import wilson

if TYPE_CHECKING:
    import pandas as pd

    from suspicious_lines.judging import Judgement

# A pattern is proposed where less than this share of its lines is an error, 95 % sure. That takes 12 verdicts that are
# all fine (Wilson's bound of 0 in 12 is 0.243), 21 with one query among them: fewer could be luck.
MOST_QUERIED = 0.25

_PATTERN = ["firm_name", "matter_type", "resource", "activity", "field"]
# The narrowest first: a pattern of one matter type hides less than one of all of them.
_LEVELS = [_PATTERN, [name for name in _PATTERN if name != "matter_type"]]


class Suppression(Document, forbid_unknown_fields=True):
    """Flagged lines with these values are not listed, up to an amount at stake; `matter_type` null: of any."""

    name: Annotated[str, Meta(min_length=1, description="what metrics.json and the datasets call it")]
    firm_name: str
    matter_type: str | None = None
    resource: str
    activity: str
    field: Annotated[
        str, Meta(description="what the line was flagged for: minutes, fee, total, duplicate or a category")
    ]
    at_stake_up_to: Annotated[float, Meta(ge=0, description="a line with more at stake is listed all the same")]
    until: Annotated[date | None, Meta(description="the last day on which it applies, UTC")] = None

    def matches(self, flagged: "pd.DataFrame") -> np.ndarray:
        """A mask over explained lines."""
        told = {name: getattr(self, name) for name in _PATTERN if getattr(self, name) is not None}
        same = [(flagged[name].astype(object) == value).to_numpy(bool) for name, value in told.items()]
        return np.logical_and.reduce([*same, (flagged["at_stake"] <= self.at_stake_up_to).to_numpy(bool)])


class Suppressions(Configuration):
    """The whole configuration; of two that match a line the first one counts."""

    FILE = "suppressions.json"

    suppressions: list[Suppression]

    def __post_init__(self) -> None:
        names = [suppression.name for suppression in self.suppressions]
        if len(names) != len(set(names)):
            raise ValueError("two suppressions have the same name")

    def matching(self, flagged: "pd.DataFrame", day: date) -> "pd.Series":
        """The name of the suppression in force on `day` that matches each line; NA where none does."""
        found = flagged.assign(suppressed_by=None)["suppressed_by"].astype("string")
        for suppression in reversed(self.suppressions):
            if suppression.until is None or day <= suppression.until:
                found[suppression.matches(flagged)] = suppression.name
        return found


def suppress(
    judgement: "Judgement", explained: "pd.DataFrame", suppressions: Suppressions, day: date
) -> "tuple[Judgement, pd.DataFrame]":
    """Takes what a suppression matches off the list.

    Returns the judgement, whose lines gain `suppressed_by` and are `suspicious` only where they are listed, and the
    listed ones of the `explained` lines. The threshold's own flags stay: suppressing says nothing about the model.
    """
    names = suppressions.matching(explained, day)
    suppressed_by = names.reindex(judgement.lines.index)
    suspicious = judgement.lines["suspicious"] & suppressed_by.isna()
    lines = judgement.lines.assign(suspicious=suspicious.to_numpy(bool), suppressed_by=suppressed_by)
    return replace(judgement, lines=lines), explained[names.isna().to_numpy(bool)]


def propose(judged: "pd.DataFrame", accepted: Suppressions, day: date) -> list[Suppression]:
    """Suppressions for what reviewers keep calling fine, beyond those that are in force already.

    `judged`: flagged lines with the pattern's columns, `at_stake` and `is_error`. A line serves one proposal only. The
    cap is the most that was at stake among the fine ones.
    """
    told = judged[judged["field"].notna().to_numpy(bool)]
    left = told[accepted.matching(told, day).isna().to_numpy(bool)]
    proposals: list[Suppression] = []
    names = {suppression.name for suppression in accepted.suppressions}
    for level in _LEVELS:
        served = np.zeros(len(left), dtype=bool)
        for values, lines in left.groupby(level, observed=True, sort=True):
            is_error = lines["is_error"].to_numpy(bool)
            if wilson(int(is_error.sum()), len(lines))[1] >= MOST_QUERIED:
                continue
            pattern = {name: str(value) for name, value in zip(level, values, strict=True)}
            cap = float(lines.loc[~is_error, "at_stake"].max())
            name = _unused(", ".join(pattern.values()), names)
            names.add(name)
            proposals.append(convert({"name": name, "at_stake_up_to": cap, **pattern}, Suppression))
            served |= left.index.isin(lines.index)
        left = left[~served]
    return proposals


def _unused(name: str, taken: Iterable[str]) -> str:
    """The name, numbered where a suppression of the same pattern has it: an expired one, or with a lower cap."""
    taken = set(taken)
    numbered = (f"{name} ({number})" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(other for other in numbered if other not in taken)
