"""From an upload to everything the later states need: parts, refused lines and, to train on, the encoder.

The file is read once, and its accepted lines are kept on the function's disk: memory does not grow with the file.
"""

import math
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from msgspec import convert

from suspicious_lines import arrow, datasets, routing, store
from suspicious_lines.ahead import ahead
from suspicious_lines.encoder import (
    CATEGORIES,
    ENCODED,
    MOST_COMBINATIONS,
    Encoder,
    Fitting,
    TooManyCombinationsError,
)
from suspicious_lines.errors import AwsRefusedError, InvalidUploadError
from suspicious_lines.features import feature_rows, joined, labelled_features_csv
from suspicious_lines.hosting_modes import mode_of
from suspicious_lines.layout import JUDGED_PREFIX, RunFiles, challenger_kind, invoices_kind, is_judged_of, part_name
from suspicious_lines.lines import FIELDS, require_enough
from suspicious_lines.messages import Dataset
from suspicious_lines.planted import altered, picked
from suspicious_lines.promotion import live_model
from suspicious_lines.reading import Reading
from suspicious_lines.repeats import Repeats
from suspicious_lines.rules import Rules
from suspicious_lines.score_messages import Encoded, EncodeRequest, ModelInUse
from suspicious_lines.settings import EncodeSettings, PreprocessSettings
from suspicious_lines.spilling import Spill, cut
from suspicious_lines.splitting import Split
from suspicious_lines.train_messages import PreprocessRequest

if TYPE_CHECKING:
    from suspicious_lines.stored import StoredLines

LINES_PER_TRAIN_PART = 25_000
TRAIN_LINES_PER_ENCODING = 50_000
LINES_PER_ENCODING = 20_000  # with all that is kept of a line
# What the functions after this one hold in 2 GB: docs/performance.md has the measurements.
MOST_UPLOAD_MB = 850
MOST_NEW_UPLOAD_MB = 160
# A part makes 7 events of an execution's history, which ends at 25,000, and 3 more for each retry; its name takes 30
# bytes of a state's 256 KiB. Validation lines are scored twice, by the new model and by the live one: half as many.
MOST_PARTS = 1_000


