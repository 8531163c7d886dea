"""From an upload to everything the forest and the later states need: parts, encoder, refused lines."""

import hashlib
import io
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa

from suspicious_lines import datasets, store
from suspicious_lines.encoder import Encoder
from suspicious_lines.features import features_csv
from suspicious_lines.layout import RunFiles, part_name
from suspicious_lines.lines import Refusal, read_lines, require_enough
from suspicious_lines.messages import Dataset, PreprocessRequest
from suspicious_lines.planted import plant
from suspicious_lines.rules import repeats
from suspicious_lines.settings import PreprocessSettings
from suspicious_lines.spreadsheet import to_csv

TRAIN_SHARE = 0.8
LINES_PER_TRAIN_PART = 100_000


class _HashingStream(io.RawIOBase):
    """Passes bytes on and hashes them, so that the receipt can name what was read without a second read."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        self._digest.update(data)
        return len(data)

    def hexdigest(self) -> str:
        """SHA-256 of the whole source, the unread rest included."""
        while self.read(1 << 20):
            pass
        return self._digest.hexdigest()


def preprocess(request: PreprocessRequest, settings: PreprocessSettings) -> Dataset:
    """Reads and validates the claimed upload, fits the encoder on the train lines and writes the run's parts.

    Raises:
        InvalidUploadError: the file cannot be used; the refused lines, if any, are in rejected.csv all the same.
    """
    upload, files, bucket = request.upload, RunFiles(request.run), settings.data_bucket
    stream = _HashingStream(store.open_upload(upload))
    lines = read_lines(stream, upload.key)
    store.put(bucket, files.rejected, _rejected_csv(lines.refused), "text/csv; charset=utf-8")
    require_enough(lines, upload.key)

    accepted = lines.accepted.assign(repeats=repeats(lines.accepted))
    in_train = split(len(accepted), settings.split_seed)
    train, validation = accepted[in_train], accepted[~in_train]
    encoder = Encoder.fit(train)
    store.put(bucket, files.encoder, encoder.to_json(), "application/json")
    for number, part in enumerate(_parts(train, LINES_PER_TRAIN_PART)):
        store.put(bucket, files.features(part_name("train", number)), features_csv(encoder, part), "text/csv")
    parts = []
    to_score = {"validation": validation, "planted": plant(validation, settings.split_seed)}
    for kind, scored in to_score.items():
        for number, part in enumerate(_parts(scored, settings.lines_per_part)):
            parts.append(part_name(kind, number))
            store.put(bucket, files.features(parts[-1]), features_csv(encoder, part), "text/csv")
            table = pa.Table.from_pandas(part, preserve_index=False)
            datasets.write_part(table, bucket, files.lines(parts[-1]))
    return Dataset(
        lines_read=lines.read,
        lines_rejected=len(lines.refused),
        lines_train=len(train),
        lines_validation=len(validation),
        feature_dim=len(encoder.features),
        parts=parts,
        sha256=stream.hexdigest(),
    )


def split(count: int, seed: int) -> np.ndarray:
    """A mask of the train lines: 80 % of them, drawn by `seed`, at least one line on either side (count >= 2)."""
    train = min(max(round(count * TRAIN_SHARE), 1), count - 1)
    mask = np.zeros(count, dtype=bool)
    mask[np.random.default_rng(seed).permutation(count)[:train]] = True
    return mask


def _parts(lines: pd.DataFrame, size: int) -> list[pd.DataFrame]:
    return [lines.iloc[start : start + size] for start in range(0, len(lines), size)]


def _rejected_csv(refused: list[Refusal]) -> str:
    return to_csv(["Line", "Column", "Value", "Reason"], [(r.line, r.column, r.value, r.reason) for r in refused])
