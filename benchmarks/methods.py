"""Ways to rank the lines of a generated file: the book's, this product's and its parts, and what labels could do."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow.csv as pa_csv
from krcf import RandomCutForest
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest

from local import activities
from local.sagemaker import forest
from suspicious_lines.encoder import CATEGORIES, NUMERIC_FEATURES, Encoder
from suspicious_lines.features import features_csv
from suspicious_lines.judging import Judgement, judge
from suspicious_lines.lines import FIELDS, TEXT_COLUMNS
from suspicious_lines.ranking import Reference
from suspicious_lines.rules import Rules
from suspicious_lines.splitting import Draw
from suspicious_lines.thresholds import Goal

GOAL = Goal(strategy="budget", budget="2%", precision_floor=0.9, beta=1.0)
NUMBERS = ["minutes", "fee", "total"]
NAMES = {
    "matter_type": list(activities.MATTER_TYPES),
    "resource": list(activities.RESOURCES),
    "activity": list(activities.ACTIVITIES),
}


@dataclass(frozen=True)
class Trial:
    """One generated file, split as the product splits. `train` and `validation` are frames in the library's columns,
    with `repeats`, and `error_kind` and `altered_field`, which no method sees."""

    kind: activities.Kind
    seed: int
    train: pd.DataFrame
    validation: pd.DataFrame

    @classmethod
    def make(cls, kind: activities.Kind, seed: int, count: int = activities.PUBLISHED_LINES) -> "Trial":
        answers = activities.generate_with_answers(kind, seed, count)
        lines = in_our_columns(answers[activities.COLUMNS])
        lines["error_kind"], lines["altered_field"] = answers["Error Kind"], answers["Altered Field"]
        in_train = Draw(seed).next(len(lines))
        return cls(kind, seed, lines[in_train].reset_index(drop=True), lines[~in_train].reset_index(drop=True))

    @cached_property
    def is_error(self) -> np.ndarray:
        return self.validation["error"].to_numpy(bool)

    @cached_property
    def encoder(self) -> Encoder:
        return Encoder.fit(self.train)

    @cached_property
    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """The features of the train and of the validation lines."""
        return self.read(self.train), self.read(self.validation)

    def read(self, lines: pd.DataFrame) -> np.ndarray:
        """The features of lines, as the endpoint reads them."""
        return read_rows(features_csv(self.encoder, lines))

    @cached_property
    def forest(self) -> RandomCutForest:
        return train_forest(self.rows[0], trees=100, samples=256)

    @cached_property
    def model_scores(self) -> np.ndarray:
        return score_rows(self.forest, self.rows[1])

    @cached_property
    def judged(self) -> Judgement:
        """The validation lines as the product judges them: model + rules."""
        return judge(self.validation.assign(model_score=self.model_scores), self.encoder, Rules.default(), GOAL)


def in_our_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """The lines of an activities.csv as the library reads them."""
    lines = frame.rename(columns=FIELDS).astype({**dict.fromkeys(NUMBERS, float), "matter_number": str})
    lines = lines.astype({FIELDS[name]: "category" for name in TEXT_COLUMNS}).assign(line=lines.index + 2)
    equal = lines.groupby([column for column in lines if column not in {"line", "error"}], observed=True)["line"]
    lines["repeats"] = np.where(equal.transform("first") == lines["line"], 0, equal.transform("first"))
    return lines


def read_rows(features: bytes) -> np.ndarray:
    """Headerless CSV as float32, shape [lines, features]."""
    table = pa_csv.read_csv(io.BytesIO(features), pa_csv.ReadOptions(autogenerate_column_names=True))
    return np.column_stack([column.to_numpy() for column in table.columns]).astype(np.float32)


def train_forest(rows: np.ndarray, trees: int, samples: int) -> RandomCutForest:
    """A forest by the engine behind the local SageMaker."""
    return forest.train(rows, trees, samples, _never_stop)


def score_rows(model: RandomCutForest, rows: np.ndarray) -> np.ndarray:
    distinct, place = np.unique(rows, axis=0, return_inverse=True)
    return np.asarray(forest.score(model, distinct, _never_stop))[place.ravel()]


def _never_stop() -> None:
    """The engine asks now and then whether to stop a job; a benchmark never does."""


def precision_at_half_recall(scores: np.ndarray, is_error: np.ndarray) -> float:
    return float(is_error[scores >= np.median(scores[is_error])].mean())


def isolation_forest(train: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    return -IsolationForest(n_estimators=100, max_samples=256, random_state=seed).fit(train).score_samples(rows)


def book_features(lines: pd.DataFrame) -> np.ndarray:
    """The book's 22: matter number, minutes, fee and total as they are, one column a category."""
    one_hot = [(lines[column] == name).to_numpy() for column, names in NAMES.items() for name in names]
    return np.column_stack([lines["matter_number"].astype(int), lines[NUMBERS], *one_hot]).astype(np.float32)


