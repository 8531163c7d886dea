"""What becomes of many uploads at once, of a run of 1,000 parts, and of a burst against an endpoint's MaxConcurrency.

    python -m benchmarks.load --write docs/performance.md

The real template on the embedded AWS of this machine. Ends with an error where an upload is lost or counted twice.
"""

import argparse
import io
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.tables import write
from local.activities import generate
from local.cloud import LAPTOP_PARAMETERS, Cloud

POLL_SECONDS = 0.5


class LostError(Exception):
    """An upload did not end, ended badly, or was counted twice."""


@dataclass(frozen=True)
class File:
    key: str
    lines: int
    body: bytes


@dataclass
class Figures:
    """Of all the executions that the uploads started; `failures`: failed tries of tasks, by error."""

    uploads: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    lines: int = 0
    seconds: float = 0.0
    of_runs: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    most_parts: int = 0
    most_events: int = 0
    most_bytes: int = 0


def invoices(number: int, lines: int, folder: str = "invoices") -> File:
    frame = generate(seed=number, lines=lines).drop(columns="Error")
    return File(f"{folder}/load-{number:04d}.csv", lines, frame.to_csv(index=False).encode())


def past(number: int, lines: int) -> File:
    return File(
        f"incoming/load-{number:04d}.csv", lines, generate(seed=number, lines=lines).to_csv(index=False).encode()
    )


def drop(cloud: Cloud, files: Sequence[File], seconds: float = 0.0) -> dict[str, File]:
    """Uploads the files evenly over so many seconds; returns them by the version that S3 gave."""
    s3, bucket = cloud.client("s3"), cloud.outputs["DataBucketName"]
    started = time.monotonic()

    def put(place: int) -> str:
        time.sleep(max(0.0, started + seconds * place / len(files) - time.monotonic()))
        return s3.put_object(Bucket=bucket, Key=files[place].key, Body=files[place].body)["VersionId"]

    with ThreadPoolExecutor(16) as pool:
        return dict(zip(pool.map(put, range(len(files))), files, strict=True))


def ended(cloud: Cloud, dropped: dict[str, File], seconds: float) -> list[dict[str, Any]]:
    """The executions that these uploads started, all of them ended.

    Raises:
        LostError: after so many seconds some upload has no execution, or one still runs.
    """
    sfn = cloud.client("stepfunctions")
    known: dict[str, dict[str, Any]] = {}
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for machine in (cloud.outputs["TrainStateMachineArn"], cloud.outputs["ScoreStateMachineArn"]):
            for page in sfn.get_paginator("list_executions").paginate(stateMachineArn=machine):
                for found in page["executions"]:
                    arn = found["executionArn"]
                    if known.get(arn, {}).get("status", "RUNNING") == "RUNNING":
                        known[arn] = sfn.describe_execution(executionArn=arn)
        ours = [run for run in known.values() if version_of(run) in dropped]
        if {version_of(run) for run in ours} == set(dropped) and all(run["status"] != "RUNNING" for run in ours):
            return ours
        time.sleep(POLL_SECONDS)
    raise LostError(f"{len(dropped)} uploads: {Counter(run['status'] for run in ours)} after {seconds:g} s")


def version_of(run: dict[str, Any]) -> str | None:
    return json.loads(run["input"]).get("object", {}).get("version-id")


def measure(cloud: Cloud, dropped: dict[str, File], runs: list[dict[str, Any]]) -> Figures:
    """Raises LostError where an upload has not exactly one receipt that says SUCCEEDED, or its lines were not captured
    exactly once."""
    figures = Figures(uploads=len(dropped))
    receipts: Counter[str] = Counter()
    for run in runs:
        figures.ends[run["status"]] += 1
        figures.of_runs.append((run["stopDate"] - run["startDate"]).total_seconds())
        read_history(cloud, run, figures)
        if (receipt := receipt_of(cloud, run)) and receipt["status"] == "SUCCEEDED":
            receipts[version_of(run) or ""] += 1
            figures.lines += receipt["counts"]["lines_read"]
    begun: datetime = min(run["startDate"] for run in runs)
    figures.seconds = (max(run["stopDate"] for run in runs) - begun).total_seconds()
    if receipts != Counter(dropped.keys()):
        raise LostError(f"{len(dropped)} uploads, {len(receipts)} with receipts, {receipts.total()} receipts")
    names = {run["name"] for run in runs}
    captured = sum(lines for run, lines in captured_lines(cloud).items() if run in names)
    scored = sum(file.lines for file in dropped.values() if file.key.startswith("invoices/"))
    if captured != scored or figures.lines != sum(file.lines for file in dropped.values()):
        raise LostError(f"{scored:,} lines to score, {captured:,} captured; {figures.lines:,} lines in receipts")
    return figures


