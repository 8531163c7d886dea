"""How often the monitor alarms with and without drift: `python -m benchmarks.drift [--write docs/monitoring.md]`.

A model is trained on one generated file. Days are matters drawn from another file of the same recipe, as they are or
changed in one way; each is measured as the monitor does.
"""

import argparse
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.methods import Trial, score_rows
from benchmarks.tables import write
from suspicious_lines.messages import ChosenThreshold
from suspicious_lines.model_messages import LiveModel
from suspicious_lines.monitoring import Watched, judged
from suspicious_lines.planted import plant
from suspicious_lines.quality import wilson
from suspicious_lines.rules import Rules
from suspicious_lines.yardstick import Yardstick

Change = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]


class Monitor:
    """A model trained on one file, and days of another."""

    def __init__(self, seed: int = 1) -> None:
        self.trained, self._others = Trial.make("published", seed), Trial.make("published", seed + 1000)
        self.rules = Rules.default()

    def _model_scores(self, lines: pd.DataFrame) -> np.ndarray:
        return score_rows(self.trained.forest, self.trained.read(lines))

    @cached_property
    def watched(self) -> Watched:
        judgement = self.trained.judged
        live = LiveModel(
            run="run", endpoint_name="endpoint", max_concurrency=1, encoder_key="", promoted_at="2026-11-24",
            threshold=judgement.threshold.value,
        )  # fmt: skip
        chosen = ChosenThreshold(value=live.threshold, strategy="budget", note=None)
        model = Yardstick(self.trained.encoder, judgement.lines, judgement.reference, chosen)
        return Watched(live, model, self.rules)

    @cached_property
    def _caught_then(self) -> np.ndarray:
        return self._caught(self.watched.model.past)

    @cached_property
    def _matters(self) -> list[pd.DataFrame]:
        lines = pd.concat([self._others.train, self._others.validation], ignore_index=True)
        return [matter for _, matter in lines.groupby("matter_number", observed=True)]

    def _caught(self, lines: pd.DataFrame) -> np.ndarray:
        planted = plant(lines, 1)
        hits = self.rules.hits(planted, self.watched.model.encoder)
        return self.watched.model.reference.score(self._model_scores(planted), hits) >= self.watched.live.threshold

    def drifted(self, number: int, matters: int, change: Change | None = None) -> set[str]:
        """The measures that alarm on day `number`."""
        rng = np.random.default_rng([number, matters])
        drawn = rng.choice(len(self._matters), matters, replace=False)
        day = pd.concat([self._matters[place] for place in drawn], ignore_index=True)
        day = change(day, rng) if change else day
        model_scores = self._model_scores(day)
        scores = self.watched.model.reference.score(model_scores, self.rules.hits(day, self.watched.model.encoder))
        day = day.assign(model_score=model_scores, score=scores)
        measures = judged(self.watched, day, self._caught_then, self._caught(day))
        return {measure.name for measure in measures if measure.drifted}


def _billed(lines: pd.DataFrame) -> pd.DataFrame:
    return lines.assign(total=np.round(lines["minutes"] / 60 * lines["fee"], 2))


def higher_rates(day: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return _billed(day.assign(fee=np.round(day["fee"] * 1.1)))


def longer_minutes(day: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return _billed(day.assign(minutes=np.round(day["minutes"] * 1.5)))


def new_matter_type(day: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    matters = day["matter_number"].unique()
    new = day["matter_number"].isin(rng.choice(matters, max(len(matters) // 10, 1), replace=False))
    return day.assign(matter_type=day["matter_type"].astype(object).where(~new, "Data protection").astype("category"))


def more_partners(day: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Half of the other lines are a partner's, at the rates that partners have."""
    moved = (day["resource"] != "Partner") & (rng.random(len(day)) < 0.5)
    rates = rng.choice(day.loc[day["resource"] == "Partner", "fee"], len(day))
    resource = day["resource"].astype(object).where(~moved, "Partner").astype("category")
    return _billed(day.assign(resource=resource, fee=day["fee"].where(~moved, rates)))


def hours_for_minutes(day: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return day.assign(minutes=np.maximum(np.round(day["minutes"] / 60, 1), 0.1))


CHANGES: dict[str, Change | None] = {
    "none": None,
    "rates 10 % higher": higher_rates,
    "minutes 50 % longer": longer_minutes,
    "a tenth of the matters of a new type": new_matter_type,
    "half of the others' lines by partners": more_partners,
    "hours in the column Minutes": hours_for_minutes,
}


def table(days: int) -> str:
    monitor = Monitor()
    rows = ["| change | matters a day | days that alarm | 95 % interval | by |", "|---|---|---|---|---|"]
    for name, change in CHANGES.items():
        tried = days if change is None else max(days // 10, 1)
        for matters in (10, 40, 200):
            found = [monitor.drifted(number, matters, change) for number in range(tried)]
            alarms = sum(map(bool, found))
            low, high = wilson(alarms, tried)
            by = pd.Series([name for names in found for name in names], dtype=object).value_counts()[:3]
            rows.append(
                f"| {name} | {matters} | {alarms} of {tried} | {low:.3f} to {high:.3f} | {', '.join(by.index) or '-'} |"
            )
            print(rows[-1], flush=True)
    return "\n".join(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=300, help="days without drift; a tenth of them with each change")
    parser.add_argument("--write", type=Path, help="a document whose table is replaced")
    options = parser.parse_args()
    write(table(options.days), options.write, "benchmarks.drift")
