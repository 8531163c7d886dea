"""What a training reads of the feature store, and when it is an ordinary one instead."""

import io
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pandas as pd
import pytest

from frames import BUCKET, lines_frame
from suspicious_lines import datasets, preprocessing, store, stored
from suspicious_lines.encoder import CATEGORIES, NUMERIC_FEATURES, Encoder
from suspicious_lines.feature_records import encoder_id
from suspicious_lines.features import feature_rows
from suspicious_lines.layout import LIVE_MODEL_KEY, RunFiles, live_model_key
from suspicious_lines.model_messages import LiveModel
from suspicious_lines.settings import PreprocessSettings
from suspicious_lines.stored import find_stored

GROUP = "suspicious-lines-lines"
DATA = f"features/000000000000/sagemaker/us-east-1/offline-store/{GROUP}-1795600000/data"
NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
SETTINGS = PreprocessSettings(
    data_bucket=BUCKET, lines_per_part=100, split_seed=1, feature_group=GROUP, train_on_stored_days=10
)
SHA = "cd34" * 16
FILES = RunFiles("run")


def go_live(encoder, run="live", family=""):
    files = RunFiles(run)
    store.put(BUCKET, files.encoder, encoder.to_json(), "application/json")
    live = LiveModel(
        run=run, endpoint_name="e", max_concurrency=1, encoder_key=files.encoder, threshold=1, promoted_at=str(NOW)
    )  # fmt: skip
    store.put(BUCKET, live_model_key(family), msgspec.json.encode(live), "application/json")


@pytest.fixture
def encoder(cloud):
    """The live model's."""
    fitted = Encoder.fit(lines_frame(400))
    go_live(fitted)
    return fitted


def records(encoder, lines, at=NOW - timedelta(days=1), file="ab12ab12ab12ab12", **changes):
    features = encoder.encode(lines).round(4)
    frame = pd.DataFrame(features[:, :5].astype(float), columns=NUMERIC_FEATURES)
    frame[CATEGORIES] = encoder.places(features[:, 5:])
    frame = frame.assign(
        line_id=[f"{file}-{line}" for line in lines["line"]],
        event_time=f"{at:%Y-%m-%dT%H:%M:%SZ}",
        api_invocation_time=pd.Timestamp(at.replace(tzinfo=None)),
        encoder=encoder_id(encoder.to_json().encode()),
        is_deleted=False,
    )
    return frame.assign(**changes)


def keep(frame, at=NOW - timedelta(days=1), name="x", data=DATA):
    datasets.write_dataset(frame, BUCKET, f"{data}/{at:year=%Y/month=%m/day=%d/hour=%H}/{name}.parquet")


def rows(found):
    return sorted(found.rows().to_pylist())


def test_the_live_encoders_records_are_read_as_the_forest_reads_them(encoder):
    lines = lines_frame(90, seed=2)
    keep(records(encoder, lines))
    other = Encoder.fit(lines_frame(50, seed=3))
    keep(records(other, lines_frame(50, seed=3), file="ef56ef56ef56ef56"), name="of-another-encoder")
    keep(records(encoder, lines, file=SHA[:16]), name="of-the-uploads-own-file")
    found, said = find_stored(FILES, SETTINGS, SHA, NOW)
    assert msgspec.to_builtins(said) == {"lines": 90, "model_run": "live", "note": None}
    assert found.text.decode() == encoder.to_json()
    assert rows(found) == sorted(feature_rows(encoder, lines).to_pylist())


def test_a_family_reads_what_its_own_live_model_has_encoded(encoder):
    other = Encoder.fit(lines_frame(50, seed=3))
    keep(records(encoder, lines_frame(90, seed=2)))
    keep(records(other, lines_frame(50, seed=3), file="ef56ef56ef56ef56"), name="of-claims")
    assert find_stored(FILES, SETTINGS, SHA, NOW, "claims")[1].note == "no model is live yet"
    go_live(other, "of-claims", "claims")
    found, said = find_stored(FILES, SETTINGS, SHA, NOW, "claims")
    assert (said.model_run, len(found.numbers)) == ("of-claims", 50)


