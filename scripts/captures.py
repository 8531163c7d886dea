"""What a shadow variant answered beside the production variant, out of SageMaker's captured data."""

import base64
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from suspicious_lines.ranking import Reference
from suspicious_lines.trial_report import Agreement, agreement

Record = dict[str, Any]


def records(bodies: Iterable[bytes]) -> list[Record]:
    """Those of JSON Lines objects as data capture writes them."""
    return [json.loads(line) for body in bodies for line in body.splitlines() if line]


def _text(part: Record) -> str:
    return base64.b64decode(part["data"]).decode() if part["encoding"] == "BASE64" else part["data"]


def scores(found: list[Record]) -> dict[str, list[float]]:
    """The scores by what was asked: the lines' features."""
    answers = {}
    for record in found:
        data = record["captureData"]
        if "endpointInput" in data and "endpointOutput" in data:
            told = json.loads(_text(data["endpointOutput"]))["scores"]
            answers[_text(data["endpointInput"])] = [float(each["score"]) for each in told]
    return answers


def compare(
    production: list[Record], shadow: list[Record], reference: Reference, threshold: float
) -> tuple[Agreement, int]:
    """How both variants judge the lines that both were asked about, and how many requests those were.

    Requests are matched by what was asked: a shadow gets a copy of it. What is compared is the models' own part of a
    line's score, its surprise among the live model's past lines, against the live threshold: rules and lines are not
    in the captures.
    """
    told, theirs = scores(production), scores(shadow)
    shared = [asked for asked in told if asked in theirs and len(told[asked]) == len(theirs[asked])]
    ours = reference.model_surprise(np.array([score for asked in shared for score in told[asked]]))
    other = reference.model_surprise(np.array([score for asked in shared for score in theirs[asked]]))
    captured = pd.DataFrame(
        {
            "run": "captured",
            "line": np.arange(len(ours)),
            "score": ours,
            "flagged": ours >= threshold,
            "challenger_score": other,
            "challenger_flagged": other >= threshold,
        }
    )
    return agreement(captured), len(shared)
