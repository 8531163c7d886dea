"""The whole of a training run in one script, without a workflow: `python -m benchmarks.plain FILE FOLDER`.

pandas reads the file, the library's rules and formulas and the local engine's forest do the rest, and what a run leaves
in results/ is written to the folder. It is what `benchmarks.demo` holds the workflow against.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from benchmarks.methods import in_our_columns, train_forest
from local.sagemaker import forest, tables
from suspicious_lines.encoder import Encoder
from suspicious_lines.explain import explain
from suspicious_lines.judging import found_by, judge
from suspicious_lines.measuring import measure, try_held_out, try_planted
from suspicious_lines.messages import Dataset
from suspicious_lines.planted import plant
from suspicious_lines.report import report_html
from suspicious_lines.report_data import report_data
from suspicious_lines.results import flagged_csv
from suspicious_lines.rules import Rules
from suspicious_lines.splitting import Draw
from suspicious_lines.suppressing import Suppressions, suppress
from suspicious_lines.thresholds import Goal

# As template.yaml has them.
SEED, TREES, SAMPLES = 1, 100, 256
GOAL = Goal(strategy="error-median", budget="2%", precision_floor=0.9, beta=1.0)


def rows_of(encoder: Encoder, lines: pd.DataFrame) -> np.ndarray:
    """What the engine reads in the parts: four decimals."""
    return np.round(encoder.encode(lines).astype(np.float64), 4)


def run(file: Path, folder: Path) -> None:
    lines, rules = in_our_columns(pd.read_csv(file)), Rules.default()
    in_train = Draw(SEED).next(len(lines))
    train, validation = (lines[mask].reset_index(drop=True) for mask in (in_train, ~in_train))
    encoder = Encoder.fit(train)
    model = train_forest(rows_of(encoder, train), TREES, SAMPLES)

    def scored(some: pd.DataFrame) -> pd.DataFrame:
        return some.assign(model_score=forest.score(model, rows_of(encoder, some), lambda: None))

    judgement = judge(scored(validation), encoder, rules, GOAL)
    reference, threshold = judgement.reference, judgement.threshold.value
    flagged = judgement.lines[judgement.lines["suspicious"]].sort_values(["score", "total"], ascending=False)
    hits = {name: hit[flagged.index] for name, hit in judgement.hits.items()}

    def answer(features: bytes) -> list[float]:
        return forest.score(model, tables.from_csv(features), lambda: None)

    told = explain(flagged, hits, encoder, rules, reference, answer)
    explained = flagged.join(told).assign(
        threshold=threshold,
        found_by=found_by(flagged["model_score"].to_numpy(), hits, reference, threshold),
        rules=[" ".join(name for name, hit in hits.items() if hit[place]) for place in range(len(flagged))],
    )
    judgement, listed = suppress(judgement, explained, Suppressions(suppressions=[]), datetime.now(UTC).date())
    counts = {"lines_read": len(lines), "lines_train": len(train), "lines_validation": len(validation)}
    dataset = Dataset(**counts, lines_rejected=0, feature_dim=len(encoder.features), parts=[], sha256="")
    self_test = try_planted(judgement, scored(plant(validation, SEED)), encoder, rules)
    metrics = measure(judgement, listed, encoder, dataset, try_held_out(judgement.scored, GOAL), self_test)
    report = report_data("plain", file.name, judgement.lines, listed, metrics, judgement.lines)
    judgement.lines.assign(**judgement.hits).to_parquet(folder / "scored_lines.parquet")
    (folder / "suspicious_lines.csv").write_text(flagged_csv(listed), encoding="utf-8")
    (folder / "report.html").write_text(report_html(report), encoding="utf-8")
    (folder / "metrics.json").write_bytes(msgspec.json.encode(metrics))


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
