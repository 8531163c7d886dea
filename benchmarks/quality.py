"""How good the product is on three kinds of generated files, beside the book's way and what labels could do.

    python -m benchmarks.quality --seeds 10 --write docs/quality.md

Every method sees the same 80/20 split and is measured on the validation lines it did not see, through the library's own
code and the forest behind the local SageMaker. The errors are planted by `local/activities.py`; see docs/data.md.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
from msgspec import structs
from sklearn.metrics import average_precision_score

from benchmarks.methods import (
    COMBINATIONS,
    GOAL,
    METHODS,
    Trial,
    precision_at_half_recall,
    read_rows,
    score_rows,
    with_chance_repeats,
)
from benchmarks.tables import Measured, table, write
from local import activities
from suspicious_lines import quality
from suspicious_lines.explain import explain
from suspicious_lines.judging import found_by
from suspicious_lines.lines import FIELDS
from suspicious_lines.planted import plant
from suspicious_lines.ranking import Reference
from suspicious_lines.rules import Rules
from suspicious_lines.scoring import bodies
from suspicious_lines.thresholds import Goal, Scored, Threshold, choose, held_out_flags

MEDIAN = structs.replace(GOAL, strategy="error-median")
STRATEGIES = {
    "error-median": MEDIAN,
    "budget 1 %": structs.replace(GOAL, budget="1%"),
    "budget 2 %": GOAL,
    "precision 0.9": structs.replace(GOAL, strategy="precision"),
    "f-beta 1": structs.replace(GOAL, strategy="f-beta"),
    "sigma": structs.replace(GOAL, strategy="sigma"),
}
SECTIONS = {
    "ranking": (
        "Ranking",
        """\
P50 is the precision among the lines that score at least the median score of the errors, so its cut is read off the
labels it is measured on, as the published figure's is. *Held out* is the precision of the strategy `error-median`, each
line being judged by a cut chosen on the labels of other invoices. AP is the average precision.""",
    ),
    "combinations": (
        "Ways to combine model and rules",
        "The same model and the same rules, put together differently; the columns are those above.",
    ),
    "chance repeats": (
        "The same where lines repeat by chance",
        "Here the rule `duplicate` hits one more line in 25 at random, as where firms do not merge equal lines.",
    ),
    "strategies": (
        "Thresholds",
        """\
Model + rules; every line is judged by a threshold chosen on other invoices. *Kept* counts the files on which a strategy
kept its promise: `error-median`, 0.50 is in the 95 % interval of the held-out recall; `budget`, exactly as many lines
as asked for; `precision`, the 95 % interval of the held-out precision reaches 0.9 (a file on which no threshold reaches
it for sure falls back to the budget, says so, and is not counted); `f-beta`, the F1 that it had where it was chosen is
in the 95 % interval of its held-out F1. `sigma` promises nothing about labels.""",
    ),
    "explanations": (
        "Explanations",
        """\
The labelled errors with one altered field among the lines that a budget of 2 % flags: how often `field` is that one. A
category other than the altered one counts as wrong. A duplicate has no altered field: right is `duplicate`.""",
    ),
    "cost": ("What the explanations ask of the endpoint", "For the lines that a budget of 2 % flags."),
    "self-test": (
        "Self-test",
        "Planted copies of fine lines, 50 a kind and file, that score at least the threshold of a budget of 2 %.",
    ),
    "found by": (
        "What model and rules add",
        """\
