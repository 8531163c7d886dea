"""What the feature store has for a training: the lines that the live model's encoder has encoded lately.

The offline store is read as the Parquet files that it is, an object at a time. Its folders are hours of event times:
only those that are young enough are opened. Of more rows than MOST_RECORDS some are left out, drawn by SplitSeed.
https://docs.aws.amazon.com/sagemaker/latest/dg/feature-store-offline.html
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from suspicious_lines import arrow, datasets, store
from suspicious_lines.encoder import CATEGORIES, NUMERIC_FEATURES, Encoder
from suspicious_lines.feature_messages import Stored
from suspicious_lines.feature_records import EVENT_TIME, encoder_id, file_id
from suspicious_lines.features import stored_rows
from suspicious_lines.layout import FEATURES_PREFIX, RunFiles
from suspicious_lines.promotion import find_live_model
from suspicious_lines.settings import PreprocessSettings

# A forest of the most trees and samples that there may be draws 2,048,000; the default one 25,600.
MOST_RECORDS = 500_000
_HOUR = r"year=(\d{4})/month=(\d{2})/day=(\d{2})/hour=(\d{2})/[^/]+\.parquet$"
_LINE = ["line_id", "event_time", "api_invocation_time", "is_deleted"]
_FEATURES = [*NUMERIC_FEATURES, *CATEGORIES]


@dataclass(frozen=True)
class StoredLines:
    """`text`: the live model's encoder.json; `numbers`: NUMERIC_FEATURES of n lines, shape [n, 5]; `places`: what
    `Encoder.one_hot` takes, shape [n, 3]."""

    text: bytes
    encoder: Encoder
    numbers: np.ndarray
    places: np.ndarray

    def rows(self) -> pa.StringArray:
        """The lines as the forest reads them."""
        return stored_rows(self.encoder, self.numbers, self.places)


def find_stored(
    files: RunFiles, settings: PreprocessSettings, sha256: str, now: datetime, family: str = ""
) -> tuple[StoredLines | None, Stored]:
    """The latest record of each line that the live model's encoder has encoded in the last `train_on_stored_days`, but
    for lines of the file with this digest: they are to be trained on or validated on anyway.

    None where there are none, or no encoder to encode the upload with; what is said of it tells why. A retry keeps to
    what an earlier try has noted: by now another model may be live, and parts of both encoders would be trained on.
    """
    bucket = settings.data_bucket
    said = _first_said(files, bucket, family)
    if said.model_run is None:
        return None, said
    key = RunFiles(said.model_run).encoder
    found = store.get_with_etag(bucket, key)
    try:
        text = found[0] if found else b""
        encoder = Encoder.from_json(text.decode())
    except (ValueError, KeyError, TypeError):
        return None, Stored(lines=0, note=f"{key} is gone or was left by another version of this product")
    since = now - timedelta(days=settings.train_on_stored_days)
    chosen = _Chosen(encoder_id(text), since.strftime(EVENT_TIME), file_id(sha256), settings.split_seed)
    for path in _keys(settings.feature_group, bucket, since):
        chosen.add(datasets.read_part(bucket, path, [*_LINE, "encoder", *_FEATURES]))
    lines = chosen.latest()
    if not len(lines):
        return None, Stored(lines=0, note=f"nothing of the last {settings.train_on_stored_days} days is stored")
    numbers, places = (_matrix(lines, names) for names in (NUMERIC_FEATURES, CATEGORIES))
    return StoredLines(text, encoder, numbers, places.astype(np.int64)), Stored(
        lines=len(lines), model_run=said.model_run
    )


def _first_said(files: RunFiles, bucket: str, family: str) -> Stored:
    """What an earlier try has noted, or whose encoder is to be asked for: no other family has encoded lines by it."""
    if noted := store.get_with_etag(bucket, files.stored):
        return msgspec.json.decode(noted[0], type=Stored)
    live = find_live_model(bucket, family)
    return Stored(lines=0, model_run=live.run) if live else Stored(lines=0, note="no model is live yet")


def _keys(feature_group: str, bucket: str, since: datetime) -> list[str]:
    """The files of the offline store whose hour ends after `since`; a group that was made anew has a folder more."""
    place = re.compile(rf"/offline-store/{feature_group}-\d+/data/{_HOUR}")
    found = [(key, place.search(key)) for key in store.keys(bucket, FEATURES_PREFIX)]
    return [key for key, hour in found if hour and "".join(hour.groups()) >= since.strftime("%Y%m%d%H")]


class _Chosen:
    """The records of one encoder since a moment, without those of one file, and the marks of deleted ones."""

    def __init__(self, encoder: str, since: str, file: str, seed: int) -> None:
        self._encoder, self._since, self._file = encoder, since, file
        self._rng, self._share = np.random.default_rng(seed), 1.0
        self._tables: list[pa.Table] = []

    def add(self, table: pa.Table) -> None:
        ours = pc.or_kleene(pc.equal(table["encoder"], self._encoder), table["is_deleted"])
        recent = pc.greater_equal(table["event_time"], self._since)
        others = pc.invert(pc.starts_with(table["line_id"], f"{self._file}-"))
        mask = pc.and_kleene(ours, pc.and_kleene(recent, others))
        self._tables.append(self._thinned(table.filter(mask).select([*_LINE, *_FEATURES]), self._share))
        if sum(map(len, self._tables)) > MOST_RECORDS:
            self._share /= 2
            self._tables = [self._thinned(table, 0.5) for table in self._tables]

    def _thinned(self, table: pa.Table, share: float) -> pa.Table:
        """Some of the rows, but all marks of deletion: none that it is about may come back for the lack of it."""
        if share == 1:
            return table
        drawn = arrow.array(self._rng.random(len(table)) < share)
        return table.filter(pc.or_(drawn, table["is_deleted"]))

    def latest(self) -> pa.Table:
        """The last record of each line, unless that says that the line is deleted."""
        if not self._tables:
            return pa.table({})
        keys = [(name, "ascending") for name in ("line_id", "event_time", "api_invocation_time")]
        ordered = pa.concat_tables(self._tables).sort_by(keys).combine_chunks()
        lines = ordered["line_id"].to_numpy()
        is_last = np.append(lines[1:] != lines[:-1], True)[: len(lines)]
        return ordered.filter(pc.and_(arrow.array(is_last), pc.invert(ordered["is_deleted"])))


def _matrix(lines: pa.Table, names: list[str]) -> np.ndarray:
    return np.stack([lines[name].to_numpy() for name in names], axis=1)
