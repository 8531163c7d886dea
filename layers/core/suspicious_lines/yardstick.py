"""What runs left for judging lines: their scored lines, and what a model measures other lines against."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from suspicious_lines import datasets, store
from suspicious_lines.encoder import Encoder
from suspicious_lines.errors import ModelResponseError
from suspicious_lines.layout import RunFiles
from suspicious_lines.messages import ChosenThreshold
from suspicious_lines.quality import Metrics
from suspicious_lines.ranking import Reference
from suspicious_lines.rules import Rules

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Yardstick:
    """`past`: the lines that the model's run scored; `reference` is made of them, by the rules of today."""

    encoder: Encoder
    past: "pd.DataFrame"
    reference: Reference
    chosen: ChosenThreshold


def read_yardstick(bucket: str, run: str, rules: Rules) -> Yardstick:
    """The yardstick of the model that `run` trained.

    Raises:
        ValueError, KeyError: another version of this library wrote it.
    """
    files = RunFiles(run)
    encoder = read_encoder(bucket, files)
    chosen = msgspec.json.decode(store.get_bytes(bucket, files.result("metrics.json")), type=Metrics).threshold
    past = datasets.read_dataset(bucket, [files.result("scored_lines.parquet")])
    reference = Reference.of(past["model_score"].to_numpy(), rules.hits(past, encoder), rules.ranking())
    return Yardstick(encoder, past, reference, chosen)


def read_encoder(bucket: str, files: RunFiles) -> Encoder:
    return Encoder.from_json(store.get_bytes(bucket, files.encoder).decode())


def read_scored(bucket: str, files: RunFiles, parts: list[str]) -> "pd.DataFrame":
    """The lines of these parts with the forest's `model_score`.

    Raises:
        ModelResponseError: a part's scores are not those of its lines.
    """
    lines = datasets.read_dataset(bucket, [files.lines(part) for part in parts])
    scores = datasets.read_dataset(bucket, [files.scores(part) for part in parts])
    if not lines["line"].equals(scores["line"]):
        raise ModelResponseError(f"the scores are not those of the lines of {parts[0]} to {parts[-1]}")
    return lines.assign(model_score=scores["score"])
