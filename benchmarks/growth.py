"""How a run grows with its lines: time, memory, state transitions, Lambda's milliseconds and cost, by real runs.

    python -m benchmarks.growth --write docs/performance.md
    python -m benchmarks.growth --lines 10000 100000 1000000 10000000 --write docs/performance.md     # with the largest

Each run trains on the embedded AWS, started anew: a file takes the way that its size asks for (docs/large-files.md).
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.preprocess import make_file
from benchmarks.processes import Peaks
from benchmarks.tables import write
from local.cloud import LAPTOP_PARAMETERS, Cloud
from local.follow import find_execution
from suspicious_lines.costs import prices

LINES = (10_000, 100_000, 1_000_000)
KEY = "incoming/lines.csv"
DUPLICATES = 20
POLL_SECONDS = 0.5
# The seed's endpoint, which nobody switches off; a month has 730 hours.
ALWAYS_ON = prices()["hosting_hour"]["ml.t2.medium"] * 730
# Not Lambda functions: which word in the command line each process has.
OTHERS = {"(processing job)": "batch_entrypoint", "(engine)": "local.sagemaker", "(embedded AWS)": "local.emulator"}


class FailedError(Exception):
    """The run did not succeed; there is nothing to measure."""


@dataclass(frozen=True)
class Report:
    """One invocation as Lambda reports it."""

    milliseconds: float
    memory_mb: int


@dataclass(frozen=True)
class Run:
    """`polling`: of the transitions, those that wait for a job; `cost`: in dollars, by part of the bill."""

    parts: int
    seconds: float
    transitions: int
    polling: int
    reports: list[Report]
    peaks: dict[str, float]
    cost: dict[str, float]
    duplicates: list[float]


def run(lines: int) -> Run:
    with tempfile.TemporaryDirectory() as folder, Peaks() as peaks:
        file = Path(folder) / "lines.csv"
        make_file(file, lines)
        with Cloud(Path(folder) / "cloud", 0, 0, parameters=LAPTOP_PARAMETERS) as cloud:
            bucket, machine = cloud.outputs["DataBucketName"], cloud.outputs["TrainStateMachineArn"]
            cloud.client("s3").upload_file(str(file), bucket, KEY)
            arn = find_execution(cloud.client("stepfunctions"), [machine], bucket, KEY, None)
            described = _ended(cloud, arn)
            reports = _reports(cloud)
            duplicates = [_duplicate(cloud, machine, described["input"]) for _ in range(DUPLICATES)]
            measured = _measured(cloud, described, reports, peaks, duplicates)
    print(f"{lines:,} lines: {measured.seconds:.1f} s", file=sys.stderr, flush=True)
    return measured


def _ended(cloud: Cloud, arn: str) -> dict[str, Any]:
    """Raises FailedError."""
    sfn = cloud.client("stepfunctions")
    while (described := sfn.describe_execution(executionArn=arn))["status"] == "RUNNING":
        time.sleep(POLL_SECONDS)
    if described["status"] != "SUCCEEDED":
        raise FailedError(f"{described['status']}: {described.get('error')}: {described.get('cause')}")
    return described


def _duplicate(cloud: Cloud, machine: str, detail: str) -> float:
    """Milliseconds of an execution that finds the upload claimed: one warm function and three states, and no work."""
    sfn = cloud.client("stepfunctions")
    arn = sfn.start_execution(stateMachineArn=machine, input=detail)["executionArn"]
    while (described := sfn.describe_execution(executionArn=arn))["status"] == "RUNNING":
        time.sleep(0.002)
    return (described["stopDate"] - described["startDate"]).total_seconds() * 1000


def _measured(cloud: Cloud, described: dict, reports: list[Report], peaks: Peaks, duplicates: list[float]) -> Run:
    s3, bucket, prefix = cloud.client("s3"), cloud.outputs["DataBucketName"], f"runs/{described['name']}"
    receipt = json.loads(s3.get_object(Bucket=bucket, Key=f"{prefix}/receipt.json")["Body"].read())
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/scores/")
    parts = sum(len(page.get("Contents", [])) for page in pages)
    history = cloud.client("stepfunctions").get_paginator("get_execution_history")
    entered: Counter[str] = Counter()
    for page in history.paginate(executionArn=described["executionArn"]):
        for event in page["events"]:
            if name := event.get("stateEnteredEventDetails", {}).get("name"):
                entered[name] += 1
    # Each part of a Distributed Map is an execution of its own, of one state.
    transitions = entered.total() + (parts if entered["ScorePartsDistributed"] else 0)
    estimated = receipt["estimated_cost"]
    cost = {
        "Lambda": sum(_price(report) for report in reports),
        "Step Functions": transitions * prices()["step_functions_transition"],
        "SageMaker": sum(estimated[name] or 0 for name in ("training", "batch", "inference")),
    }
    memory: dict[str, float] = {}
    names = _functions(cloud)
    for process, peak in peaks.found.items():
        if name := names.get(process) or next((name for name, word in OTHERS.items() if word in process), None):
            memory[name] = max(peak, memory.get(name, 0))
    seconds = (described["stopDate"] - described["startDate"]).total_seconds()
    polling = 3 * sum(count for name, count in entered.items() if name.startswith("WaitFor"))
    return Run(parts, seconds, transitions, polling, reports, memory, cost, duplicates)


def _price(report: Report) -> float:
    gigabyte_seconds = report.milliseconds / 1000 * report.memory_mb / 1024
    return gigabyte_seconds * prices()["lambda_gb_second"] + prices()["lambda_request"]


def _functions(cloud: Cloud) -> dict[str, str]:
    """The functions' names as the template has them, by those that the stack gave them."""
    functions = [each for each in cloud.resources() if each["ResourceType"] == "AWS::Lambda::Function"]
    return {each["PhysicalResourceId"]: each["LogicalResourceId"].removesuffix("Function") for each in functions}