def test_only_the_last_days_are_opened_and_read(encoder, monkeypatch):
    opened = []
    read = datasets.read_part
    monkeypatch.setattr(
        datasets, "read_part", lambda bucket, key, columns: opened.append(key) or read(bucket, key, columns)
    )
    edge = NOW - timedelta(days=10)
    for minutes, name in ((-31, "an-hour-before"), (-1, "too-old"), (1, "young")):
        at = edge + timedelta(minutes=minutes)
        lines = lines_frame(10, seed=3 + minutes + 40).assign(line=np.arange(10) + 1000 * (minutes + 50))
        keep(records(encoder, lines, at), at, name)
    found, said = find_stored(FILES, SETTINGS, SHA, NOW)
    assert said.lines == 10 == len(found.numbers)
    assert [key.rpartition("/")[2] for key in opened] == ["too-old.parquet", "young.parquet"], "the hour they share"


def test_groups_that_were_made_anew_are_read_and_others_are_not(encoder):
    keep(records(encoder, lines_frame(10)), data=DATA.replace("-1795600000", "-1700000000"))
    keep(records(encoder, lines_frame(10), file="0" * 16), data=DATA.replace(GROUP, f"{GROUP}-2"))
    keep(records(encoder, lines_frame(10), file="1" * 16), data=DATA.replace(GROUP, "another"))
    assert find_stored(FILES, SETTINGS, SHA, NOW)[1].lines == 10


def test_the_latest_record_of_a_line_counts_and_a_deleted_one_does_not(encoder):
    lines = lines_frame(4, seed=5)
    early, late = NOW - timedelta(days=2), NOW - timedelta(days=1)
    keep(records(encoder, lines, early, rarity=1.0), early, "early")
    keep(records(encoder, lines[:2], late, rarity=2.0), late, "late")
    keep(records(encoder, lines[1:3], late, rarity=3.0, api_invocation_time=pd.Timestamp("2026-11-23")), late, "later")
    nothing = dict.fromkeys([*NUMERIC_FEATURES, *CATEGORIES, "encoder"])
    gone = records(encoder, lines[3:], NOW, is_deleted=True).assign(**nothing)
    gone = gone.astype(
        {"encoder": "string", **dict.fromkeys(NUMERIC_FEATURES, "float64"), **dict.fromkeys(CATEGORIES, "Int64")}
    )
    keep(gone, NOW, "gone")
    found, said = find_stored(FILES, SETTINGS, SHA, NOW)
    assert said.lines == 3
    assert sorted(found.numbers[:, NUMERIC_FEATURES.index("rarity")]) == [2.0, 3.0, 3.0]
    keep(records(encoder, lines[3:], NOW + timedelta(seconds=1), rarity=4.0), NOW, "written-anew")
    assert find_stored(FILES, SETTINGS, SHA, NOW)[1].lines == 4


def test_more_than_are_needed_are_sampled_the_same_way_each_time(encoder, monkeypatch):
    monkeypatch.setattr(stored, "MOST_RECORDS", 300)
    lines = lines_frame(1_000, seed=6)
    for number in range(10):
        keep(records(encoder, lines[number * 100 : number * 100 + 100]), name=str(number))
    gone = records(encoder, lines[:40], NOW, is_deleted=True)
    keep(gone, NOW, "gone")
    found, said = find_stored(FILES, SETTINGS, SHA, NOW)
    assert 100 < said.lines <= 300
    assert rows(found) == rows(find_stored(FILES, SETTINGS, SHA, NOW)[0])
    assert rows(found) != rows(find_stored(FILES, msgspec.structs.replace(SETTINGS, split_seed=2), SHA, NOW)[0])
    deleted = set(feature_rows(encoder, lines[:40]).to_pylist()) - set(feature_rows(encoder, lines[40:]).to_pylist())
    assert deleted
    assert not deleted & set(rows(found)), "no mark of deletion is left out"


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda: store.delete(BUCKET, LIVE_MODEL_KEY), "no model is live yet"),
        (
            lambda: store.delete(BUCKET, "runs/live/encoder.json"),
            "runs/live/encoder.json is gone or was left by another",
        ),
        (lambda: store.put(BUCKET, "runs/live/encoder.json", '{"version": 1}', "x"), "left by another version"),
        (lambda: go_live(Encoder.fit(lines_frame(77, seed=9))), "nothing of the last 10 days is stored"),
    ],
)
def test_without_a_live_encoder_or_records_there_is_nothing_to_read(encoder, spoil, why):
    keep(records(encoder, lines_frame(10)))
    spoil()
    found, said = find_stored(FILES, SETTINGS, SHA, NOW)
    assert found is None
    assert (said.lines, said.model_run) == (0, None)
    assert why in said.note


