"""Small invoices and fixed names for tests."""

from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from suspicious_lines.messages import ChosenThreshold
from suspicious_lines.quality import Metrics

ROOT = Path(__file__).parents[2]
BUCKET = "suspicious-lines-data-000000000000-us-east-1"
HEADER = "Matter Number,Firm Name,Matter Type,Resource,Activity,Minutes,Fee,Total,Error"


def csv_of(rows: list[str], header: str = HEADER) -> bytes:
    return ("\n".join([header, *rows]) + "\n").encode()


def row(
    number: int = 1, minutes: object = 60, fee: object = 100, total: object = "100.00", error: object = "False"
) -> str:
    return f"{number},Specimen LLP,Antitrust,Junior,Phone Call,{minutes},{fee},{total},{error}"


def lines_frame(count: int, seed: int = 1, labelled: bool = True) -> pd.DataFrame:
    """Lines as `read_lines` accepts them; about 1 in 20 has ten times the usual minutes and is an error."""
    rng = np.random.default_rng(seed)
    is_error = rng.random(count) < 0.05
    resource = rng.choice(["Partner", "Junior", "Paralegal"], count)
    fee = np.select([resource == "Partner", resource == "Junior"], [600.0, 150.0], 50.0)
    minutes = np.round(rng.lognormal(4, 0.3, count)) * np.where(is_error, 10, 1)
    frame = pd.DataFrame(
        {
            "line": np.arange(2, count + 2),
            "matter_number": [str(i // 10) for i in range(count)],
            "firm_name": "Specimen LLP",
            "matter_type": rng.choice(["Antitrust", "IPO"], count),
            "resource": resource,
            "activity": rng.choice(["Phone Call", "Attend Court"], count),
            "minutes": minutes,
            "fee": fee,
            "total": np.round(minutes / 60 * fee, 2),
            "error": pd.array(is_error if labelled else [pd.NA] * count, dtype="boolean"),
            "repeats": 0,
        }
    )
    return frame.astype(
        dict.fromkeys(["matter_number", "firm_name", "matter_type", "resource", "activity"], "category")
    )


def metrics_of(threshold: ChosenThreshold, flagged: int = 0) -> Metrics:
    """The metrics of a run of which only these matter."""
    nothing = dict.fromkeys(Metrics.__struct_fields__)
    counts = {name: 0 for name in Metrics.__struct_fields__ if name.startswith("lines_")}
    rest = {"labelled": 0, "matters": 0, "amount_at_stake": 0}
    empty = {name: {} for name in ("found_by", "rules", "self_test", "unknown_categories", "suppressed")}
    return msgspec.convert(nothing | counts | rest | empty | {"flagged": flagged, "threshold": threshold}, Metrics)
