"""The self-test: errors of known kinds, planted in copies of a file's own lines, that are scored but never reported."""

from typing import TYPE_CHECKING

import numpy as np

from suspicious_lines.peers import Lines, number

if TYPE_CHECKING:
    import pandas as pd

LINES_PER_KIND = 50
KINDS = ["minutes", "fee", "total", "duplicate"]


def plant(lines: "pd.DataFrame", seed: int) -> "pd.DataFrame":
    """Up to LINES_PER_KIND copies a kind, with the column `planted`.

    `minutes`: three to six times as long; `fee`: a rate raised by 30 to 100 %; `total`: 5 to 50 % above minutes * fee;
    `duplicate`: billed a second time. Lines that are known errors are not copied, unless all are.
    """
    rng = np.random.default_rng(seed)
    fine = lines[~lines["error"].fillna(False).to_numpy(bool)]
    source = fine if len(fine) else lines
    copies = source.iloc[picked(len(source), rng)].reset_index(drop=True)
    return copies.assign(**altered(copies, rng))


def picked(count: int, rng: "np.random.Generator") -> np.ndarray:
    """Which of `count` lines to copy: positions, as many of each kind, in the order of KINDS."""
    return np.concatenate([rng.choice(count, min(LINES_PER_KIND, count), replace=False) for _ in KINDS])


def altered(copies: Lines, rng: "np.random.Generator") -> dict[str, np.ndarray]:
    """The columns of the copies of `picked` lines that planting changes; `rng` is the one that picked them."""
    kinds = np.repeat(KINDS, len(copies) // len(KINDS))
    minutes, fee, total = (number(copies, column).copy() for column in ("minutes", "fee", "total"))
    rows = {kind: kinds == kind for kind in KINDS}
    count = int(rows["minutes"].sum())
    minutes[rows["minutes"]] = np.round(minutes[rows["minutes"]] * rng.uniform(3, 6, count))
    fee[rows["fee"]] = np.round(fee[rows["fee"]] * rng.uniform(1.3, 2, count))
    due = minutes / 60 * fee
    billed = rows["minutes"] | rows["fee"]
    total[billed] = np.round(due[billed], 2)
    total[rows["total"]] = np.round(due[rows["total"]] * rng.uniform(1.05, 1.5, count), 2)
    repeats = np.where(rows["duplicate"], number(copies, "line", np.int64), 0)
    return {"planted": kinds, "repeats": repeats, "minutes": minutes, "fee": fee, "total": total}
