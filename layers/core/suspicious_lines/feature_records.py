"""A line in the feature store: what the forest read of it, by which encoder, and no text of the invoice.

The columns of a feature group are fixed, and the features of categories differ from encoder to encoder. In their place
there is, for each of CATEGORIES, which of the names in `encoder.json` the line has, counted from 0: it says the same.
"""

import hashlib
import io
from datetime import UTC
from typing import Any

import numpy as np

from suspicious_lines import datasets, store
from suspicious_lines.encoder import CATEGORIES, NUMERIC_FEATURES, Encoder
from suspicious_lines.feature_messages import IngestRequest
from suspicious_lines.layout import RunFiles, is_challengers
from suspicious_lines.receipts import Receipt
from suspicious_lines.routing import challenger_of

# Name and type of each feature of the group: stacks/features.yaml has the same. `error` is 1 or 0, and null where no
# label is known.
FEATURES = {
    **dict.fromkeys(["line_id", "event_time", "run", "part", "encoder"], "String"),
    **dict.fromkeys(NUMERIC_FEATURES, "Fractional"),
    **dict.fromkeys(CATEGORIES, "Integral"),
    "amount": "Fractional",
    "error": "Integral",
}
EVENT_TIME = "%Y-%m-%dT%H:%M:%SZ"

Column = list[Any]


def file_id(sha256: str) -> str:
    """What the lines of a file have in common, however often and under whatever name it is dropped."""
    return sha256[:16]


def encoder_id(text: bytes) -> str:
    """Names an encoder by all that is in its `encoder.json`: features of one cannot be compared with another's."""
    return hashlib.sha256(text).hexdigest()[:16]


class RunRecords:
    """The records of a run's lines. A line is known by its file and its number, and its event time is when the run
    began: of a file that is dropped again, the newest encoding is the latest record of each line."""

    def __init__(self, bucket: str, request: IngestRequest, receipt: Receipt) -> None:
        assert receipt.model is not None
        assert receipt.sha256 is not None
        self._bucket, self._files = bucket, RunFiles(request.run)
        self._file, self._key = file_id(receipt.sha256), receipt.model["encoder"]
        self._read: dict[str, bytes] = {}
        at = request.started_at.astimezone(UTC).strftime(EVENT_TIME)
        self._same = {"event_time": at, "run": request.run}

    def of_part(self, part: str) -> dict[str, Column]:
        """The columns of FEATURES, a value a line; None is a label that nobody knows."""
        key = self._files.trained(part) if part.startswith("train/") else self._files.lines(part)
        lines = datasets.read_part(self._bucket, key, ["line", "total", "error"]).to_pydict()
        features = np.loadtxt(
            io.BytesIO(store.get_bytes(self._bucket, self._files.features(part))), delimiter=",", ndmin=2
        )
        text = self._encoder(part)
        numbers, slots = np.split(features, [len(NUMERIC_FEATURES)], axis=1)
        same = self._same | {"part": part.partition("/")[0], "encoder": encoder_id(text)}
        columns = {
            **{name: [value] * len(features) for name, value in same.items()},
            **dict(zip(NUMERIC_FEATURES, numbers.T.tolist(), strict=True)),
            **dict(zip(CATEGORIES, Encoder.from_json(text.decode()).places(slots).T.tolist(), strict=True)),
            "line_id": [f"{self._file}-{line}" for line in lines["line"]],
            "amount": lines["total"],
            "error": [error if error is None else int(error) for error in lines["error"]],
        }
        return {name: columns[name] for name in FEATURES}

    def _encoder(self, part: str) -> bytes:
        """The encoder.json that a part is encoded by: a model on trial has its own."""
        key = self._key
        if is_challengers(part):
            key = RunFiles(challenger_of(self._bucket, self._files.run).run).encoder
        if key not in self._read:
            self._read[key] = store.get_bytes(self._bucket, key)
        return self._read[key]
