"""The engine's forest beside rrcf's and scikit-learn's IsolationForest: training and scoring on the same features.

    make bench ONLY=forest        # brings rrcf, which nothing else here needs

The sample file's features, 100 trees of 256 lines; the ways take turns, and the table has the medians.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rrcf
from sklearn.ensemble import IsolationForest

from benchmarks.methods import Trial, train_forest
from benchmarks.tables import write
from local.sagemaker import forest

RUNS = 5
TREES, SAMPLES = 100, 256
SLOW_ROWS = 100  # of those to score, as many as rrcf takes a few seconds for
Score = Callable[[np.ndarray], object]


@dataclass(frozen=True)
class Way:
    """`train` returns what scores rows; `rows`: as many it is given to score, all where None."""

    train: Callable[[np.ndarray, int], Score]
    rows: int | None = None


def engine(rows: np.ndarray, seed: int) -> Score:
    """As the local SageMaker does: equal rows of a request are scored once."""
    model = train_forest(rows, TREES, SAMPLES)
    return lambda some: forest.score(model, some, lambda: None)


def line_by_line(rows: np.ndarray, seed: int) -> Score:
    model = train_forest(rows, TREES, SAMPLES)
    return lambda some: [model.score(row) for row in some.tolist()]


def isolation(rows: np.ndarray, seed: int) -> Score:
    return IsolationForest(n_estimators=TREES, max_samples=SAMPLES, random_state=seed).fit(rows).score_samples


def robust(rows: np.ndarray, seed: int) -> Score:
    """rrcf's trees take no row twice, so each draws from the distinct ones; it scores a row by inserting it into each
    tree, asking for its displacement, and taking it out again."""
    rng, distinct = np.random.default_rng(seed), np.unique(rows, axis=0)
    trees = [rrcf.RCTree(distinct[rng.choice(len(distinct), SAMPLES, replace=False)]) for _ in range(TREES)]

    def score(some: np.ndarray) -> list[float]:
        return [statistics.fmean(_displacement(tree, row) for tree in trees) for row in some]

    return score


def _displacement(tree: rrcf.RCTree, row: np.ndarray) -> float:
    tree.insert_point(row, index="new")
    displacement = tree.codisp("new")
    tree.forget_point("new")
    return displacement


WAYS = {
    "krcf, as the engine uses it": Way(engine),
    "krcf, line by line": Way(line_by_line),
    "scikit-learn's IsolationForest": Way(isolation),
    "rrcf": Way(robust, rows=SLOW_ROWS),
}


@dataclass(frozen=True)
class Cell:
    """Processor time of training, and of scoring a million rows at that pace."""

    training: float
    scoring: float


def measure(way: Way, train: np.ndarray, rows: np.ndarray, seed: int) -> Cell:
    rows = rows[: way.rows]
    started = time.process_time()
    score = way.train(train, seed)
    trained = time.process_time()
    score(rows)
    return Cell(trained - started, (time.process_time() - trained) / len(rows) * 1e6)


def table(cells: dict[str, list[Cell]]) -> str:
    shown = [
        "| | training | times the engine's | scoring a million lines | times the engine's |",
        "|---" * 5 + "|",
    ]
    middle = {
        way: [statistics.median(getattr(cell, what) for cell in found) for what in ("training", "scoring")]
        for way, found in cells.items()
    }
    own = next(iter(middle.values()))
    for way, (training, scoring) in middle.items():
        shown.append(
            f"| {way} | {training:.2f} s | {training / own[0]:.2f} | {scoring:,.0f} s | {scoring / own[1]:,.2f} |"
        )
    return "\n".join(shown)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forest", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--write", type=Path, help="put the table into this document instead of printing it")
    options = parser.parse_args()
    train, rows = Trial.make("published", 1).rows
    # As the engine reads them: krcf takes doubles, the others the same numbers.
    train, rows = (np.round(each.astype(np.float64), 4) for each in (train, rows))
    cells: dict[str, list[Cell]] = {}
    for number in range(options.runs):
        for name, way in WAYS.items():
            cells.setdefault(name, []).append(measure(way, train, rows, number))
            print(f"{number + 1} of {options.runs}, {name}: {cells[name][-1]}", file=sys.stderr, flush=True)
    text = f"On {os.cpu_count()} cores; {len(train):,} lines to train on, {len(rows):,} to score.\n\n{table(cells)}"
    write(text, options.write, "benchmarks.forest")


if __name__ == "__main__":
    main()
