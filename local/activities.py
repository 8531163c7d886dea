"""Make the sample `activities.csv`: synthetic law-firm invoice lines with the published statistics, not real ones.

Nothing here was taken from a law firm. The counts by matter type, resource and activity, the number of lines and the
number of errors are the published ones; firms, matters, minutes, rates and errors are drawn by this module. The same
seed gives the same bytes. What each kind of file holds, and what was left out, is written down in docs/data.md.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd

Kind = Literal["published", "contextual", "subtle"]

PUBLISHED_LINES = 105_965
PUBLISHED_ERRORS = 2_030
MATTER_TYPES = {
    "Antitrust": 23922,
    "Insolvency": 16499,
    "IPO": 14236,
    "Commercial arbitration": 12927,
    "Project finance": 11776,
    "M&A": 6460,
    "Structured finance": 5498,
    "Asset recovery": 4913,
    "Tax planning": 4871,
    "Securities litigation": 4863,
}
RESOURCES = {"Partner": 26587, "Junior": 26543, "Paralegal": 26519, "Senior": 26316}
ACTIVITIES = {"Prepare Opinion": 26605, "Phone Call": 26586, "Attend Court": 26405, "Attend Meeting": 26369}
COLUMNS = ["Matter Number", "Firm Name", "Matter Type", "Resource", "Activity", "Minutes", "Fee", "Total", "Error"]

CONTENTIOUS = ["Antitrust", "Insolvency", "Commercial arbitration", "Asset recovery", "Securities litigation"]
TYPICAL_MINUTES = {"Phone Call": 30, "Attend Meeting": 60, "Prepare Opinion": 80, "Attend Court": 100}
PACE = {"Partner": 0.9, "Senior": 0.95, "Junior": 1.1, "Paralegal": 1.0}
RATE_CARD = {"Paralegal": (50, 70), "Junior": (150, 180), "Senior": (250, 340), "Partner": (420, 600)}  # an hour
RATE_STEP = {"Paralegal": 5, "Junior": 5, "Senior": 10, "Partner": 20}
NEXT_RESOURCE = {"Paralegal": "Junior", "Junior": "Senior", "Senior": "Partner", "Partner": "Partner"}
TREES = (
    "Alder Ash Aspen Beech Birch Box Cedar Cherry Cypress Elder Elm Fir Ginkgo Hawthorn Hazel Hemlock Hickory Holly "
    "Hornbeam Juniper Larch Laurel Lime Linden Magnolia Maple Medlar Mulberry Myrtle Oak Olive Osier Pear Pine Plane "
    "Poplar Quince Rowan Sorrel Spruce Sumac Sycamore Tamarisk Teak Walnut Willow Wych Yew"
)
FIRMS = [f"Specimen {tree} LLP" for tree in TREES.split()]

LINES_A_MATTER = 52.5
WORKING_DAY = (360, 720)  # minutes of a line that bills a working day or more


@dataclass(frozen=True)
class Recipe:
    """What one kind of file is made of."""

    errors: tuple[float, ...]  # share of each of KINDS_OF_ERROR among the labelled errors
    # Lines altered in the same way that reviewers let pass, per labelled error of that kind.
    let_pass: dict[str, float] = field(default_factory=dict)
    inflation: tuple[float, float] = (2.5, 5.0)  # wrong minutes are this many times the right ones ...
    working_day: float = 0.9  # ... or, in this share of them, a WORKING_DAY
    rate_excess: tuple[float, float] = (1.2, 2.0)  # a wrong rate is this many times the top of the resource's card ...
    next_resource: float = 0.5  # ... or, in this share of them, a rate of the next resource
    total_excess: tuple[float, float] = (1.1, 2.0)  # a wrong total is this many times the right one
    long_days: float = 0.0  # share of long lines among court lines of contentious matters, where long is normal


KINDS_OF_ERROR = ["minutes", "rate", "arithmetic", "duplicate", "staffing", "unexplained"]
RECIPES = {
    "published": Recipe(
        errors=(0.78, 0.07, 0.04, 0.03, 0.05, 0.03),
        let_pass={"minutes": 0.13, "rate": 0.10, "duplicate": 0.15, "staffing": 0.05},
    ),
    "contextual": Recipe(
        errors=(0.83, 0.07, 0.0, 0.0, 0.08, 0.02),
        next_resource=1.0,
        long_days=0.015,
    ),
    "subtle": Recipe(
        errors=(0.16, 0.24, 0.24, 0.16, 0.20, 0.0),
        let_pass={"duplicate": 0.05},
        inflation=(2.0, 3.5),
        working_day=0.0,
        rate_excess=(1.05, 1.35),
        next_resource=0.0,
        total_excess=(1.02, 1.2),
    ),
}
UNUSUAL = 0.003  # how frequent unusual staffing is among fine lines, relative to usual staffing
SPREAD = 0.38  # standard deviation of log minutes about the typical ones


def generate(kind: Kind = "published", seed: int = 1, lines: int = PUBLISHED_LINES) -> pd.DataFrame:
    """Invoice lines in the columns of the CSV, sorted by matter; `Error` is a boolean, money is in currency units."""
    return generate_with_answers(kind, seed, lines)[COLUMNS]


def generate_with_answers(kind: Kind = "published", seed: int = 1, lines: int = PUBLISHED_LINES) -> pd.DataFrame:
    """The lines of `generate` with `Error Kind` (empty: a fine line) and `Altered Field` (empty where no one field is).

    A duplicate is the later of two equal lines. A line that was altered but let pass has no kind and keeps its field.
    """
    recipe = RECIPES[kind]
    rng = np.random.default_rng([seed, get_args(Kind).index(kind)])
    errors = round(lines * PUBLISHED_ERRORS / PUBLISHED_LINES)
    labelled = _apportion(dict(zip(KINDS_OF_ERROR, recipe.errors, strict=True)), errors)
    altered = {what: n + round(n * recipe.let_pass.get(what, 0.0)) for what, n in labelled.items()}

    frame = _assign_work(rng, lines, altered["staffing"])
    _assign_matters(rng, frame)
    _bill(rng, frame, recipe)
    _plant(rng, frame, recipe, altered)
    _label(rng, frame, labelled)
    frame = frame.sort_values("Matter Number", kind="stable", ignore_index=True)
    return frame[[*COLUMNS, "Error Kind", "Altered Field"]]


def write_csv(frame: pd.DataFrame, path: Path | str) -> None:
    """Write the CSV's columns only: UTF-8, `\\n` line ends, amounts with two decimals."""
    frame[[column for column in COLUMNS if column in frame]].to_csv(
        path, index=False, float_format="%.2f", lineterminator="\n", encoding="utf-8"
    )