def book_way(trial: Trial) -> np.ndarray:
    model = train_forest(book_features(trial.train), trees=50, samples=100)
    return score_rows(model, book_features(trial.validation))


def book_isolation(trial: Trial) -> np.ndarray:
    return isolation_forest(book_features(trial.train), book_features(trial.validation), trial.seed)


def our_isolation(trial: Trial) -> np.ndarray:
    return isolation_forest(*trial.rows, trial.seed)


def largest_feature(trial: Trial) -> np.ndarray:
    return np.abs(trial.rows[1][:, : len(NUMERIC_FEATURES)]).max(axis=1)


def ranking_rules(trial: Trial) -> np.ndarray:
    return trial.judged.reference.rule_surprise(trial.judged.hits)


def all_rules(trial: Trial) -> np.ndarray:
    hits = trial.judged.hits
    return Reference.of(trial.model_scores, hits, list(hits)).rule_surprise(hits)


def supervised(trial: Trial) -> np.ndarray:
    """Gradient boosting on the labels: the encoder's features, the columns themselves and whether a line repeats."""
    rows = []
    for lines, encoded in zip([trial.train, trial.validation], trial.rows, strict=True):
        codes = [pd.Categorical(lines[column], categories=NAMES[column]).codes for column in CATEGORIES]
        rows.append(np.column_stack([encoded, lines[NUMBERS], *codes, lines["repeats"] > 0]))
    model = HistGradientBoostingClassifier(max_iter=150, learning_rate=0.05, l2_regularization=1.0, random_state=0)
    return model.fit(rows[0], trial.train["error"]).predict_proba(rows[1])[:, 1]


METHODS: dict[str, Callable[[Trial], np.ndarray]] = {
    "the book's way: 22 raw features, forest of 50 x 100": book_way,
    "IsolationForest on the book's features": book_isolation,
    "IsolationForest on our features": our_isolation,
    "no model: the largest of our five numeric features": largest_feature,
    "rules alone: arithmetic, duplicate, rate": ranking_rules,
    "rules alone, with the caps on minutes": all_rules,
    "model alone: our features, forest of 100 x 256": lambda trial: trial.model_scores,
    "**model + rules, the product**": lambda trial: trial.judged.scored.score,
    "ceiling: gradient boosting trained on the labels": supervised,
}


# Ways to make one score of the forest's scores and the rules' hits.
Combination = Callable[[np.ndarray, dict[str, np.ndarray], Reference], np.ndarray]


def _on_top(scores: np.ndarray, hits: dict[str, np.ndarray], reference: Reference) -> np.ndarray:
    return scores + 1000 * (reference.rule_surprise(hits) > 0)


def _plus_one(scores: np.ndarray, hits: dict[str, np.ndarray], reference: Reference) -> np.ndarray:
    return scores + sum(hits[name] for name in reference.shares)


def _sum(scores: np.ndarray, hits: dict[str, np.ndarray], reference: Reference) -> np.ndarray:
    alone = [Reference(reference.model_scores, {name: share}) for name, share in reference.shares.items()]
    return reference.model_surprise(scores) + sum(rule.rule_surprise(hits) for rule in alone)


def _greatest(scores: np.ndarray, hits: dict[str, np.ndarray], reference: Reference) -> np.ndarray:
    return np.maximum(reference.model_surprise(scores), reference.rule_surprise(hits))


def _ours(scores: np.ndarray, hits: dict[str, np.ndarray], reference: Reference) -> np.ndarray:
    return reference.score(scores, hits)


def _with_caps(scores: np.ndarray, hits: dict[str, np.ndarray], reference: Reference) -> np.ndarray:
    return Reference.of(reference.model_scores, hits, list(hits)).score(scores, hits)


COMBINATIONS: dict[str, Combination] = {
    "a hit above every line without one": _on_top,
    "the forest's score + 1 a hit": _plus_one,
    "sum of the surprises": _sum,
    "the greatest surprise": _greatest,
    "**max + 0.25 min, the product**": _ours,
    "the same, and the caps on minutes lift lines too": _with_caps,
}


def with_chance_repeats(trial: Trial) -> dict[str, np.ndarray]:
    """The hits on a file where one line in 25 equals another by chance, as where firms do not merge equal lines."""
    by_chance = np.random.default_rng(trial.seed).random(len(trial.validation)) < 0.04
    return trial.judged.hits | {"duplicate": trial.judged.hits["duplicate"] | by_chance}