def preprocess(request: PreprocessRequest, settings: PreprocessSettings) -> Dataset:
    """Reads and validates the claimed upload, fits the encoder on the train lines and writes the run's parts.

    Raises:
        InvalidUploadError: the file cannot be used; the refused lines, if any, are in rejected.csv all the same.
        SettingsError: a configuration in the bucket is wrong.
    """
    files, bucket, key = RunFiles(request.run), settings.data_bucket, request.upload.key
    Rules.read(bucket)  # a wrong configuration is told before a training job is paid for
    with tempfile.TemporaryDirectory() as folder:
        reading = Reading(request.upload, files, bucket, Path(folder), MOST_UPLOAD_MB)
        lines = Split(Path(folder), [*ENCODED, "line", "error"] if settings.feature_group else ENCODED)
        lines.read(reading.accepted(), settings.split_seed)
        require_enough(reading.counts, key)
        arrow.give_back()
        stored = _stored(files, settings, reading.sha256, request.family)
        encoder = stored.encoder if stored else _fitted(lines.fitting, key)
        store.put(bucket, files.encoder, stored.text if stored else encoder.to_json(), "application/json")
        parts_written = _write_train(lines.train, encoder, files, settings)
        if stored:
            store.put(bucket, files.features(part_name("train", parts_written)), joined(stored.rows()), "text/csv")
        arrow.give_back()
        planted = _plant(lines, reading.repeats, settings.split_seed)
        size = part_size(lines.validation.count, MOST_PARTS // 2, settings)
        validation = reading.repeats.beside(lines.validation.lines())
        parts = _write_parts("validation", validation, encoder, files, bucket, size)
    parts += _write_parts("planted", [planted], encoder, files, bucket, settings.lines_per_part)
    judged = _judged(bucket, request.family)
    if judged:
        is_error = judged["error"].to_numpy()
        test = labelled_features_csv(encoder, judged, is_error)
        store.put(bucket, files.features(part_name("test", 0)), test, "text/csv")
        parts += _write_parts("judged", [judged], encoder, files, bucket, settings.lines_per_part)
    return Dataset(
        lines_read=reading.counts.read,
        lines_rejected=reading.counts.refused,
        lines_judged=len(judged) if judged else 0,
        lines_train=lines.train.count,
        lines_validation=lines.validation.count,
        feature_dim=len(encoder.features),
        parts=parts,
        sha256=reading.sha256,
    )


def _fitted(fitting: Fitting, key: str) -> Encoder:
    try:
        return fitting.encoder()
    except TooManyCombinationsError as error:
        names = ", ".join(column for column, field in FIELDS.items() if field in CATEGORIES)
        reason = f"the lines have more than {MOST_COMBINATIONS:,} combinations of {names}"
        raise InvalidUploadError(key, reason, "These columns should name kinds of work, not single lines.") from error


def _stored(files: RunFiles, settings: PreprocessSettings, sha256: str, family: str) -> "StoredLines | None":
    """What the feature store has for the training, which is noted for the receipt; None where it is not to be read, or
    has nothing."""
    if not (settings.feature_group and settings.train_on_stored_days):
        return None
    from suspicious_lines.stored import find_stored  # which nothing else here needs

    found, said = find_stored(files, settings, sha256, datetime.now(UTC), family)
    store.put_json(settings.data_bucket, files.stored, said)
    return found


def _judged(bucket: str, family: str) -> pa.Table | None:
    """The lines of all runs of a family, or of none, that reviewers have judged, in the columns of the others; None
    where there are none.

    The label is what they said.
    """
    if not any(is_judged_of(key, family) for key in store.keys(bucket, JUDGED_PREFIX)):
        return None
    from suspicious_lines.judged import read_labels  # pandas and awswrangler, which nothing else here needs

    labels = read_labels(bucket, family)
    labels = labels.assign(error=labels["is_error"].astype("boolean"))
    table = pa.Table.from_pandas(labels[["line", *FIELDS.values(), "repeats"]], preserve_index=False)
    return table if len(table) else None


def encode_lines(request: EncodeRequest, settings: EncodeSettings, on_trial: bool = True) -> Encoded:
    """Reads and validates new lines and writes them in parts, encoded for the live model.

    Where another model is on trial with a share of the invoices, their lines are in parts of their own, encoded for
    that one, unless `on_trial` is false: see routing.py.

    Raises:
        InvalidUploadError: the file cannot be used; the refused lines, if any, are in rejected.csv all the same.
        NoLiveModelError: there is no model to score them with.
        AwsRefusedError: the live model's endpoint was deleted behind our back.
    """
    files, bucket = RunFiles(request.run), settings.data_bucket
    live = live_model(bucket, request.family)
    # Only where there ever was a trial: other stacks may not even look.
    tried = on_trial and bool(live.challenger or live.trials)
    ended = tried and live.endpoint_name == request.gone and routing.had_challenger(bucket, request.run)
    if live.endpoint_name == request.gone and not ended:
        raise AwsRefusedError(f"{live.endpoint_name} serves the live model and does not exist: train a new one")
    encoder = _encoder(bucket, live.encoder_key)
    challenger = live.challenger if on_trial and not ended and mode_of(live.endpoint_name).endpoint else None
    if challenger and challenger.run in live.rejected:  # in the registry, since the trial began
        challenger = None
    with tempfile.TemporaryDirectory() as folder:
        reading = Reading(request.upload, files, bucket, Path(folder), MOST_NEW_UPLOAD_MB)
        spill = Spill(Path(folder) / "lines.arrows")
        for accepted in reading.accepted():
            spill.add(accepted)
        spill.close()
        require_enough(reading.counts, request.upload.key, fewest=1)
        size = part_size(spill.count, MOST_PARTS, settings)
        if challenger and challenger.kind == "ab":
            theirs = routing.shared(spill, challenger)
            own = reading.repeats.beside(spill.lines(mask=~theirs))
            parts = _write_parts(invoices_kind(live.run), own, encoder, files, bucket, size)
            kind, other = challenger_kind(challenger.run), _encoder(bucket, RunFiles(challenger.run).encoder)
            parts += _write_parts(kind, reading.repeats.beside(spill.lines(mask=theirs)), other, files, bucket, size)
            store.put_json(bucket, files.challenger, challenger)
        else:
            every = reading.repeats.beside(spill.lines())
            parts = _write_parts(invoices_kind(live.run), every, encoder, files, bucket, size)
    if ended:
        store.delete(bucket, files.challenger)  # now that nothing is left to fail: a retry must find it
    dataset = Dataset(
        lines_read=reading.counts.read,
        lines_rejected=reading.counts.refused,
        lines_train=0,
        lines_validation=spill.count,
        feature_dim=len(encoder.features),
        parts=parts,
        sha256=reading.sha256,
    )
    model = convert(live, ModelInUse, from_attributes=True)
    return Encoded(dataset=dataset, model=model, model_age_days=live.age_days(datetime.now(UTC)))


def _encoder(bucket: str, key: str) -> Encoder:
    return Encoder.from_json(store.get_bytes(bucket, key).decode())


def _plant(lines: Split, repeats: Repeats, seed: int) -> pa.Table:
    """Copies of validation lines with planted errors: see planted.py."""
    rng = np.random.default_rng(seed)
    errors = lines.errors
    places = np.flatnonzero(errors if errors.all() else ~errors)
    places = places[picked(len(places), rng)]
    mask = np.zeros(len(errors), dtype=bool)
    mask[places] = True
    copied = pa.concat_tables(repeats.beside(lines.validation.lines(mask=mask))).unify_dictionaries()
    copies = copied.take(arrow.array(np.searchsorted(np.flatnonzero(mask), places)))
    changed = altered(copies, rng)
    copies = copies.append_column("planted", arrow.texts(changed.pop("planted").tolist()))
    for name, values in changed.items():
        copies = copies.set_column(copies.column_names.index(name), name, arrow.array(values))
    return copies


def _write_train(spill: Spill, encoder: Encoder, files: RunFiles, settings: PreprocessSettings) -> int:
    """Writes the features of the train lines and, for the feature store, which lines they are; returns how many parts
    there are."""
    bucket, number = settings.data_bucket, -1
    for number, (part, features) in enumerate(
        _encoded(spill.lines(), encoder, LINES_PER_TRAIN_PART, TRAIN_LINES_PER_ENCODING)
    ):
        name = part_name("train", number)
        store.put(bucket, files.features(name), features, "text/csv")
        if settings.feature_group:
            datasets.write_part(part.select(["line", "total", "error"]), bucket, files.trained(name))
    return number + 1


def _write_parts(
    kind: str, lines: Iterable[pa.Table], encoder: Encoder, files: RunFiles, bucket: str, size: int
) -> list[str]:
    """Writes the features and the lines of each part, in the same order, and returns the parts' names."""
    parts = []
    for number, (part, features) in enumerate(_encoded(lines, encoder, size, LINES_PER_ENCODING)):
        parts.append(part_name(kind, number))
        store.put(bucket, files.features(parts[-1]), features, "text/csv")
        datasets.write_part(part, bucket, files.lines(parts[-1]))
    return parts


def _encoded(lines: Iterable[pa.Table], encoder: Encoder, size: int, most: int) -> Iterator[tuple[pa.Table, bytes]]:
    """The lines in parts of `size`, with their features; as many parts as `most` lines make are encoded at once,
    because of more lines more are equal."""

    def encoded(some: pa.Table) -> tuple[pa.Table, pa.StringArray]:
        return some, feature_rows(encoder, some)

    for some, rows in ahead(map(encoded, cut(lines, max(most // size, 1) * size))):
        for start in range(0, len(some), size):
            yield some.slice(start, size), joined(rows.slice(start, size))


def part_size(lines: int, most_parts: int, settings: EncodeSettings) -> int:
    """Lines in a part: `lines_per_part`, or more where there would be more parts than that."""
    return max(settings.lines_per_part, math.ceil(lines / most_parts))