def receipt_of(cloud: Cloud, run: dict[str, Any]) -> dict[str, Any] | None:
    s3, bucket = cloud.client("s3"), cloud.outputs["DataBucketName"]
    key = f"runs/{run['name']}/receipt.json"
    if not s3.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents"):
        return None
    return json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())


def captured_lines(cloud: Cloud) -> dict[str, int]:
    """Lines in the dataset of all runs, by run."""
    s3, bucket = cloud.client("s3"), cloud.outputs["DataBucketName"]
    lines: Counter[str] = Counter()
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="scored/"):
        for found in page.get("Contents", []):
            body = s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()
            run = found["Key"].rpartition("/")[2].removesuffix(".parquet")
            lines[run] += pq.ParquetFile(io.BytesIO(body)).metadata.num_rows
    return lines


def read_history(cloud: Cloud, run: dict[str, Any], figures: Figures) -> None:
    pages = (
        cloud.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=run["executionArn"])
    )
    events = [event for page in pages for event in page["events"]]
    figures.most_events = max(figures.most_events, len(events))
    for event in events:
        entered = event.get("stateEnteredEventDetails", {})
        figures.most_bytes = max(figures.most_bytes, len(entered.get("input", "").encode()))
        figures.most_parts = max(figures.most_parts, event.get("mapStateStartedEventDetails", {}).get("length", 0))
        if "taskFailedEventDetails" in event:
            figures.failures[event["taskFailedEventDetails"]["error"]] += 1


def load(cloud: Cloud, files: Sequence[File], over: float, within: float) -> Figures:
    """Drops the files over so many seconds and follows them to their ends, which must come within so many."""
    dropped = drop(cloud, files, over)
    return measure(cloud, dropped, ended(cloud, dropped, within))


def scenario(files: Sequence[File], over: float, **parameters: str) -> Figures:
    """The same on a cloud of its own, with a model trained first."""
    with tempfile.TemporaryDirectory() as home:
        stack = LAPTOP_PARAMETERS | {"ReviewBudget": "20"} | parameters
        with Cloud(Path(home), 0, 0, parameters=stack) as cloud:
            load(cloud, [past(9_999, 5_000)], 0, 300)
            found = load(cloud, files, over, 3_000)
    print(f"{found.uploads} uploads, {found.seconds:.0f} s, {dict(found.failures)}", file=sys.stderr, flush=True)
    return found


def table(rows: dict[str, Figures]) -> str:
    lines = [
        "| | uploads | lines | succeeded | failed | last end | a run, median | a run, longest | throttled "
        "| other failed tries | most parts | most events | largest state |",
        "|---" * 13 + "|",
    ]
    for name, found in rows.items():
        throttled = found.failures["EndpointBusyError"]
        cells = [
            name, f"{found.uploads:,}", f"{found.lines:,}", f"{found.ends['SUCCEEDED']:,}",
            f"{found.ends.total() - found.ends['SUCCEEDED']:,}", f"{found.seconds:,.0f} s",
            f"{np.median(found.of_runs):,.1f} s", f"{max(found.of_runs):,.0f} s", f"{throttled:,}",
            f"{found.failures.total() - throttled:,}", f"{found.most_parts:,}", f"{found.most_events:,}",
            f"{found.most_bytes / 1024:,.0f} KiB",
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", type=Path, help="put the table into this document instead of printing it")
    options = parser.parse_args()
    many = [past(n, 2_000) if n % 20 == 0 else invoices(n, 500) for n in range(200)]
    burst = [invoices(n, 40_000) for n in range(24)]
    rows = {
        "200 uploads in a minute, every 20th trains": scenario(many, 60),
        "one file in 1,000 parts": scenario([invoices(1, 100_000)], 0, LinesPerPart="100", EndpointMaxConcurrency="40"),
        "24 files of 8 parts at once, MaxConcurrency 1": scenario(burst, 0, EndpointMaxConcurrency="1"),
    }
    write(f"On {os.cpu_count()} cores.\n\n{table(rows)}", options.write, "benchmarks.load")


if __name__ == "__main__":
    main()
