"""Why a line is flagged, found through an endpoint that gives scores only.

One field of the line at a time is put to what is usual among its peers, the line is encoded and scored again, and what
the score drops by is that field's part in it. Where minutes or fee change, the total follows, and where a category
changes, minutes and rate stay as far from what is usual as they were, so that only one thing changes. A category is
tried against the other categories only where the combination is rare.

The three categories of a rare combination often hold equal parts, for a change of any of them mends it. The resource is
named then: matter type and activity say what there was to do, the resource who was sent to do it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from suspicious_lines.encoder import CATEGORIES, NUMERIC_FEATURES, Encoder, due
from suspicious_lines.features import features_csv
from suspicious_lines.ranking import Reference
from suspicious_lines.rules import Rules

if TYPE_CHECKING:
    import pandas as pd

MOST_LINES = 5_000
MOST_REQUESTS = 8
MOST_BYTES = MOST_REQUESTS * 3_900_000
MOST_CATEGORIES = 6
RARE = float(np.log(4))  # a quarter of what was to be expected
EQUAL = 0.8  # of the greatest drop: mending a combination in two ways gives scores that differ by less
FIELDS = ["minutes", "fee", "total", *CATEGORIES]
RULE_FIELDS = {
    "arithmetic": "total",
    "duplicate": "duplicate",
    "rate": "fee",
    "minutes_cap": "minutes",
    "day": "minutes",
}

Score = Callable[[bytes], list[float]]


@dataclass(frozen=True)
class Usual:
    """What is usual for each line, arrays of shape [n] in natural units."""

    minutes_low: np.ndarray
    minutes: np.ndarray
    minutes_high: np.ndarray
    fee_low: np.ndarray
    fee: np.ndarray
    fee_high: np.ndarray
    due: np.ndarray

    @classmethod
    def of(cls, lines: "pd.DataFrame", encoder: Encoder, rules: Rules) -> "Usual":
        peers, card = encoder.minutes.of(lines), encoder.fee.of(lines)
        fee_low, fee_high = rules.card(lines, encoder)
        return cls(
            np.exp(peers["low"]), np.exp(peers["median"]), np.exp(peers["high"]),
            fee_low, np.clip(np.exp(card["median"]), fee_low, fee_high), fee_high,
            np.round(due(lines), 2),
        )  # fmt: skip


def explain(
    lines: "pd.DataFrame",
    hits: dict[str, np.ndarray],
    encoder: Encoder,
    rules: Rules,
    reference: Reference,
    score: Score | None,
) -> "pd.DataFrame":
    """Explains flagged lines, worst first, of shape [n] with `model_score`; `score` is None where no endpoint can be
    asked, and then the field is the one furthest from what is usual.

    Returns a frame of the same index: `field`, the field that holds the most; `shares`, a dict of the share that each
    field holds (empty where it was not tried); `reason`, a sentence; `expected_low`, `expected_high`, the usual range
    of the field (NaN where there is none); `at_stake`, what the line costs above what is usual.
    """
    import pandas as pd

    usual = Usual.of(lines, encoder, rules)
    drops = _drops(lines, usual, encoder, score)
    fields = _fields(lines, hits, drops, encoder, rules, reference)
    rows = []
    for place, line in enumerate(lines.itertuples(index=False)):
        told = [name for name, hit in hits.items() if hit[place]]
        rows.append(_told(line, fields[place], told, drops[place], usual, place))
    columns = ["field", "shares", "reason", "expected_low", "expected_high", "at_stake"]
    return pd.DataFrame(rows, columns=columns, index=lines.index)


def _drops(lines: "pd.DataFrame", usual: Usual, encoder: Encoder, score: Score | None) -> np.ndarray:
    """How much the score drops with each of FIELDS put right: shape [n, fields], NaN where it was not tried."""
    drops = np.full((len(lines), len(FIELDS)), np.nan)
    if score is None:
        return drops
    variants = _variants(lines.head(MOST_LINES), usual, encoder)
    if variants.empty:
        return drops
    rows = features_csv(encoder, variants).splitlines(keepends=True)
    fit = int(np.searchsorted(np.cumsum([len(row) for row in rows]), MOST_BYTES, side="right"))
    # A line is tried with all its variants or not at all.
    cut = variants["place"].iloc[fit] if fit < len(rows) else len(lines)
    tried = variants[variants["place"] < cut]
    scores = np.array(score(b"".join(rows[: len(tried)])))
    best = np.full_like(drops, np.inf)
    np.minimum.at(best, (tried["place"].to_numpy(), tried["field"].to_numpy()), scores)
    dropped = np.maximum(lines["model_score"].to_numpy()[:, None] - best, 0.0)
    return np.where(np.isinf(best), np.nan, dropped)


def _variants(lines: "pd.DataFrame", usual: Usual, encoder: Encoder) -> "pd.DataFrame":
    """Every line with one field changed, in the lines' order: their columns, `place` and `field` (both numbers)."""
    import pandas as pd

    plain = lines[[*CATEGORIES, "minutes", "fee", "total"]].astype(dict.fromkeys(CATEGORIES, object))
    plain = plain.assign(place=np.arange(len(lines)))
    count = len(lines)
    minutes, fee = usual.minutes[:count], usual.fee[:count]
    ratio = {"minutes": minutes / plain["minutes"], "fee": fee / np.maximum(plain["fee"], 0.01)}
    variants = [
        plain.assign(minutes=minutes, total=plain["total"] * ratio["minutes"], field=0),
        plain.assign(fee=fee, total=plain["total"] * ratio["fee"], field=1),
        plain.assign(total=usual.due[:count], field=2),
    ]
    variants += _combinations(plain[encoder.rarity(plain) > RARE], encoder) if count else []
    return pd.concat(variants, ignore_index=True).sort_values(["place", "field"], kind="stable", ignore_index=True)