def _reports(cloud: Cloud) -> list[Report]:
    """What Lambda wrote of each invocation so far."""
    logs, functions = cloud.client("logs"), cloud.client("lambda")
    found = [each for page in functions.get_paginator("list_functions").paginate() for each in page["Functions"]]
    groups = {each["LoggingConfig"]["LogGroup"] for each in found if each.get("LoggingConfig", {}).get("LogGroup")}
    reports = []
    for group in groups:
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
            for event in page["events"]:
                if '"platform.report"' in event["message"]:
                    metrics = json.loads(event["message"])["record"]["metrics"]
                    reports.append(Report(metrics["billedDurationMs"], metrics["memorySizeMB"]))
    return reports


def table(runs: dict[int, Run]) -> str:
    shown = [
        "| lines | parts | time | time a million lines | transitions | of them polling | the others beyond one a part "
        "| Lambda | Lambda a thousand lines | cost | cost a million lines | runs at the price of the seed's endpoint |",
        "|---" * 12 + "|",
    ]
    for lines, found in runs.items():
        milliseconds, cost = sum(report.milliseconds for report in found.reports), sum(found.cost.values())
        others = found.transitions - found.polling
        shown.append(
            f"| {lines:,} | {found.parts:,} | {found.seconds:.1f} s | {found.seconds / lines * 1e6:,.0f} s "
            f"| {found.transitions:,} | {found.polling:,} | {others - found.parts:,} | {milliseconds:,.0f} ms "
            f"| {milliseconds / lines * 1000:,.1f} ms | ${cost:.4f} | ${cost / lines * 1e6:.3f} "
            f"| {ALWAYS_ON / cost:,.0f} a month |"
        )
    names = sorted({name for found in runs.values() for name in found.peaks}, key=lambda name: _most(runs, name))
    shown += [
        "",
        "| peak memory | " + " | ".join(f"{lines:,}" for lines in runs) + " |",
        "|---" * (len(runs) + 1) + "|",
    ]
    for name in reversed(names):
        cells = [f"{found.peaks[name]:,.0f} MB" if name in found.peaks else "-" for found in runs.values()]
        shown.append(f"| {name} | " + " | ".join(cells) + " |")
    idle = statistics.median(each for found in runs.values() for each in found.duplicates)
    return "\n".join([*shown, "", f"An execution that finds nothing to do: {idle:.0f} ms."])


def _most(runs: dict[int, Run], name: str) -> float:
    return max(found.peaks.get(name, 0) for found in runs.values())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lines", type=int, nargs="+", default=LINES)
    parser.add_argument("--write", type=Path, help="put the tables into this document instead of printing them")
    options = parser.parse_args()
    found = table({lines: run(lines) for lines in options.lines})
    write(f"On {os.cpu_count()} cores.\n\n{found}", options.write, "benchmarks.growth")


if __name__ == "__main__":
    main()
