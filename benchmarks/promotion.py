"""What the promotion gate lets through: models that should be promoted, and spoilt ones that should not.

    python -m benchmarks.promotion --seeds 10 --write docs/quality.md

Every model is compared with the live one by the library's own code, on the validation lines of its file.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
from msgspec import structs

from benchmarks.methods import GOAL, Trial, score_rows, train_forest
from benchmarks.tables import Measured, table, write
from local import activities
from suspicious_lines.comparing import Contender, Limits, compare
from suspicious_lines.judging import judge, judge_by
from suspicious_lines.messages import ChosenThreshold
from suspicious_lines.planted import plant
from suspicious_lines.rules import Rules

LIMITS = Limits(margin=0.02, agreement=0.5)
BUDGET = structs.replace(GOAL, budget="1%")
SPOILT_SHARE, SPOILT_TIMES = 0.3, (3, 6)
SECTIONS = {activities.PUBLISHED_LINES: "Files of 105,965 lines", 5_000: "Files of 5,000 lines"}


def reshuffled(trial: Trial) -> Trial:
    """The same file and another forest: it draws other lines in another order."""
    other = replace(trial)
    rows = np.random.default_rng(trial.seed).permutation(trial.rows[0])
    vars(other)["forest"] = train_forest(rows, trees=100, samples=256)
    return other


def spoilt(trial: Trial) -> Trial:
    """The same file, but in 30 % of the lines to train on the minutes are 3 to 6 times too many."""
    rng = np.random.default_rng(trial.seed)
    times = np.where(rng.random(len(trial.train)) < SPOILT_SHARE, rng.uniform(*SPOILT_TIMES, len(trial.train)), 1.0)
    return replace(trial, train=trial.train.assign(minutes=trial.train["minutes"] * times))


def shuffled(trial: Trial) -> Trial:
    """The same file, but each line to train on has the minutes and the rate of another, as after a wrong join."""
    rng = np.random.default_rng(trial.seed)
    columns = {name: rng.permutation(trial.train[name].to_numpy()) for name in ("minutes", "fee")}
    return replace(trial, train=trial.train.assign(**columns))


CHALLENGERS: dict[str, Callable[[Trial], Trial]] = {
    "another forest on the same file": reshuffled,
    "minutes of 30 % of the train lines spoilt": spoilt,
    "minutes and rates of the train lines shuffled": shuffled,
}


def contender(model: Trial, lines: Trial) -> Contender:
    """What a model says of the validation lines of a file, be it its own or another."""
    rules = Rules.default()
    own = judge(model.validation.assign(model_score=model.model_scores), model.encoder, rules, BUDGET)
    validation = lines.validation.assign(model_score=score_rows(model.forest, model.read(lines.validation)))
    chosen = ChosenThreshold(value=own.threshold.value, strategy="budget", note=None)
    judged = judge_by(validation, model.encoder, rules, own.reference, chosen.value, chosen)
    planted = plant(lines.validation, lines.seed)
    scores = own.reference.score(score_rows(model.forest, model.read(planted)), rules.hits(planted, model.encoder))
    return Contender(f"{model.kind} {model.seed}", judged.scored, scores)


def measure(case: tuple[activities.Kind, int, int]) -> Measured:
    kind, seed, count = case
    trial, before = Trial.make(kind, seed, count), Trial.make(kind, seed + 1_000, count)
    own, theirs = contender(trial, trial), contender(before, trial)
    measured = compared(SECTIONS[count], "the next month's file", own, theirs)
    for name, make in CHALLENGERS.items():
        measured |= compared(SECTIONS[count], name, contender(make(trial), trial), own)
    print(f"{kind} {seed}, {count:,} lines", file=sys.stderr, flush=True)
    return measured


def compared(section: str, name: str, challenger: Contender, champion: Contender) -> Measured:
    """With the labels, and as if there were none."""
    flagged = BUDGET.lines(len(challenger.lines.score))
    bare = [
        replace(model, lines=replace(model.lines, labelled=np.zeros_like(model.lines.labelled)))
        for model in (challenger, champion)
    ]
    with_labels, without = compare(challenger, champion, flagged, LIMITS), compare(*bare, flagged, LIMITS)
    new, live = with_labels.challenger_figures, with_labels.champion_figures
    if new is None or live is None or new.average_precision is None or live.average_precision is None:
        raise ValueError(f"{name}: the file has no known error")
    return {
        (section, name, "AP, new - live"): new.average_precision - live.average_precision,
        (section, name, "agreement"): with_labels.agreement,
        (section, name, "caught, new - live"): new.caught - live.caught,
        (section, name, "promoted"): (int(with_labels.promoted), 1),
        (section, name, "promoted without labels"): (int(without.promoted), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.promotion", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="generated files of each kind (default 10)")
    parser.add_argument("--write", type=Path, help="put the tables into this document instead of printing them")
    options = parser.parse_args()
    started = time.monotonic()
    kinds = get_args(activities.Kind)
    cases = [(kind, seed, count) for count in SECTIONS for seed in range(1, options.seeds + 1) for kind in kinds]
    with ProcessPoolExecutor() as workers:
        measured = list(workers.map(measure, cases))
    files = {kind: [m for m, case in zip(measured, cases, strict=True) if case[0] == kind] for kind in kinds}
    parts = [f"### {section}\n\n" + "\n".join(table(section, files)) for section in SECTIONS.values()]
    took = f"{options.seeds} files of each kind and size, {time.monotonic() - started:.0f} s on {os.cpu_count()} cores."
    write("\n\n".join([took, *parts]), options.write, "benchmarks.promotion")


if __name__ == "__main__":
    main()
