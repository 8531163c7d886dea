import io
import json
import os
import subprocess
import sys

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frames import BUCKET, ROOT, csv_of, lines_frame, row
from suspicious_lines import csv_records, encoder, preprocessing, splitting, store
from suspicious_lines.encoder import Encoder
from suspicious_lines.errors import AwsRefusedError, InvalidUploadError, NoLiveModelError, SettingsError
from suspicious_lines.features import features_csv
from suspicious_lines.layout import invoices_kind
from suspicious_lines.ledes import Mapping
from suspicious_lines.lines import COLUMNS, FIELDS
from suspicious_lines.model_messages import LiveModel
from suspicious_lines.splitting import Draw


def upload(cloud, body):
    version = cloud.s3.put_object(Bucket=BUCKET, Key="incoming/x.csv", Body=body)["VersionId"]
    return {"bucket": BUCKET, "key": "incoming/x.csv", "etag": "e", "size": len(body), "version_id": version}


def body_of(frame):
    return frame[list(FIELDS.values())].set_axis(COLUMNS, axis=1).to_csv(index=False).encode()


@pytest.fixture
def handler(cloud, load_handler, monkeypatch):
    monkeypatch.setenv("LINES_PER_PART", "100")
    return load_handler("preprocess")


def test_the_parts_hold_every_accepted_line_once(cloud, handler, context):
    frame = lines_frame(1_000)
    body = body_of(frame) + (row(1, -5) + "\n").encode()
    dataset = handler({"run": "run", "upload": upload(cloud, body)}, context)
    assert (dataset["lines_read"], dataset["lines_rejected"]) == (1_001, 1)
    assert (dataset["lines_train"], dataset["lines_validation"]) == (800, 200)
    parts = ["validation/part-00000", "validation/part-00001", "planted/part-00000", "planted/part-00001"]
    assert dataset["parts"] == parts
    train = pd.read_csv(io.BytesIO(store.get_bytes(BUCKET, "runs/run/features/train/part-00000.csv")), header=None)
    assert train.shape == (800, dataset["feature_dim"])
    assert np.isfinite(train.to_numpy()).all()
    fitted = Encoder.from_json(store.get_bytes(BUCKET, "runs/run/encoder.json").decode())
    seen = []
    for part in dataset["parts"]:
        features = store.get_bytes(BUCKET, f"runs/run/features/{part}.csv")
        lines = pd.read_parquet(io.BytesIO(store.get_bytes(BUCKET, f"runs/run/lines/{part}.parquet")))
        sent = pd.read_csv(io.BytesIO(features), header=None).to_numpy()
        np.testing.assert_allclose(sent, fitted.encode(lines), atol=1e-3)
        if part.startswith("validation/"):
            seen += list(lines["line"])
        else:
            assert set(lines["planted"]) <= {"minutes", "fee", "total", "duplicate"}
    assert len(seen) == len(set(seen)) == 200
    rejected = store.get_bytes(BUCKET, "runs/run/rejected.csv").decode().splitlines()
    assert rejected == ["Line,Column,Value,Reason", "1002,Minutes,'-5,is negative"]


def test_the_version_that_was_claimed_is_read(cloud, handler, context):
    first = upload(cloud, body_of(lines_frame(100)))
    upload(cloud, b"overwritten")
    assert handler({"run": "run", "upload": first}, context)["lines_read"] == 100


def test_a_deleted_upload_and_an_unusable_one_are_the_files_fault(cloud, handler, context):
    gone = upload(cloud, b"x")
    cloud.s3.delete_object(Bucket=BUCKET, Key="incoming/x.csv", VersionId=gone["version_id"])
    with pytest.raises(InvalidUploadError, match="deleted before it could be read"):
        handler({"run": "run", "upload": gone}, context)
    with pytest.raises(InvalidUploadError, match="only 1 of 3 lines"):
        handler({"run": "run", "upload": upload(cloud, csv_of([row(1), row(2, -1), row(3, -1)]))}, context)
    assert store.get_bytes(BUCKET, "runs/run/rejected.csv").count(b"\n") == 3


def test_a_file_beyond_the_functions_memory_is_refused_before_it_is_read(cloud, handler, context):
    huge = upload(cloud, b"x") | {"size": 2_000_000_000}
    with pytest.raises(InvalidUploadError, match=r"2,000 MB, at most 850 can be read\. Split it by matter"):
        handler({"run": "run", "upload": huge}, context)


@pytest.mark.parametrize("count", [5, 6, 1_000, 105_965])
def test_the_split_is_80_to_20_and_repeatable(count):
    mask = Draw(seed=1).next(count)
    assert mask.sum() == round(count * 0.8)
    assert (mask == Draw(seed=1).next(count)).all()
    if count > 100:
        assert (mask != Draw(seed=2).next(count)).any()


