"""What each feature is worth: the model alone, with one thing about its features changed.

python -m benchmarks.features --seeds 3 --write docs/quality.md
"""

import argparse
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from benchmarks.methods import NUMBERS, Trial, precision_at_half_recall, score_rows, train_forest
from benchmarks.tables import Measured, table, write
from local import activities
from suspicious_lines.encoder import NUMERIC_FEATURES, Encoder

Change = Callable[[np.ndarray, pd.DataFrame, Encoder], np.ndarray]


def _without(feature: str) -> Change:
    return lambda rows, lines, encoder: np.delete(rows, NUMERIC_FEATURES.index(feature), axis=1)


def _one_hot(times: float) -> Change:
    def weigh(rows: np.ndarray, lines: pd.DataFrame, encoder: Encoder) -> np.ndarray:
        start = len(NUMERIC_FEATURES)
        return np.column_stack([rows[:, :start], rows[:, start:] * times])

    return weigh


def _two_sided(rows: np.ndarray, lines: pd.DataFrame, encoder: Encoder) -> np.ndarray:
    peers = encoder.minutes.of(lines)
    distance = 0.6 * (np.log(lines["minutes"]) - peers["median"]) / peers["spread"]
    return np.column_stack([distance, rows[:, 1:]]).astype(np.float32)


def _with_raw(rows: np.ndarray, lines: pd.DataFrame, encoder: Encoder) -> np.ndarray:
    return np.column_stack([rows, lines[NUMBERS]]).astype(np.float32)


CHANGES: dict[str, Change] = {
    "**as they are**": lambda rows, lines, encoder: rows,
    **{f"without {feature}": _without(feature) for feature in NUMERIC_FEATURES},
    "one-hot of 0 and 1 instead of 0 and 0.3": _one_hot(1 / 0.3),
    "without the one-hot features": _one_hot(0),
    "minutes_above_peers on both sides": _two_sided,
    "with minutes, fee and total as they are": _with_raw,
}


def measure(case: tuple[activities.Kind, int]) -> Measured:
    started = time.monotonic()
    trial = Trial.make(*case)
    is_error = trial.validation["error"].to_numpy(bool)
    measured: Measured = {}
    for name, change in CHANGES.items():
        parts = zip(trial.rows, [trial.train, trial.validation], strict=True)
        train, validation = (change(rows, lines, trial.encoder) for rows, lines in parts)
        scores = score_rows(train_forest(train, trees=100, samples=256), validation)
        measured["features", name, "P50"] = precision_at_half_recall(scores, is_error)
        measured["features", name, "AP"] = float(average_precision_score(is_error, scores))
    print(f"{trial.kind} {trial.seed}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="generated files of each kind (default 3)")
    parser.add_argument("--write", type=Path, help="put the table into this document instead of printing it")
    options = parser.parse_args()
    kinds = get_args(activities.Kind)
    with ProcessPoolExecutor() as workers:
        files = {
            kind: list(workers.map(measure, [(kind, seed) for seed in range(1, options.seeds + 1)])) for kind in kinds
        }
    write("\n".join(table("features", files)), options.write, "benchmarks.features")


if __name__ == "__main__":
    main()
