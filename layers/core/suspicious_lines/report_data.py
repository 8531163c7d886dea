"""What the reviewer's page shows, as plain data: numbers are rounded, distributions are counted here."""

from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import to_builtins

from suspicious_lines.encoder import CATEGORIES
from suspicious_lines.quality import Metrics

if TYPE_CHECKING:
    import pandas as pd

BINS = 24
CURVE_POINTS = 200
FEWEST_PEERS = 20
_LINE = ["line", "matter_number", "firm_name", *CATEGORIES, "minutes", "fee", "total", "error", "score", "found_by"]
_TOLD = ["field", "reason", "expected_low", "expected_high", "shares", "at_stake"]


def report_data(
    run: str, key: str, lines: "pd.DataFrame", flagged: "pd.DataFrame", metrics: Metrics, past: "pd.DataFrame"
) -> dict[str, Any]:
    """`lines`: all scored lines with `score`; `flagged`: the explained ones, worst first; `past`: the lines that show
    what is usual."""
    groups = {name: f"p{number}" for number, name in enumerate(dict.fromkeys(map(tuple, flagged[CATEGORIES].values)))}
    return {
        "run": run,
        "upload": key,
        "metrics": to_builtins(metrics),
        "lines": _lines(flagged, groups),
        "peers": _peers(past, groups),
        "score_histogram": _histogram(lines["score"].to_numpy(), float(lines["score"].max())),
        "precision_recall": _curve(lines),
        "firms": _firms(lines, flagged),
    }


def _lines(flagged: "pd.DataFrame", groups: dict[tuple[str, ...], str]) -> list[dict[str, Any]]:
    shown = flagged[_LINE + _TOLD].assign(score=flagged["score"].round(4)).astype(object)
    rows = shown.where(shown.notna(), None).to_dict("records")
    rules = [names.split() for names in flagged["rules"]]
    peers = [groups[name] for name in map(tuple, flagged[CATEGORIES].values)]
    return [row | {"rules": told, "peers": group} for row, told, group in zip(rows, rules, peers, strict=True)]


def _peers(lines: "pd.DataFrame", groups: dict[tuple[str, ...], str]) -> dict[str, dict[str, Any]]:
    """The distribution of each group's minutes and fees; of all lines of the activity where the group is too small."""
    numbers = {name: lines[name].to_numpy() for name in ("minutes", "fee")}
    narrow = lines.groupby(CATEGORIES, observed=True).indices
    wide = lines.groupby("activity", observed=True).indices
    peers = {}
    for name, identity in groups.items():
        matter_type, resource, activity = name
        places, label = narrow.get(name, ()), f"{resource}, {activity}, {matter_type}"
        if len(places) < FEWEST_PEERS:
            places, label = wide.get(activity, np.array([], dtype=int)), activity
        distributions = {number: _distribution(values[places]) for number, values in numbers.items()}
        peers[identity] = {"label": label} | distributions
    return peers


def _distribution(values: np.ndarray) -> dict[str, Any]:
    low, median, high, most = (round(float(value), 2) for value in np.quantile(values, [0.05, 0.5, 0.95, 0.995]))
    return _histogram(values, most) | {"low": low, "median": median, "high": high}


def _histogram(values: np.ndarray, most: float) -> dict[str, Any]:
    """Counts in equal bins from 0 to `most`; what lies above is in the last bin."""
    edges = np.linspace(0, most or 1, BINS + 1)
    counts, _ = np.histogram(np.minimum(values, edges[-1]), edges)
    return {"edges": [round(float(edge), 4) for edge in edges], "counts": [int(count) for count in counts]}


def _curve(lines: "pd.DataFrame") -> list[list[float]] | None:
    """(recall, precision, score) at cuts from the highest score down; None without a known error."""
    labelled = lines[lines["error"].notna()].sort_values("score", ascending=False)
    is_error = labelled["error"].to_numpy(bool)
    if not is_error.any():
        return None
    hits = np.cumsum(is_error)
    found = np.arange(1, len(hits) + 1)
    # Cuts at equal steps of recall: the flat tail of the curve needs few points.
    places = np.unique(np.searchsorted(hits, np.linspace(1, hits[-1], CURVE_POINTS)))
    curve = zip(
        hits[places] / hits[-1], hits[places] / found[places], labelled["score"].to_numpy()[places], strict=True
    )
    return [[round(float(value), 4) for value in point] for point in curve]


def _firms(lines: "pd.DataFrame", flagged: "pd.DataFrame") -> list[dict[str, Any]]:
    """Every firm with a flagged line, the most money first."""
    scored = lines["firm_name"].value_counts()
    found = flagged.groupby("firm_name", observed=True)["at_stake"].agg(["size", "sum"])
    firms = [
        {
            "firm_name": str(name),
            "lines": int(scored[name]),
            "flagged": int(row["size"]),
            "at_stake": round(float(row["sum"]), 2),
        }
        for name, row in found.iterrows()
    ]
    return sorted(firms, key=lambda firm: (-firm["at_stake"], firm["firm_name"]))