@given(st.lists(st.integers(1, 300), min_size=1, max_size=20))
def test_each_draw_brings_the_train_lines_to_80_percent(counts):
    draw = Draw(seed=1)
    masks = [draw.next(count) for count in counts]
    assert [len(mask) for mask in masks] == counts
    for drawn, trained in zip(np.cumsum(counts), np.cumsum([mask.sum() for mask in masks]), strict=True):
        assert trained == round(drawn * 0.8)


def test_a_file_of_several_draws_is_split_as_a_whole(cloud, handler, context, monkeypatch):
    monkeypatch.setattr(splitting, "LINES_PER_DRAW", 300)
    monkeypatch.setattr(splitting, "LINES_AT_ONCE", 70)
    frame = lines_frame(1_000)
    dataset = handler({"run": "run", "upload": upload(cloud, body_of(frame))}, context)
    assert (dataset["lines_train"], dataset["lines_validation"]) == (800, 200)
    draw = Draw(1)
    in_train = np.concatenate([draw.next(count) for count in (300, 300, 300, 100)])
    validation = [part for part in dataset["parts"] if part.startswith("validation/")]
    bodies = [store.get_bytes(BUCKET, f"runs/run/lines/{part}.parquet") for part in validation]
    lines = pd.concat([pd.read_parquet(io.BytesIO(body)) for body in bodies])
    assert list(lines["line"]) == list(np.flatnonzero(~in_train) + 2)
    fitted = store.get_bytes(BUCKET, "runs/run/encoder.json").decode()
    assert fitted == Encoder.fit(frame[in_train]).to_json()
    sent = store.get_bytes(BUCKET, "runs/run/features/train/part-00000.csv")
    assert sent == features_csv(Encoder.from_json(fitted), frame[in_train])


def test_where_blocks_and_parts_end_does_not_matter(cloud, handler, context, monkeypatch):
    body = body_of(lines_frame(1_000)) + (row(1, -5) + "\n" + row(7) + "\n" + row(7) + "\n").encode()
    names = ["encoder.json", "rejected.csv", "features/validation/part-00001.csv", "features/planted/part-00000.csv"]
    answers = []
    for size in (1 << 20, 1_000):
        monkeypatch.setattr(csv_records, "BLOCK_BYTES", size)
        answer = handler({"run": f"run{size}", "upload": upload(cloud, body)}, context)
        answers.append([answer, *(store.get_bytes(BUCKET, f"runs/run{size}/{name}") for name in names)])
    assert answers[0] == answers[1]


def test_an_upload_is_read_and_encoded_without_pandas(tmp_path):
    (tmp_path / "lines.csv").write_bytes(body_of(lines_frame(200)) + (row(1, " -5") + "\n").encode())
    code = (
        "import sys, pathlib, benchmarks.preprocess as it;"
        "it.ours(pathlib.Path(sys.argv[1]))(); sys.exit('pandas' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "layers/core")])}
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=False).returncode == 0
    assert (tmp_path / "runs/run/lines/validation/part-00000.parquet").exists()


def test_too_many_combinations_are_the_files_fault(cloud, handler, context, monkeypatch):
    monkeypatch.setattr(encoder, "MOST_COMBINATIONS", 3)
    with pytest.raises(InvalidUploadError, match="combinations of Matter Type, Resource, Activity"):
        handler({"run": "run", "upload": upload(cloud, body_of(lines_frame(100)))}, context)


