"""What is answered without importing pandas: encoding, and all that ends before a frame is read."""

import json
import os
import subprocess
import sys

import pyarrow as pa
import pytest

from frames import BUCKET, ROOT, lines_frame
from suspicious_lines import datasets, store
from suspicious_lines.encoder import Encoder
from suspicious_lines.layout import champion_part, shadow_part

PART, CHALLENGERS = "validation/part-00000", "invoices/5e6f7a8b/part-00000"
UPLOAD = {"bucket": BUCKET, "key": "verdicts/v.csv", "etag": "e", "size": 100}
AT = "2026-11-24T00:00:00Z"
COUNTS = dict.fromkeys(("read", "accepted", "rejected", "kept", "query", "fine", "unsure", "runs"), 0)
ORDER = {"action": "report"}
CONTEST = {"live_run": None, "champion": None, "parts": [], "note": "no model was live before"}


def as_preprocess_writes(lines):
    """Other codes of texts than those of 32 bits would be converted, for which Arrow imports pandas."""
    table = pa.Table.from_pandas(lines, preserve_index=False)
    coded = pa.dictionary(pa.int32(), pa.string())
    columns = [c.with_type(coded) if pa.types.is_dictionary(c.type) else c for c in table.schema]
    return table.cast(pa.schema(columns))


@pytest.fixture
def filled(cloud, tmp_path):
    """A folder with what is in a bucket with a live model and one in its shadow, and runs that are to be encoded."""
    lines = lines_frame(100)
    encoder = Encoder.fit(lines)
    table = as_preprocess_writes(lines)
    for key in (f"runs/new/lines/{PART}.parquet", f"runs/score/lines/{CHALLENGERS}.parquet"):
        datasets.write_part(table, BUCKET, key)
    datasets.write_part(table, BUCKET, "runs/past/results/scored_lines.parquet")
    for run in ("past", "shadow"):
        store.put(BUCKET, f"runs/{run}/encoder.json", encoder.to_json(), "application/json")
    receipt = {"run": "past", "status": "SUCCEEDED", "model": {"run": "past"}, "threshold": {"value": 4.0}}
    for run in ("past", "score"):
        store.put_json(BUCKET, f"runs/{run}/receipt.json", receipt)
    store.put_json(BUCKET, "runs/past/results/metrics.json", {})
    store.put_json(BUCKET, "runs/score/parts.json", [CHALLENGERS])
    model = {"max_concurrency": 3, "threshold": 2.5}
    trial = {"trial": "t", "kind": "shadow", "share": 100, "began_at": AT}
    live = {
        "run": "past", "endpoint_name": "e", "encoder_key": "runs/past/encoder.json", "promoted_at": AT,
        "challenger": {"run": "shadow", "endpoint_name": "s", **trial, **model},
    }  # fmt: skip
    store.put_json(BUCKET, "models/current.json", live | model)
    rows = "Run,Line,Verdict,Note\r\nunknown,2,fine,\r\n"
    store.put(BUCKET, "verdicts/v.csv", rows, "text/csv")
    store.put(BUCKET, "config/suppressions.json", "{", "application/json")
    for key in store.keys(BUCKET, ""):
        path = tmp_path / "filled" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(store.get_bytes(BUCKET, key))
    return str(tmp_path / "filled")


def test_encoding_and_what_ends_before_a_frame_is_read_do_not_import_pandas(filled, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    calls = [
        ("encode_for_champion", {"run": "new", "parts": [PART], "gone": ""}, filled),
        ("encode_for_challenger", {"run": "score"}, filled),
        ("measure_drift", {"run": "m", "input": {}, "started_at": AT}, filled),
        ("measure_drift", {"run": "m", "input": {}, "started_at": AT}, str(empty)),
        ("compare_models", {"run": "new", "parts": [PART], "contest": CONTEST}, str(empty)),
        ("report_trial", {"run": "r", "order": ORDER}, str(empty)),
        ("read_verdicts", {"run": "v", "upload": UPLOAD, "started_at": AT}, filled),
        ("learn_from_verdicts", {"run": "v", "counts": COUNTS, "started_at": AT}, filled),
    ]
    command = [sys.executable, str(ROOT / "tests/unit/cold_answers.py")]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "layers/core")}
    done = subprocess.run(command, env=environment, input=json.dumps(calls), capture_output=True, text=True, check=True)

    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert [loaded for _, loaded in found] == [[]] * len(calls)
    champions, challengers, few, none, unopposed, *refused = [answered for answered, _ in found]
    assert champions["parts"] == [champion_part(PART, "past")]
    assert challengers["parts"] == [shadow_part(CHALLENGERS, "shadow")]
    assert (few["lines"], few["model_age_days"] is None) == (0, False)
    assert (none["lines"], none["model_age_days"]) == (0, None)
    assert unopposed["promoted"]
    assert refused == ["TrialRefusedError", "InvalidUploadError", "SettingsError"]