def is_unusual(matter_types: np.ndarray, resources: np.ndarray, activities: np.ndarray) -> np.ndarray:
    """Whether a partner does the work that is left to paralegals on such matters, or a paralegal writes an opinion.

    That work is the phone calls of contentious matters and, on the other matters, attending court for a formality.
    """
    routine = np.where(np.isin(matter_types, CONTENTIOUS), "Phone Call", "Attend Court")
    partner = (resources == "Partner") & (activities == routine)
    return partner | ((resources == "Paralegal") & (activities == "Prepare Opinion"))


def _apportion(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers in the proportions of `shares` that sum to `total` (largest remainder)."""
    exact = np.array(list(shares.values()), dtype=float)
    exact *= total / exact.sum()
    whole = np.floor(exact).astype(int)
    whole[np.argsort(whole - exact, kind="stable")[: total - whole.sum()]] += 1
    return dict(zip(shares, whole.tolist(), strict=True))


def _assign_work(rng: np.random.Generator, lines: int, unusual_lines: int) -> pd.DataFrame:
    """Matter type, resource and activity of each line, in the published counts exactly; some are unusual on purpose."""
    margins = [_apportion(counts, lines) for counts in (MATTER_TYPES, RESOURCES, ACTIVITIES)]
    names = ["Matter Type", "Resource", "Activity"]
    cells = pd.MultiIndex.from_product(margins, names=names).to_frame(index=False)
    odd = is_unusual(*(cells[name].to_numpy() for name in names))
    shape = tuple(len(margin) for margin in margins)
    remaining = [np.array(list(margin.values())) for margin in margins]

    weight = np.array([MATTER_TYPES[name] for name in cells["Matter Type"]]) * odd
    planted = rng.choice(len(cells), size=unusual_lines, p=weight / weight.sum())
    for margin, index in zip(remaining, np.unravel_index(planted, shape), strict=True):
        margin -= np.bincount(index, minlength=len(margin))

    usual = np.repeat(np.arange(len(cells)), _table(remaining, np.where(odd, UNUSUAL, 1.0).reshape(shape)).ravel())
    for margin, index in zip(remaining, np.unravel_index(usual, shape), strict=True):
        margin -= np.bincount(index, minlength=len(margin))
    rest = np.ravel_multi_index([rng.permutation(np.repeat(np.arange(len(m)), m)) for m in remaining], shape)

    frame = cells.iloc[np.concatenate([planted, usual, rest])].reset_index(drop=True)
    frame["Plan"] = np.where(np.arange(lines) < unusual_lines, "staffing", "")
    return frame.iloc[rng.permutation(lines)].reset_index(drop=True)


def _table(margins: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Whole counts proportional to `weights` that stay within every margin (iterative proportional fitting)."""
    table = weights.astype(float)
    for _ in range(50):
        for axis, margin in enumerate(margins):
            others = tuple(other for other in range(table.ndim) if other != axis)
            scale = margin / np.maximum(table.sum(axis=others), 1e-9)
            table *= scale.reshape([-1 if other == axis else 1 for other in range(table.ndim)])
    # The last digits of a sum differ between machines; a count must not.
    return np.floor(table - 1e-6).clip(0).astype(int)


def _assign_matters(rng: np.random.Generator, frame: pd.DataFrame) -> None:
    """Give each line a matter of its type and each matter a firm, with how dear that firm is (0 to 1)."""
    matter = np.empty(len(frame), dtype=int)
    first = 0
    for rows in frame.groupby("Matter Type", sort=True).indices.values():
        count = max(1, round(len(rows) / LINES_A_MATTER))
        matter[rows] = first + rng.integers(0, count, len(rows))
        first += count
    numbers = rng.permutation(first) + 1
    firm_of_matter = rng.integers(0, len(FIRMS), first)
    dearness = rng.random(len(FIRMS))
    frame["Matter Number"] = numbers[matter]
    frame["Firm Name"] = np.array(FIRMS)[firm_of_matter[matter]]
    frame["Dearness"] = dearness[firm_of_matter[matter]]


def _bill(rng: np.random.Generator, frame: pd.DataFrame, recipe: Recipe) -> None:
    """Minutes (in steps of five) and hourly rate of lines that are as they should be."""
    n = len(frame)
    contentious = frame["Matter Type"].isin(CONTENTIOUS).to_numpy()
    typical = frame["Activity"].map(TYPICAL_MINUTES).to_numpy() * frame["Resource"].map(PACE).to_numpy()
    typical = typical * np.where(contentious, 1.1, 0.9)
    frame["Minutes"] = _to_five(typical * np.exp(SPREAD * rng.standard_normal(n)))
    frame["Long"] = contentious & (frame["Activity"] == "Attend Court").to_numpy() & (recipe.long_days > 0)
    long = frame["Long"].to_numpy() & (rng.random(n) < recipe.long_days)
    frame.loc[long, "Minutes"] = _to_five(rng.uniform(*WORKING_DAY, long.sum()))

    # People of one firm are not paid alike.
    place = (frame["Dearness"] + rng.normal(0, 0.2, n)).clip(0, 1)
    frame["Fee"] = _rate(frame["Resource"], place)

    # Without a date a repeated line reads as billed twice, so a firm merges repeats before it bills.
    same = ["Matter Number", "Resource", "Activity", "Fee", "Minutes"]
    for _ in range(100):
        repeats = frame.duplicated(same).to_numpy()
        if not repeats.any():
            break
        frame.loc[repeats, "Minutes"] = _to_five(frame.loc[repeats, "Minutes"] + rng.integers(-2, 4, repeats.sum()) * 5)


def _rate(resources: pd.Series, place: pd.Series | np.ndarray) -> np.ndarray:
    """The hourly rate at a place (0 lowest, 1 highest) in each resource's card."""
    low, high = (resources.map({name: card[end] for name, card in RATE_CARD.items()}).to_numpy() for end in (0, 1))
    step = resources.map(RATE_STEP).to_numpy()
    return low + (np.rint(np.asarray(place) * (high - low) / step) * step).astype(int)


def _to_five(minutes: np.ndarray | pd.Series) -> np.ndarray:
    return np.maximum(5, np.rint(np.asarray(minutes) / 5) * 5).astype(int)


def _plant(rng: np.random.Generator, frame: pd.DataFrame, recipe: Recipe, altered: dict[str, int]) -> None:
    """Alter as many lines of each kind as `altered` says, then work out every total."""
    frame["Altered Field"] = np.where(frame["Plan"] == "staffing", "Resource", "")
    order = rng.permutation(np.flatnonzero((frame["Plan"] == "").to_numpy()))
    # Where long is normal, a long line is no error.
    order = order[np.argsort(frame["Long"].to_numpy()[order], kind="stable")]
    rows: dict[str, np.ndarray] = {}
    for what, count in altered.items():
        if what not in ("staffing", "duplicate"):
            rows[what], order = order[:count], order[count:]
            frame.loc[rows[what], "Plan"] = what

    _inflate_minutes(rng, frame, rows["minutes"], recipe)
    _raise_rate(rng, frame, rows["rate"], recipe)
    _repeat_lines(rng, frame, altered["duplicate"])
    frame["Total"] = np.round(frame["Minutes"] * frame["Fee"] / 60, 2)
    _raise_total(rng, frame, rows["arithmetic"], recipe)


def _inflate_minutes(rng: np.random.Generator, frame: pd.DataFrame, rows: np.ndarray, recipe: Recipe) -> None:
    longer = frame.loc[rows, "Minutes"].to_numpy() * rng.uniform(*recipe.inflation, len(rows))
    day = rng.uniform(*WORKING_DAY, len(rows))
    use_day = (rng.random(len(rows)) < recipe.working_day) & (day > longer)
    frame.loc[rows, "Minutes"] = _to_five(np.where(use_day, day, longer))
    frame.loc[rows, "Altered Field"] = "Minutes"


def _raise_rate(rng: np.random.Generator, frame: pd.DataFrame, rows: np.ndarray, recipe: Recipe) -> None:
    resources = frame.loc[rows, "Resource"]
    dearer = np.rint(_rate(resources, np.ones(len(rows))) * rng.uniform(*recipe.rate_excess, len(rows)) / 5) * 5
    of_next = _rate(resources.map(NEXT_RESOURCE), rng.random(len(rows)))
    use_next = (rng.random(len(rows)) < recipe.next_resource) & (resources != "Partner").to_numpy()
    frame.loc[rows, "Fee"] = np.where(use_next, of_next, dearer).astype(int)
    frame.loc[rows, "Altered Field"] = "Fee"


def _raise_total(rng: np.random.Generator, frame: pd.DataFrame, rows: np.ndarray, recipe: Recipe) -> None:
    excess = rng.uniform(*recipe.total_excess, len(rows))
    frame.loc[rows, "Total"] = np.round(frame.loc[rows, "Total"] * excess, 2)
    frame.loc[rows, "Altered Field"] = "Total"


def _repeat_lines(rng: np.random.Generator, frame: pd.DataFrame, count: int) -> None:
    """Make `count` lines equal to an earlier line of the same matter, resource and activity."""
    by = ["Matter Number", "Resource", "Activity"]
    untouched = frame[frame["Plan"] == ""]
    place = untouched.groupby(by).cumcount()
    copies = untouched[place == 1]
    originals = untouched[place == 0].reset_index().set_index(by)["index"]
    copies = copies.iloc[np.sort(rng.permutation(len(copies))[:count])]
    source = originals.loc[pd.MultiIndex.from_frame(copies[by])].to_numpy()
    frame.loc[copies.index, ["Minutes", "Fee"]] = frame.loc[source, ["Minutes", "Fee"]].to_numpy()
    frame.loc[copies.index, "Plan"] = "duplicate"


def _label(rng: np.random.Generator, frame: pd.DataFrame, labelled: dict[str, int]) -> None:
    """Label as errors the number of lines of each kind that reviewers questioned, out of those altered."""
    frame["Error Kind"] = ""
    for what, count in labelled.items():
        rows = np.flatnonzero((frame["Plan"] == what).to_numpy())
        frame.loc[rng.permutation(rows)[:count], "Error Kind"] = what
    frame["Error"] = frame["Error Kind"] != ""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.activities", description="Write a synthetic activities.csv.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--kind", choices=get_args(Kind), default="published")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lines", type=int, default=PUBLISHED_LINES)
    options = parser.parse_args()
    options.file.parent.mkdir(parents=True, exist_ok=True)
    write_csv(generate(options.kind, options.seed, options.lines), options.file)


if __name__ == "__main__":
    main()