def test_encode_lines_writes_all_lines_for_the_live_model(cloud, load_handler, context, monkeypatch):
    monkeypatch.setenv("LINES_PER_PART", "100")
    past = Encoder.fit(lines_frame(500))
    store.put(BUCKET, "runs/past/encoder.json", past.to_json(), "application/json")
    live = LiveModel(
        run="past", endpoint_name="endpoint", max_concurrency=3, encoder_key="runs/past/encoder.json", threshold=4,
        promoted_at="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    store.put(BUCKET, "models/current.json", msgspec.json.encode(live), "application/json")
    new = lines_frame(150, seed=2, labelled=False).astype({"resource": object})
    new.loc[0, "resource"] = "Robot"
    event = {"run": "run", "upload": upload(cloud, body_of(new)), "gone": ""}
    with pytest.raises(AwsRefusedError, match="does not exist"):
        load_handler("encode_lines")(event | {"gone": "endpoint"}, context)
    encoded = load_handler("encode_lines")(event, context)
    assert encoded["model"] == {"run": "past", "endpoint_name": "endpoint", "max_concurrency": 3, "threshold": 4}
    dataset = encoded["dataset"]
    assert (dataset["lines_read"], dataset["lines_train"], dataset["lines_validation"]) == (150, 0, 150)
    assert dataset["parts"] == [f"{invoices_kind('past')}/part-0000{number}" for number in range(2)]
    features = [store.get_bytes(BUCKET, f"runs/run/features/{part}.csv") for part in dataset["parts"]]
    sent = pd.read_csv(io.BytesIO(b"".join(features)), header=None).to_numpy()
    np.testing.assert_allclose(sent, past.encode(new), atol=1e-3)
    assert "runs/run/encoder.json" not in store.keys(BUCKET, "runs/run/")


def test_encode_lines_without_a_model_says_so(cloud, load_handler, context):
    event = {"run": "run", "upload": upload(cloud, body_of(lines_frame(20))), "gone": ""}
    with pytest.raises(NoLiveModelError):
        load_handler("encode_lines")(event, context)


def test_a_wrong_configuration_is_told_before_anything_is_paid_for(cloud, handler, context):
    store.put(BUCKET, "config/rules.json", "{}", "application/json")
    with pytest.raises(SettingsError, match=r"config/rules\.json is wrong"):
        handler({"run": "run", "upload": upload(cloud, body_of(lines_frame(100)))}, context)


LEDES_HEADER = (
    "INVOICE_DATE|INVOICE_NUMBER|CLIENT_ID|LAW_FIRM_MATTER_ID|INVOICE_TOTAL|BILLING_START_DATE|BILLING_END_DATE|"
    "INVOICE_DESCRIPTION|LINE_ITEM_NUMBER|EXP/FEE/INV_ADJ_TYPE|LINE_ITEM_NUMBER_OF_UNITS|"
    "LINE_ITEM_ADJUSTMENT_AMOUNT|LINE_ITEM_TOTAL|LINE_ITEM_DATE|LINE_ITEM_TASK_CODE|LINE_ITEM_EXPENSE_CODE|"
    "LINE_ITEM_ACTIVITY_CODE|TIMEKEEPER_ID|LINE_ITEM_DESCRIPTION|LAW_FIRM_ID|LINE_ITEM_UNIT_COST|TIMEKEEPER_NAME|"
    "TIMEKEEPER_CLASSIFICATION|CLIENT_MATTER_ID[]"
)


def ledes_record(number: int, day: str) -> str:
    return (
        f"20260131|INV1|C1|M1|1000|20260101|20260131|for services|{number}|F|1.0|0|200.00|{day}|L100||A103|T1|"
        "draft|FIRM1|200.00|A Timekeeper|PT|CM1[]"
    )


def test_equal_work_of_ledes_is_a_repeat_only_on_the_same_day(cloud, handler, context):
    days = ["20260105", "20260106", "20260107", "20260108", "20260109", "20260109"]
    records = [ledes_record(number, day) for number, day in enumerate(days, 1)]
    body = "\n".join(["LEDES1998B[]", LEDES_HEADER, *records]).encode()
    store.put(BUCKET, "config/ledes.json", ledes_mapping(), "application/json")
    dataset = handler({"run": "run", "upload": upload(cloud, body)}, context)
    assert (dataset["lines_read"], dataset["lines_rejected"]) == (6, 0)
    found = [
        pd.read_parquet(io.BytesIO(store.get_bytes(BUCKET, f"runs/run/lines/{part}.parquet")))
        for part in dataset["parts"]
        if part.startswith("validation/")
    ]
    fitted = Encoder.from_json(store.get_bytes(BUCKET, "runs/run/encoder.json").decode())
    assert set(fitted.categories["resource"]) == {"Owner"}
    repeated = pd.concat(found)
    assert set(repeated.loc[repeated["line"] != 8, "repeats"]) <= {0}


def ledes_mapping() -> str:
    """The library's own, but for the name of a partner."""
    document = json.loads(msgspec.json.encode(Mapping.default()))
    document["resources"]["PT"] = "Owner"
    return json.dumps(document)


def test_more_lines_make_larger_parts_before_an_executions_history_is_too_long(
    cloud, load_handler, context, monkeypatch
):
    monkeypatch.setattr(preprocessing, "MOST_PARTS", 6)
    monkeypatch.setenv("LINES_PER_PART", "100")
    dataset = load_handler("preprocess")({"run": "run", "upload": upload(cloud, body_of(lines_frame(2_000)))}, context)
    parts = [part for part in dataset["parts"] if part.startswith("validation/")]
    lines = [store.get_bytes(BUCKET, f"runs/run/features/{part}.csv").count(b"\n") for part in parts]
    assert lines == [134, 134, 132]
