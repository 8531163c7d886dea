"""What a run asks AWS to bill, by workflow and number of lines, counted in real runs: what `make costs` reckons with.

    python -m benchmarks.bill --write docs/performance.md

All runs share one embedded AWS. Before the first that counts a model is live, so that training runs compare theirs with
it, and all functions have been called once.
"""

import argparse
import io
import json
import os
import sys
import tempfile
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.growth import _ended
from benchmarks.preprocess import make_file
from benchmarks.tables import write
from local.cloud import LAPTOP_PARAMETERS, Cloud
from local.follow import find_execution

RUNS = {"incoming/": (10_000, 100_000, 1_000_000), "invoices/": (1_000, 10_000, 100_000, 1_000_000)}
MACHINES = {"incoming/": "TrainStateMachineArn", "invoices/": "ScoreStateMachineArn"}
LOG_RECORD = 26  # bytes that CloudWatch Logs counts beside each message


@dataclass(frozen=True)
class Counted:
    """Lambda's GB-seconds are those it bills; `transitions` leave out those that wait for a job or an endpoint."""

    gigabyte_seconds: float
    invocations: int
    transitions: int
    requests: int
    lines_scored: int
    objects: int
    stored_mb: float
    logs_mb: float


class Measured:
    """One embedded AWS; what has been billed so far is told apart by what was there before."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud, self.folder = cloud, folder
        self.s3, self.bucket = cloud.client("s3"), cloud.outputs["DataBucketName"]
        self.number = 0

    def run(self, prefix: str, lines: int) -> Counted:
        self.number += 1
        file, key = self.folder / "lines.csv", f"{prefix}bill-{self.number}.csv"
        make_file(file, lines)
        before, objects = self._lambda(), self._objects()
        self.s3.upload_file(str(file), self.bucket, key)
        machine = self.cloud.outputs[MACHINES[prefix]]
        described = _ended(
            self.cloud, find_execution(self.cloud.client("stepfunctions"), [machine], self.bucket, key, None)
        )
        after = self._lambda()
        added = {key: size for key, size in self._objects().items() if key not in objects}
        scores = [key for key in added if "/scores/" in key]
        print(f"{prefix} {lines:,} lines", file=sys.stderr, flush=True)
        return Counted(
            gigabyte_seconds=after[0] - before[0],
            invocations=int(after[1] - before[1]),
            transitions=self._transitions(described["executionArn"]),
            requests=len(scores),
            lines_scored=sum(self._rows(key) for key in scores),
            objects=len(added),
            stored_mb=sum(added.values()) / 1e6,
            logs_mb=(after[2] - before[2]) / 1e6,
        )

    def _lambda(self) -> tuple[float, float, float]:
        """GB-seconds and invocations by Lambda's own reports, and the bytes of all functions' logs."""
        logs, group = self.cloud.client("logs"), self.cloud.outputs["FunctionsLogGroupName"]
        seconds = invocations = size = 0.0
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
            for event in page["events"]:
                size += len(event["message"].encode()) + LOG_RECORD
                if '"platform.report"' in event["message"]:
                    metrics = json.loads(event["message"])["record"]["metrics"]
                    seconds += metrics["billedDurationMs"] / 1000 * metrics["memorySizeMB"] / 1024
                    invocations += 1
        return seconds, invocations, size

    def _objects(self) -> dict[str, int]:
        """Size of each version in the bucket, by key and version."""
        pages = self.s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket)
        versions = [each for page in pages for each in page.get("Versions", [])]
        return {f"{each['Key']}\n{each['VersionId']}": each["Size"] for each in versions}

    def _rows(self, key: str) -> int:
        body = self.s3.get_object(Bucket=self.bucket, Key=key.partition("\n")[0])["Body"].read()
        return pq.ParquetFile(io.BytesIO(body)).metadata.num_rows

    def _transitions(self, arn: str) -> int:
        pages = self.cloud.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
        entered = [
            event["stateEnteredEventDetails"]["name"]
            for page in pages
            for event in page["events"]
            if "stateEnteredEventDetails" in event
        ]
        # Wait, describe and decide.
        return len(entered) - 3 * sum(name.startswith("WaitFor") for name in entered)


def table(counted: dict[tuple[str, int], Counted]) -> str:
    names = [field.name.replace("_", " ") for field in fields(Counted)]
    shown = ["| dropped under | lines | " + " | ".join(names) + " |", "|---" * (2 + len(names)) + "|"]
    for (prefix, lines), figures in counted.items():
        shown.append(f"| {prefix} | {lines:,} | " + " | ".join(_cell(value) for value in astuple(figures)) + " |")
    return "\n".join(shown)


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bill", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", type=Path, help="put the table into this document instead of printing it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Cloud(folder / "cloud", 0, 0, parameters=LAPTOP_PARAMETERS) as cloud:
            measured = Measured(cloud, folder)
            for prefix, many in RUNS.items():
                measured.run(prefix, many[0])
            counted = {(prefix, lines): measured.run(prefix, lines) for prefix, many in RUNS.items() for lines in many}
    write(f"On {os.cpu_count()} cores.\n\n{table(counted)}", options.write, "benchmarks.bill")


if __name__ == "__main__":
    main()
