"""From an upload to everything the later states need: parts, refused lines and, to train on, the encoder."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa

from suspicious_lines import datasets, store
from suspicious_lines.encoder import Encoder
from suspicious_lines.errors import AwsRefusedError, InvalidUploadError
from suspicious_lines.features import features_csv, labelled_features_csv
from suspicious_lines.hashing import HashingStream
from suspicious_lines.judged import read_labels
from suspicious_lines.layout import RunFiles, part_name
from suspicious_lines.ledes import Mapping
from suspicious_lines.lines import FIELDS, Lines, read_lines, require_enough
from suspicious_lines.messages import Dataset, Encoded, EncodeRequest, ModelInUse, PreprocessRequest, Upload
from suspicious_lines.planted import plant
from suspicious_lines.promotion import live_model
from suspicious_lines.rules import Rules, repeats
from suspicious_lines.settings import EncodeSettings, PreprocessSettings
from suspicious_lines.spreadsheet import to_csv

TRAIN_SHARE = 0.8
LINES_PER_TRAIN_PART = 100_000
# What fits into the function's 2 GB: `python -m benchmarks.memory` measures it.
MOST_UPLOAD_MB = 400


def preprocess(request: PreprocessRequest, settings: PreprocessSettings) -> Dataset:
    """Reads and validates the claimed upload, fits the encoder on the train lines and writes the run's parts.

    Raises:
        InvalidUploadError: the file cannot be used; the refused lines, if any, are in rejected.csv all the same.
        SettingsError: a configuration in the bucket is wrong.
    """
    files, bucket = RunFiles(request.run), settings.data_bucket
    Rules.read(bucket)  # a wrong configuration is told before a training job is paid for
    lines, sha256 = _read(request.upload, files, bucket)
    require_enough(lines, request.upload.key)

    in_train = split(len(lines.accepted), settings.split_seed)
    train, validation = lines.accepted[in_train], lines.accepted[~in_train]
    encoder = Encoder.fit(train)
    store.put(bucket, files.encoder, encoder.to_json(), "application/json")
    for number, part in enumerate(_cut(train, LINES_PER_TRAIN_PART)):
        store.put(bucket, files.features(part_name("train", number)), features_csv(encoder, part), "text/csv")
    planted = plant(validation, settings.split_seed)
    parts = _write_parts("validation", validation, encoder, files, settings)
    parts += _write_parts("planted", planted, encoder, files, settings)
    judged = _judged(bucket)
    if len(judged):
        is_error = judged["error"].to_numpy(bool)
        test = labelled_features_csv(encoder, judged, is_error)
        store.put(bucket, files.features(part_name("test", 0)), test, "text/csv")
        parts += _write_parts("judged", judged, encoder, files, settings)
    return Dataset(
        lines_read=lines.read,
        lines_rejected=len(lines.refused),
        lines_judged=len(judged),
        lines_train=len(train),
        lines_validation=len(validation),
        feature_dim=len(encoder.features),
        parts=parts,
        sha256=sha256,
    )


def _judged(bucket: str) -> pd.DataFrame:
    """The lines of all runs that reviewers have judged, in the columns of `Lines.accepted` and `repeats`.

    The label is what they said.
    """
    labels = read_labels(bucket)
    labels = labels.assign(error=labels["is_error"].astype("boolean"))
    return labels[["line", *FIELDS.values(), "repeats"]]


def encode_lines(request: EncodeRequest, settings: EncodeSettings) -> Encoded:
    """Reads and validates new lines and writes them in parts, encoded for the live model.

    Raises:
        InvalidUploadError: the file cannot be used; the refused lines, if any, are in rejected.csv all the same.
        NoLiveModelError: there is no model to score them with.
        AwsRefusedError: the live model's endpoint was deleted behind our back.
    """
    files, bucket = RunFiles(request.run), settings.data_bucket
    live = live_model(bucket)
    if live.endpoint_name == request.gone:
        raise AwsRefusedError(f"{live.endpoint_name} serves the live model and does not exist: train a new one")
    encoder = Encoder.from_json(store.get_bytes(bucket, live.encoder_key).decode())
    lines, sha256 = _read(request.upload, files, bucket)
    require_enough(lines, request.upload.key, fewest=1)
    dataset = Dataset(
        lines_read=lines.read,
        lines_rejected=len(lines.refused),
        lines_train=0,
        lines_validation=len(lines.accepted),
        feature_dim=len(encoder.features),
        parts=_write_parts("invoices", lines.accepted, encoder, files, settings),
        sha256=sha256,
    )
    model = ModelInUse.model_validate(live.model_dump(include=set(ModelInUse.model_fields)))
    return Encoded(dataset=dataset, model=model, model_age_days=live.age_days(datetime.now(UTC)))


def _read(upload: Upload, files: RunFiles, bucket: str) -> tuple[Lines, str]:
    """The upload's lines with the column `repeats`, and its SHA-256; writes rejected.csv."""
    if upload.size > MOST_UPLOAD_MB * 1_000_000:
        reason = f"the file has {upload.size / 1e6:,.0f} MB, at most {MOST_UPLOAD_MB} can be read"
        raise InvalidUploadError(upload.key, reason, "Split it by matter and drop the parts.")
    stream = HashingStream(store.open_upload(upload))
    lines = read_lines(stream, upload.key, Mapping.read(bucket))
    rows = [(refusal.line, refusal.column, refusal.value, refusal.reason) for refusal in lines.refused]
    rejected = to_csv(["Line", "Column", "Value", "Reason"], rows)
    store.put(bucket, files.rejected, rejected, "text/csv; charset=utf-8")
    work = lines.accepted if lines.occasions is None else lines.accepted.assign(occasion=lines.occasions)
    return Lines(lines.accepted.assign(repeats=repeats(work)), lines.refused), stream.hexdigest()


def _write_parts(
    kind: str, lines: pd.DataFrame, encoder: Encoder, files: RunFiles, settings: EncodeSettings
) -> list[str]:
    """Writes the features and the lines of each part, in the same order, and returns the parts' names."""
    parts = []
    for number, part in enumerate(_cut(lines, settings.lines_per_part)):
        parts.append(part_name(kind, number))
        store.put(settings.data_bucket, files.features(parts[-1]), features_csv(encoder, part), "text/csv")
        table = pa.Table.from_pandas(part, preserve_index=False)
        datasets.write_part(table, settings.data_bucket, files.lines(parts[-1]))
    return parts


def split(count: int, seed: int) -> np.ndarray:
    """A mask of the train lines: 80 % of them, drawn by `seed`, at least one line on either side (count >= 2)."""
    train = min(max(round(count * TRAIN_SHARE), 1), count - 1)
    mask = np.zeros(count, dtype=bool)
    mask[np.random.default_rng(seed).permutation(count)[:train]] = True
    return mask


def _cut(lines: pd.DataFrame, size: int) -> list[pd.DataFrame]:
    return [lines.iloc[start : start + size] for start in range(0, len(lines), size)]
