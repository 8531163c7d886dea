"""Whether a day's lines are still like those the model learnt from: population stability, and what chance makes of it.

The population stability index of two histograms is sum((a - b) * ln(a / b)) over the shares of their bins (Siddiqi,
Credit Risk Scorecards, 2006), which calls 0.1 a shift worth a look. How large it grows by chance depends on how many
lines there are, and lines of one matter are alike: they share the matter type and are billed by the same people. So the
limit comes from a bootstrap over matters: as many matters as the day has are drawn from the baseline again and again,
and a day is called drifted only beyond what all but a very few of these draws reach.

The baseline has about a fifth of each matter's lines, drawn at random, a day whole matters: the draws scatter more than
days do. That errs on the quiet side; docs/monitoring.md has the measured rates of alarms with and without drift.
"""

import itertools
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from suspicious_lines.documents import Document
from suspicious_lines.encoder import CATEGORIES, NUMERIC_FEATURES, OTHER, Encoder

if TYPE_CHECKING:
    import pandas as pd

PSI_WORTH_A_LOOK = 0.1
# Chance that a report on a day without drift alarms; divided among its measures (Bonferroni).
ALPHA = 0.01
DRAWS = 5_000
_DRAWS_AT_ONCE = 250
_BINS = 10
_ADDED = 0.005
_SEED = 0


class Bin(Document):
    """Shares of the baseline's and of the day's lines."""

    label: str
    baseline: float
    day: float


class Measure(Document):
    """`value` is drifted above `limit` or below `low`, where it has them; null where it could not be measured."""

    name: str
    what: str
    value: float | None
    baseline: float | None = None
    low: float | None = None
    limit: float | None = None
    drifted: bool = False
    bins: list[Bin] = []


@dataclass(frozen=True)
class _Characteristic:
    """Something that every line has, sorted into bins: `baseline` and `day` are the numbers of each line's bin."""

    name: str
    what: str
    labels: list[str]
    baseline: np.ndarray
    day: np.ndarray


def stability(baseline: "pd.DataFrame", day: "pd.DataFrame", encoder: Encoder, measures: int) -> list[Measure]:
    """The population stability of each numeric feature, of each category column and of the forest's scores.

    Args:
        baseline, day: lines with `matter_number` and `model_score`, at least one each.
        measures: how many measures share ALPHA in all.
    """
    characteristics = [*_features(baseline, day, encoder), *_categories(baseline, day, encoder)]
    scores = baseline["model_score"].to_numpy(), day["model_score"].to_numpy()
    characteristics.append(_numeric("model_score", "the forest's score", *scores))
    by_matter, widths = _histograms(baseline["matter_number"], characteristics)
    ends = np.cumsum(widths)
    drawn = _draw(by_matter, day["matter_number"].nunique())
    found = []
    for characteristic, start, end in zip(characteristics, ends - widths, ends, strict=True):
        bins = len(characteristic.labels)
        expected = by_matter[:, start:end].sum(axis=0)
        seen = np.bincount(characteristic.day, minlength=bins)
        chance = psi(expected, drawn[:, start:end])
        value = float(psi(expected, seen[None, :])[0])
        limit = max(PSI_WORTH_A_LOOK, float(np.quantile(chance, 1 - ALPHA / measures)))
        shares = zip(
            characteristic.labels, (expected / expected.sum()).tolist(), (seen / seen.sum()).tolist(), strict=True
        )
        found.append(
            Measure(
                name=characteristic.name,
                what=characteristic.what,
                value=round(value, 4),
                limit=round(limit, 4),
                drifted=value > limit,
                bins=[Bin(label=label, baseline=round(b, 4), day=round(d, 4)) for label, b, d in shares],
            )
        )
    return found


