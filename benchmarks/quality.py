"""How well lines are ranked, on three kinds of generated files: the book's way, this product, and what labels could do.

    python -m benchmarks.quality --seeds 10

Every method sees the same 80/20 split and is measured on the validation lines it did not see. P50 is the precision
among the lines that score at least the median score of the errors (so recall is 0.50); AP is the average precision.
P50 reads its cut off the labels it is measured on, as the published result does: it compares rankings, and is not what
a threshold chosen beforehand would reach. The errors are planted by `local/activities.py`; see docs/data.md.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest
from sklearn.metrics import average_precision_score

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "layers" / "core"))

from local import activities
from local.sagemaker import forest
from suspicious_lines.encoder import Encoder

VALIDATION_SHARE = 0.2
CATEGORIES = {
    "matter_type": list(activities.MATTER_TYPES),
    "resource": list(activities.RESOURCES),
    "activity": list(activities.ACTIVITIES),
}
NUMBERS = ["minutes", "fee", "total"]


@dataclass(frozen=True)
class Trial:
    """One generated file, split. `train` and `validation` are frames in the library's columns."""

    train: pd.DataFrame
    validation: pd.DataFrame
    seed: int


def make_trial(kind: activities.Kind, seed: int) -> Trial:
    lines = activities.generate(kind, seed).rename(columns=lambda name: name.lower().replace(" ", "_"))
    order = np.random.default_rng(seed).permutation(len(lines))
    cut = round(len(lines) * VALIDATION_SHARE)
    validation, train = np.sort(order[:cut]), np.sort(order[cut:])
    return Trial(lines.iloc[train], lines.iloc[validation], seed)


def random_cut_forest(train: np.ndarray, rows: np.ndarray, trees: int, samples: int) -> np.ndarray:
    """Scores of `rows` by the engine behind the local SageMaker."""
    model = forest.train(train, trees, samples, _never_stop)
    distinct, place = np.unique(rows, axis=0, return_inverse=True)
    return np.asarray(forest.score(model, distinct, _never_stop))[place.ravel()]


def _never_stop() -> None:
    """The engine asks now and then whether to stop a job; a benchmark never does."""


def isolation_forest(train: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    return -IsolationForest(n_estimators=100, max_samples=256, random_state=seed).fit(train).score_samples(rows)


def book_features(lines: pd.DataFrame) -> np.ndarray:
    """The book's 22: matter number, minutes, fee and total as they are, one column a category."""
    one_hot = [(lines[column] == name).to_numpy() for column, names in CATEGORIES.items() for name in names]
    return np.column_stack([lines[["matter_number", *NUMBERS]], *one_hot]).astype(np.float32)


def book_way(trial: Trial) -> np.ndarray:
    return random_cut_forest(book_features(trial.train), book_features(trial.validation), trees=50, samples=100)


def book_isolation(trial: Trial) -> np.ndarray:
    return isolation_forest(book_features(trial.train), book_features(trial.validation), trial.seed)


def product_features(trial: Trial) -> tuple[np.ndarray, np.ndarray]:
    encoder = Encoder.fit(trial.train)
    return encoder.encode(trial.train), encoder.encode(trial.validation)


def product_way(trial: Trial) -> np.ndarray:
    train, validation = product_features(trial)
    return random_cut_forest(train, validation, trees=100, samples=256)


def product_isolation(trial: Trial) -> np.ndarray:
    train, validation = product_features(trial)
    return isolation_forest(train, validation, trial.seed)


def supervised(trial: Trial) -> np.ndarray:
    """Gradient boosting on the labels: the encoder's features, the columns themselves and whether a line repeats."""
    columns = ["matter_number", "firm_name", *CATEGORIES, *NUMBERS]
    parts = [trial.train, trial.validation]
    repeats = pd.concat(parts).sort_index().duplicated(columns)
    rows = []
    for lines, encoded in zip(parts, product_features(trial), strict=True):
        codes = [pd.Categorical(lines[column], categories=names).codes for column, names in CATEGORIES.items()]
        rows.append(np.column_stack([encoded, lines[NUMBERS], *codes, repeats[lines.index]]))
    model = HistGradientBoostingClassifier(max_iter=150, learning_rate=0.05, l2_regularization=1.0, random_state=0)
    return model.fit(rows[0], trial.train["error"]).predict_proba(rows[1])[:, 1]


METHODS: dict[str, Callable[[Trial], np.ndarray]] = {
    "the book's way: 22 raw features, forest of 50 x 100": book_way,
    "scikit-learn IsolationForest on the book's features": book_isolation,
    "scikit-learn IsolationForest on our features": product_isolation,
    "**our encoder, forest of 100 x 256**": product_way,
    "ceiling: gradient boosting trained on the labels": supervised,
}


def precision_at_half_recall(scores: np.ndarray, is_error: np.ndarray) -> float:
    return float(is_error[scores >= np.median(scores[is_error])].mean())


def measure(case: tuple[activities.Kind, int]) -> list[tuple[float, float]]:
    """(P50, AP) of each of METHODS on one kind and seed."""
    trial = make_trial(*case)
    is_error = trial.validation["error"].to_numpy(bool)
    scored = [method(trial) for method in METHODS.values()]
    return [(precision_at_half_recall(s, is_error), float(average_precision_score(is_error, s))) for s in scored]


def table(seeds: int) -> Iterator[str]:
    """The lines of a Markdown table: mean and standard deviation over the seeds."""
    kinds = get_args(activities.Kind)
    cases = list(product(kinds, range(1, seeds + 1)))
    with ProcessPoolExecutor() as workers:
        measured = np.array(list(workers.map(measure, cases))).reshape(len(kinds), seeds, len(METHODS), 2)
    means, deviations = measured.mean(axis=1), measured.std(axis=1)
    yield "| method | " + " | ".join(f"{kind}: {what}" for kind in kinds for what in ("P50", "AP")) + " |"
    yield "|---" * (1 + 2 * len(kinds)) + "|"
    for row, name in enumerate(METHODS):
        pairs = zip(means[:, row].ravel(), deviations[:, row].ravel(), strict=True)
        yield f"| {name} | " + " | ".join(f"{mean:.3f} ± {deviation:.3f}" for mean, deviation in pairs) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="generated files of each kind (default 10, 15 s each)")
    for line in table(parser.parse_args().seeds):
        print(line)


if __name__ == "__main__":
    main()
