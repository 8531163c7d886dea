"""The feature store's two ends: what IngestFeatures takes to write lines, and a training to read them.

    python -m benchmarks.ingest --write docs/features.md     # about 3 minutes on 2 idle cores

Each row is a process of its own, and the bucket is a folder. The store is a process that answers after 20 ms and keeps
nothing: how long AWS's takes was not measured.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.preprocess import ENVIRONMENT, Folder
from benchmarks.tables import write

CELLS = [("written", 25_000), ("written", 500_000), ("read", 100_000), ("read", 1_000_000), ("read", 5_000_000)]
PART, GROUP = 25_000, "lines"  # a part of train lines, and what a file of the store holds here
ANSWER_SECONDS = 0.02


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(ANSWER_SECONDS)
        body = b'{"Errors": [], "UnprocessedEntries": []}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """No line a request."""


class Listing(Folder):
    """Also lists what is in it."""

    def get_paginator(self, operation: str) -> Any:
        paths = [path for path in self._folder.rglob("*") if path.is_file()]
        page = {"Contents": [{"Key": path.relative_to(self._folder).as_posix()} for path in paths]}
        self.paginate = lambda **request: [page]
        return self


def lines_of_a_part() -> pd.DataFrame:
    from local.activities import generate

    frame = generate(lines=PART)
    frame.columns = pd.Index([name.lower().replace(" ", "_") for name in frame.columns])
    return frame.assign(line=range(2, PART + 2), error=frame["error"].astype("boolean"))


def leave(folder: Path, lines: int) -> None:
    """A live model, and a store whose records it has encoded, or a part of a run: whatever is measured has its own."""
    from suspicious_lines.encoder import CATEGORIES, NUMERIC_FEATURES, Encoder
    from suspicious_lines.feature_records import encoder_id
    from suspicious_lines.features import features_csv

    frame = lines_of_a_part()
    encoder, at = Encoder.fit(frame), datetime.now(UTC) - timedelta(hours=1)
    data = folder / f"features/offline-store/{GROUP}-1/data/{at:year=%Y/month=%m/day=%d/hour=%H}"
    for needed in (data, folder / "models", folder / "runs/run/features/train", folder / "runs/run/trained/train"):
        needed.mkdir(parents=True)
    (folder / "runs/run/encoder.json").write_text(encoder.to_json())
    live = {"run": "run", "endpoint_name": "e", "max_concurrency": 1, "encoder_key": "runs/run/encoder.json"}
    (folder / "models/current.json").write_text(json.dumps(live | {"threshold": 1, "promoted_at": str(at)}))
    (folder / "runs/run/features/train/part-00000.csv").write_bytes(features_csv(encoder, frame))
    frame[["line", "total", "error"]].to_parquet(folder / "runs/run/trained/train/part-00000.parquet", index=False)
    features = encoder.encode(frame).round(4)
    records = pd.DataFrame(features[:, :5].astype(float), columns=NUMERIC_FEATURES).assign(
        encoder=encoder_id(encoder.to_json().encode()), is_deleted=False, event_time=f"{at:%Y-%m-%dT%H:%M:%SZ}"
    )
    records[CATEGORIES] = encoder.places(features[:, 5:])
    records["api_invocation_time"] = pd.Timestamp(at.replace(tzinfo=None))
    for start in range(0, lines, PART):
        named = records.assign(line_id=[f"ab12ab12ab12ab12-{start + number}" for number in range(PART)])
        named.to_parquet(data / f"{start}.parquet", index=False)


def written(lines: int) -> None:
    """As ingest_features, which reads the receipt first, for parts of PART lines."""
    from suspicious_lines import ingesting
    from suspicious_lines.costs import estimate
    from suspicious_lines.feature_messages import IngestRequest
    from suspicious_lines.feature_records import RunRecords
    from suspicious_lines.receipts import Receipt, Timings

    request = IngestRequest(run="run", start_date=datetime.now(UTC))
    receipt = Receipt(
        run="run",
        execution_arn="arn",
        status="SUCCEEDED",
        input=None,
        sha256="ab12" * 16,
        model={"encoder": "runs/run/encoder.json"},
        timings=Timings(started_at=request.started_at, seconds=0.0, states={}, transitions=0),
        estimated_cost=estimate({}, 0, 0, "", None, 0.0, ""),
    )
    records = RunRecords("bucket", request, receipt)
    with ThreadPoolExecutor(ingesting.REQUESTS_AT_ONCE) as pool:
        for _ in range(lines // PART):
            ingesting._write(records.of_part("train/part-00000"), GROUP, pool)


def read(_: int) -> None:
    from suspicious_lines.layout import RunFiles
    from suspicious_lines.settings import PreprocessSettings
    from suspicious_lines.stored import find_stored

    settings = PreprocessSettings(
        data_bucket="bucket", split_seed=1, lines_per_part=5_000, feature_group=GROUP, train_on_stored_days=1
    )
    found, _said = find_stored(RunFiles("other"), settings, "cd34" * 16, datetime.now(UTC))
    assert found
    found.rows()


def run_cell(what: str, lines: int, folder: Path) -> dict[str, float]:
    from suspicious_lines import store

    store.client = lambda service: Listing(folder)  # type: ignore[assignment]
    started, cpu = time.perf_counter(), time.process_time()
    {"written": written, "read": read}[what](lines)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return {"seconds": seconds, "cpu": cpu, "peak": int(peak.split()[1]) / 1024}


def measure(what: str, lines: int, port: int) -> dict[str, float]:
    settings = {
        "AWS_ENDPOINT_URL_SAGEMAKER_FEATURESTORE_RUNTIME": f"http://127.0.0.1:{port}",
        "AWS_REGION": "us-east-1",
    }
    settings |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    with tempfile.TemporaryDirectory() as folder:
        leave(Path(folder), lines if what == "read" else 0)
        command = [sys.executable, "-m", "benchmarks.ingest", "--cell", what, str(lines), folder]
        environment = os.environ | ENVIRONMENT | settings
        return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", type=Path, help="put the table into this document instead of printing it")
    parser.add_argument("--cell", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        what, lines, folder = options.cell
        print(json.dumps(run_cell(what, int(lines), Path(folder))))
        return
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    rows = ["| lines | time | processor time | peak memory |", "|---" * 4 + "|"]
    for what, lines in CELLS:
        found = measure(what, lines, server.server_address[1])
        rows.append(
            f"| {lines:,} {what} | {found['seconds']:,.1f} s | {found['cpu']:,.1f} s | {found['peak']:,.0f} MB |"
        )
    write("\n".join(rows), options.write, "benchmarks.ingest")


if __name__ == "__main__":
    main()