def upload(cloud, frame):
    from suspicious_lines.lines import COLUMNS, FIELDS

    body = frame[list(FIELDS.values())].set_axis(COLUMNS, axis=1).to_csv(index=False).encode()
    version = cloud.s3.put_object(Bucket=BUCKET, Key="incoming/x.csv", Body=body)["VersionId"]
    return {"bucket": BUCKET, "key": "incoming/x.csv", "etag": "e", "size": len(body), "version_id": version}


@pytest.fixture
def preprocess(cloud, load_handler, context, monkeypatch):
    """Runs the function on 500 lines; `days` of the store."""

    def call(days=10, group=GROUP):
        monkeypatch.setenv("FEATURE_GROUP", group)
        monkeypatch.setenv("TRAIN_ON_STORED_DAYS", str(days))
        return load_handler("preprocess")({"run": "run", "upload": upload(cloud, lines_frame(500, seed=7))}, context)

    return call


def table(name):
    return pd.read_parquet(io.BytesIO(store.get_bytes(BUCKET, f"runs/run/{name}.parquet")))


def test_a_training_is_encoded_as_the_live_model_and_trained_on_stored_lines_too(encoder, preprocess, monkeypatch):
    monkeypatch.setattr(preprocessing, "LINES_PER_TRAIN_PART", 150)
    at = datetime.now(UTC) - timedelta(days=1)
    keep(records(encoder, lines_frame(90, seed=2), at), at)
    dataset = preprocess()
    assert (dataset["lines_train"], dataset["lines_validation"]) == (400, 100)
    assert dataset["feature_dim"] == len(encoder.features)
    assert store.get_bytes(BUCKET, "runs/run/encoder.json").decode() == encoder.to_json()
    counts = [
        store.get_bytes(BUCKET, f"runs/run/features/train/part-{number:05d}.csv").count(b"\n") for number in range(4)
    ]
    assert counts == [150, 150, 100, 90]
    assert store.get_json(BUCKET, "runs/run/stored.json") == {"lines": 90, "model_run": "live", "note": None}
    validation = table("lines/validation/part-00000")
    assert feature_rows(encoder, validation).to_pylist() == store.get_bytes(
        BUCKET, "runs/run/features/validation/part-00000.csv"
    ).decode().splitlines(keepends=True)
    trained = pd.concat([table(f"trained/train/part-{number:05d}") for number in range(3)])
    assert list(trained.columns) == ["line", "total", "error"]
    assert sorted([*trained["line"], *validation["line"]]) == list(range(2, 502))
    assert not store.exists(BUCKET, "runs/run/trained/train/part-00003.parquet"), "stored lines are stored already"


def test_a_retry_keeps_to_the_encoder_of_the_first_try(encoder, preprocess):
    at = datetime.now(UTC) - timedelta(days=1)
    keep(records(encoder, lines_frame(90, seed=2), at), at)
    preprocess()
    go_live(Encoder.fit(lines_frame(60, seed=11)), run="another")
    preprocess()
    assert store.get_bytes(BUCKET, "runs/run/encoder.json").decode() == encoder.to_json()
    assert store.get_json(BUCKET, "runs/run/stored.json")["model_run"] == "live"


def test_a_retry_of_an_ordinary_training_is_one(cloud, preprocess):
    preprocess()
    ordinary = store.get_bytes(BUCKET, "runs/run/encoder.json")
    at, other = datetime.now(UTC) - timedelta(days=1), Encoder.fit(lines_frame(60, seed=11))
    go_live(other)
    keep(records(other, lines_frame(90, seed=2), at), at)
    preprocess()
    assert store.get_bytes(BUCKET, "runs/run/encoder.json") == ordinary


def test_a_training_without_stored_lines_is_an_ordinary_one(cloud, preprocess):
    preprocess(days=0)
    ordinary = store.get_bytes(BUCKET, "runs/run/encoder.json")
    assert not store.exists(BUCKET, "runs/run/stored.json")
    preprocess(days=10)
    assert store.get_bytes(BUCKET, "runs/run/encoder.json") == ordinary
    assert store.get_json(BUCKET, "runs/run/stored.json")["note"] == "no model is live yet"


def test_without_a_store_nothing_more_is_read_or_written(encoder, preprocess):
    preprocess(group="")
    keys = store.keys(BUCKET, "runs/run/")
    assert not [key for key in keys if "trained/" in key or "stored" in key]
    assert store.get_bytes(BUCKET, "runs/run/encoder.json").decode() != encoder.to_json()