def psi(expected: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The index of each row of counts `seen`, shape [n, bins], against the counts `expected`, shape [bins].

    Half a per cent of the lines is added to every bin, so that an empty one does not make it infinite. A share and
    not a number of lines: the draws have fewer lines than the day, and an empty bin must count the same in both.
    """
    b = expected / expected.sum() + _ADDED
    a = seen / seen.sum(axis=1, keepdims=True) + _ADDED
    return np.sum((a - b) * np.log(a / b), axis=1) / (1 + _ADDED * len(b))


def share(name: str, what: str, masks: list[np.ndarray], matters: "list[pd.Series]", measures: int) -> Measure:
    """The share of lines of which something is true, against what as many matters of the baseline have by chance.

    Args:
        name, what: the measure's, `what` in words.
        masks, matters: of the baseline's lines and of the day's.
    """
    of_baseline, of_day = masks
    characteristic = _Characteristic(name, what, ["no", "yes"], of_baseline.astype(int), of_day.astype(int))
    by_matter, _ = _histograms(matters[0], [characteristic])
    drawn = _draw(by_matter, matters[1].nunique())
    chance = drawn[:, 1] / drawn.sum(axis=1)
    low, limit = np.quantile(chance, [ALPHA / measures / 2, 1 - ALPHA / measures / 2])
    value = float(of_day.mean())
    return Measure(
        name=name,
        what=what,
        value=round(value, 4),
        baseline=round(float(of_baseline.mean()), 4),
        low=round(float(low), 4),
        limit=round(float(limit), 4),
        drifted=not low <= value <= limit,
    )


def caught(baseline: np.ndarray, day: np.ndarray, measures: int) -> Measure:
    """Planted errors found among the day's lines against those found among the baseline's, masks over the planted:
    drifted where fewer are found than chance allows (one-sided test of two proportions, level ALPHA / measures)."""
    both = float(np.mean(np.concatenate([baseline, day])))
    error = math.sqrt(both * (1 - both) * (1 / len(baseline) + 1 / len(day)))
    low = float(baseline.mean()) - NormalDist().inv_cdf(1 - ALPHA / measures) * error
    value = float(day.mean())
    return Measure(
        name="catch_rate",
        what="planted errors that would be listed",
        value=round(value, 4),
        baseline=round(float(baseline.mean()), 4),
        low=round(max(low, 0.0), 4),
        drifted=value < low,
    )


def _features(baseline: "pd.DataFrame", day: "pd.DataFrame", encoder: Encoder) -> list[_Characteristic]:
    of_baseline, of_day = (encoder.encode(lines)[:, : len(NUMERIC_FEATURES)] for lines in (baseline, day))
    return [
        _numeric(name, "a feature of the forest", of_baseline[:, column], of_day[:, column])
        for column, name in enumerate(NUMERIC_FEATURES)
    ]


def _numeric(name: str, what: str, baseline: np.ndarray, day: np.ndarray) -> _Characteristic:
    """Bins between the baseline's deciles. Where many lines have none of it, nothing is a bin of its own."""
    edges = np.quantile(baseline, np.linspace(0, 1, _BINS + 1)[1:-1])
    if np.mean(baseline == 0) > 1 / _BINS:
        edges = np.append(edges, [np.nextafter(np.float32(0), np.float32(-1)), 0.0])
    edges = np.unique(edges)
    ends = [f"{edge:.2f}" for edge in edges]
    labels = [f"to {ends[0]}", *(f"{a} to {b}" for a, b in itertools.pairwise(ends)), f"above {ends[-1]}"]
    codes = (np.searchsorted(edges, values, side="left") for values in (baseline, day))
    return _Characteristic(name, what, labels, *codes)


def _categories(baseline: "pd.DataFrame", day: "pd.DataFrame", encoder: Encoder) -> list[_Characteristic]:
    found = []
    for column in CATEGORIES:
        known = {name: code for code, name in enumerate(encoder.categories[column])}
        codes = (lines[column].astype(object).map(known).fillna(len(known)) for lines in (baseline, day))
        labels = [*known, OTHER]
        found.append(_Characteristic(column, "a column", labels, *(code.to_numpy(np.int64) for code in codes)))
    return found


def _histograms(matters: "pd.Series", characteristics: list[_Characteristic]) -> tuple[np.ndarray, np.ndarray]:
    """The baseline's lines by matter and bin, the characteristics' bins side by side, and how many bins each has.

    `matters`: of the baseline's lines.
    """
    places, names = matters.factorize()
    widths = np.array([len(characteristic.labels) for characteristic in characteristics])
    counts = []
    for characteristic, width in zip(characteristics, widths, strict=True):
        cells = np.bincount(places * width + characteristic.baseline, minlength=len(names) * width)
        counts.append(cells.reshape(len(names), width))
    return np.hstack(counts).astype(np.float64), widths


def _draw(by_matter: np.ndarray, matters: int) -> np.ndarray:
    """DRAWS histograms, shape [DRAWS, bins], each of `matters` matters drawn with replacement."""
    rng = np.random.default_rng(_SEED)
    count = len(by_matter)
    chunks = [
        rng.multinomial(matters, np.full(count, 1 / count), _DRAWS_AT_ONCE) @ by_matter
        for _ in range(DRAWS // _DRAWS_AT_ONCE)
    ]
    return np.vstack(chunks)