def _combinations(rare: "pd.DataFrame", encoder: Encoder) -> "list[pd.DataFrame]":
    """Lines with one category replaced, their numbers as far from what is usual there as they were before."""
    features = encoder.encode(rare)[:, : NUMERIC_FEATURES.index("rarity")]
    variants = []
    for number, column in enumerate(CATEGORIES, start=3):
        for name in list(encoder.categories[column])[:MOST_CATEGORIES]:
            other = (rare[column] != name).to_numpy()
            encoded = encoder.encode(rare[other].assign(**{column: name}))
            encoded[:, : features.shape[1]] = features[other]
            variants.append(encoder.decode(encoded).assign(place=rare["place"][other].to_numpy(), field=number))
    return variants


def _fields(
    lines: "pd.DataFrame",
    hits: dict[str, np.ndarray],
    drops: np.ndarray,
    encoder: Encoder,
    rules: Rules,
    reference: Reference,
) -> list[str]:
    """The field that holds most: the rarest rule's where a rule is the stronger finding, the greatest drop else."""
    encoded = np.abs(encoder.encode(lines)[:, : len(NUMERIC_FEATURES)])
    furthest = np.column_stack([encoded[:, :2].max(axis=1), encoded[:, 2:5]]).argmax(axis=1)
    fallback = np.array(["minutes", "fee", "total", "resource"])[furthest]
    tried = np.nan_to_num(drops, nan=-1.0)
    greatest, held_by = tried.max(axis=1), tried.argmax(axis=1)
    resource = FIELDS.index("resource")
    equal = (held_by >= FIELDS.index(CATEGORIES[0])) & (tried[:, resource] >= EQUAL * greatest)
    held_by = np.where(equal, resource, held_by)
    fields = np.where(greatest > 0, np.array(FIELDS)[held_by], fallback).astype(object)
    if hits:
        ruled = reference.rule_surprise(hits) >= reference.model_surprise(lines["model_score"].to_numpy())
        for name in sorted(reference.shares, key=reference.shares.__getitem__, reverse=True):
            fields[ruled & hits[name]] = RULE_FIELDS[name]
    return list(fields)


def _told(line: Any, field: str, told: list[str], drops: np.ndarray, usual: Usual, place: int) -> tuple:
    total = np.nansum(drops) if not np.isnan(drops).all() else 0.0
    shares = (
        {name: round(float(drop / total), 3) for name, drop in zip(FIELDS, drops, strict=True) if drop > 0}
        if total > 0
        else {}
    )
    sentence, low, high, fair = _SENTENCES.get(field, _combination)(line, usual, place)
    others = dict.fromkeys(RULE_FIELDS[name] for name in told if RULE_FIELDS[name] != field)
    also = [_SENTENCES[other](line, usual, place)[0] for other in others]
    at_stake = round(min(max(line.total - fair, 0.0), line.total), 2)
    told_first = sentence[0].upper() + sentence[1:]
    return field, shares, "; also: ".join([told_first, *also]), low, high, at_stake


def _minutes(line: Any, usual: Usual, place: int) -> tuple[str, float, float, float]:
    low, high = round(usual.minutes_low[place]), round(usual.minutes_high[place])
    who = f"{line.resource}, {line.activity}, {line.matter_type}"
    return (
        f"{line.minutes:g} minutes; usual for {who}: {low} to {high}",
        low,
        high,
        line.total * usual.minutes[place] / line.minutes,
    )


def _fee(line: Any, usual: Usual, place: int) -> tuple[str, float, float, float]:
    low, high = round(usual.fee_low[place], 2), round(usual.fee_high[place], 2)
    fair = line.total * usual.fee[place] / max(line.fee, 0.01)
    return f"rate of {line.fee:,.2f}; usual for {line.resource}: {low:,.2f} to {high:,.2f}", low, high, fair


def _total(line: Any, usual: Usual, place: int) -> tuple[str, float, float, float]:
    owed = usual.due[place]
    made = f"{line.minutes:g} minutes at {line.fee:,.2f} make {owed:,.2f}"
    return f"total of {line.total:,.2f}, but {made}", owed, owed, owed


def _duplicate(line: Any, usual: Usual, place: int) -> tuple[str, float, float, float]:
    return f"billed before: the same as line {line.repeats}", np.nan, np.nan, 0.0


def _combination(line: Any, usual: Usual, place: int) -> tuple[str, float, float, float]:
    return f"{line.resource} on {line.activity} is rare in {line.matter_type}", np.nan, np.nan, 0.0


_SENTENCES = {"minutes": _minutes, "fee": _fee, "total": _total, "duplicate": _duplicate}
