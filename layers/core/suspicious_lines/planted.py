"""The self-test: errors of known kinds, planted in copies of a file's own lines, that are scored but never reported."""

import numpy as np
import pandas as pd

LINES_PER_KIND = 50
KINDS = ["minutes", "fee", "total", "duplicate"]


def plant(lines: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Up to LINES_PER_KIND copies a kind, with the column `planted`.

    `minutes`: three to six times as long; `fee`: a rate raised by 30 to 100 %; `total`: 5 to 50 % above minutes * fee;
    `duplicate`: billed a second time. Lines that are known errors are not copied.
    """
    rng = np.random.default_rng(seed)
    fine = lines[~lines["error"].fillna(False).to_numpy(bool)]
    source = fine if len(fine) else lines
    count = min(LINES_PER_KIND, len(source))
    copies = [
        source.iloc[rng.choice(len(source), count, replace=False)].assign(planted=kind, repeats=0) for kind in KINDS
    ]
    minutes, fee, total, duplicate = copies
    minutes = minutes.assign(minutes=np.round(minutes["minutes"] * rng.uniform(3, 6, count)))
    fee = fee.assign(fee=np.round(fee["fee"] * rng.uniform(1.3, 2, count)))
    minutes, fee = (part.assign(total=np.round(part["minutes"] / 60 * part["fee"], 2)) for part in (minutes, fee))
    total = total.assign(total=np.round(total["minutes"] / 60 * total["fee"] * rng.uniform(1.05, 1.5, count), 2))
    duplicate = duplicate.assign(repeats=duplicate["line"])
    return pd.concat([minutes, fee, total, duplicate], ignore_index=True)