The lines of a file that a budget of 2 % flags, by who found them (`rule`: the model alone would have left them), and
how many of them are errors.""",
    ),
}


def rankings(trial: Trial) -> Measured:
    measured: Measured = {}
    for name, method in METHODS.items():
        measured |= ranked(trial, "ranking", name, method(trial))
    files = {"combinations": trial.judged.hits, "chance repeats": with_chance_repeats(trial)}
    for section, hits in files.items():
        reference = Reference.of(trial.model_scores, hits, Rules.default().ranking())
        for name, combine in COMBINATIONS.items():
            measured |= ranked(trial, section, name, combine(trial.model_scores, hits, reference))
    return measured


def ranked(trial: Trial, section: str, name: str, scores: np.ndarray) -> Measured:
    flags = held_out_flags(replace(trial.judged.scored, score=scores), MEDIAN)
    return {
        (section, name, "P50"): precision_at_half_recall(scores, trial.is_error),
        (section, name, "held out"): quality.precision(quality.confusion(flags, trial.is_error)),
        (section, name, "AP"): float(average_precision_score(trial.is_error, scores)),
    }


def strategies(trial: Trial) -> Measured:
    measured: Measured = {}
    lines = trial.judged.scored
    for name, goal in STRATEGIES.items():
        held_out = quality.confusion(held_out_flags(lines, goal), trial.is_error)
        kept = promise_kept(goal, lines, choose(lines, goal), held_out)
        measured["strategies", name, "precision"] = quality.precision(held_out)
        measured["strategies", name, "recall"] = quality.recall(held_out)
        measured["strategies", name, "kept"] = None if kept is None else (int(kept), 1)
    return measured


def promise_kept(goal: Goal, lines: Scored, chosen: Threshold, held_out: quality.Confusion) -> bool | None:
    """Whether a strategy did what it promises; None where it promises nothing."""
    precise = quality.wilson(held_out.tp, held_out.tp + held_out.fp)
    complete = quality.wilson(held_out.tp, held_out.tp + held_out.fn)
    if chosen.strategy != goal.strategy or goal.strategy == "sigma":
        return None
    if goal.strategy == "budget":
        return int(chosen.flagged.sum()) == goal.lines(len(lines.score))
    if goal.strategy == "error-median":
        return complete[0] <= 0.5 <= complete[1]
    if goal.strategy == "precision":
        return precise[1] >= goal.precision_floor
    # F1 = 2 J / (1 + J) with J = TP / (TP + FP + FN), a proportion.
    low, high = quality.wilson(held_out.tp, held_out.tp + held_out.fp + held_out.fn)
    seen = quality.f1(quality.confusion(chosen.flagged, lines.is_error))
    return seen is not None and 2 * low / (1 + low) <= seen <= 2 * high / (1 + high)


def findings(trial: Trial) -> Measured:
    """Explanations, who found what and self-test, at the budget of GOAL."""
    judged = trial.judged
    lines = judged.lines[judged.threshold.flagged].sort_values(["score", "total"], ascending=False, kind="stable")
    hits = {name: hit[lines.index] for name, hit in judged.hits.items()}
    measured = explanations(trial, lines, hits)

    finders = found_by(lines["model_score"].to_numpy(), hits, judged.reference, judged.threshold.value)
    for name in ["model", "rule", "both"]:
        errors = lines["error"].to_numpy(bool)[finders == name]
        measured["found by", name, "lines"] = float(len(errors))
        measured["found by", name, "errors"] = (int(errors.sum()), len(errors))

    planted = plant(trial.validation, trial.seed)
    scores = judged.reference.score(
        score_rows(trial.forest, trial.read(planted)), Rules.default().hits(planted, trial.encoder)
    )
    for name, caught in pd.Series(scores >= judged.threshold.value).groupby(planted["planted"], sort=False):
        measured["self-test", str(name), "caught"] = (int(caught.sum()), len(caught))
    return measured


def explanations(trial: Trial, lines: pd.DataFrame, hits: dict[str, np.ndarray]) -> Measured:
    sent: list[bytes] = []

    def score(body: bytes) -> list[float]:
        sent.append(body)
        return score_rows(trial.forest, read_rows(body)).tolist()

    told = explain(lines, hits, trial.encoder, Rules.default(), trial.judged.reference, score)
    unasked = explain(lines, hits, trial.encoder, Rules.default(), trial.judged.reference, None)
    known = lines["error_kind"] != ""
    altered = lines["altered_field"].map(FIELDS)
    single = known & altered.notna()
    right = told["field"] == altered
    greatest = told["shares"].map(lambda shares: max(shares, key=shares.get, default=""))
    duplicates = lines["error_kind"] == "duplicate"
    rows = {
        **{field: right[single & (altered == field)] for field in ["minutes", "fee", "total", "resource"]},
        "**all of these**": right[single],
        "all of these, where no endpoint can be asked": (unasked["field"] == altered)[single],
        "resource, had it no precedence among equals": (greatest == altered)[single & (altered == "resource")],
        "duplicate": (told["field"] == "duplicate")[duplicates & known],
    }
    measured: Measured = {("explanations", name, "right"): (int(row.sum()), len(row)) for name, row in rows.items()}
    measured["cost", "flagged lines", "a file"] = float(len(lines))
    measured["cost", "variants scored", "a file"] = float(sum(body.count(b"\n") for body in sent))
    measured["cost", "requests", "a file"] = float(sum(1 for body in sent for _ in bodies(body)))
    return measured


def measure(case: tuple[activities.Kind, int]) -> Measured:
    started = time.monotonic()
    trial = Trial.make(*case)
    measured = rankings(trial) | strategies(trial) | findings(trial)
    print(f"{trial.kind} {trial.seed}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="generated files of each kind (default 10)")
    parser.add_argument("--write", type=Path, help="put the tables into this document instead of printing them")
    options = parser.parse_args()
    started = time.monotonic()
    kinds = get_args(activities.Kind)
    cases = [(kind, seed) for seed in range(1, options.seeds + 1) for kind in kinds]
    with ProcessPoolExecutor() as workers:
        measured = list(workers.map(measure, cases))
    files = {kind: [m for m, case in zip(measured, cases, strict=True) if case[0] == kind] for kind in kinds}
    parts = [f"### {name}\n\n{text}\n\n" + "\n".join(table(key, files)) for key, (name, text) in SECTIONS.items()]
    took = f"{options.seeds} files of each kind, {time.monotonic() - started:.0f} s on {os.cpu_count()} cores."
    write("\n\n".join([took, *parts]), options.write, "benchmarks.quality")


if __name__ == "__main__":
    main()
