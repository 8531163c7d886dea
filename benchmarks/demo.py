"""The demo's training run on the embedded AWS beside the same computation in one plain script.

    python -m benchmarks.demo --write docs/performance.md

The ways take turns, each run a process and a cloud of its own, so that every function starts cold; the tables have the
medians. It ends with an error where the two do not come to the same figures.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.processes import processor_seconds
from benchmarks.tables import write
from local.activities import generate, write_csv
from local.cloud import LAPTOP_PARAMETERS, Cloud
from local.follow import find_execution, follow

RUNS = 5
KEY = "incoming/activities.csv"


class DifferentError(Exception):
    """The workflow and the plain script do not agree."""


@dataclass(frozen=True)
class Run:
    """`startup`: until the embedded AWS has the stack; `seconds`: of the work alone; `states`: seconds by state."""

    startup: float
    seconds: float
    cpu: float
    metrics: dict
    states: dict[str, float]


def in_workflow(file: Path) -> Run:
    """From the upload until its execution has ended."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as home, Cloud(Path(home), 0, 0, parameters=LAPTOP_PARAMETERS) as cloud:
        up, cpu = time.perf_counter(), processor_seconds()
        s3, sfn, bucket = cloud.client("s3"), cloud.client("stepfunctions"), cloud.outputs["DataBucketName"]
        version = s3.put_object(Bucket=bucket, Key=KEY, Body=file.read_bytes())["VersionId"]
        arn = find_execution(sfn, [cloud.outputs["TrainStateMachineArn"]], bucket, KEY, version)
        outcome = follow(sfn, arn, Console(quiet=True))
        ended, cpu = time.perf_counter(), processor_seconds() - cpu
        metrics = s3.get_object(Bucket=bucket, Key=f"runs/{outcome.name}/results/metrics.json")["Body"].read()
    states = {name: state.seconds for name, state in outcome.states.items()}
    return Run(up - started, ended - up, cpu, json.loads(metrics), states)


def in_script(file: Path) -> Run:
    """From the start of the process to its end, imports included."""
    with tempfile.TemporaryDirectory() as folder:
        started, before = time.perf_counter(), _cpu_of_children()
        subprocess.run([sys.executable, "-m", "benchmarks.plain", str(file), folder], check=True)
        seconds, cpu = time.perf_counter() - started, _cpu_of_children() - before
        metrics = json.loads((Path(folder) / "metrics.json").read_text())
    return Run(0.0, seconds, cpu, metrics, {})


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(runs: int) -> tuple[list[Run], list[Run]]:
    """Raises DifferentError where a figure of metrics.json differs."""
    workflow, script = [], []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "activities.csv"
        write_csv(generate(), file)
        for number in range(runs):
            script.append(in_script(file))
            workflow.append(in_workflow(file))
            ours, plain = workflow[-1].metrics, script[-1].metrics
            if different := {name: (ours[name], plain[name]) for name in ours if ours[name] != plain[name]}:
                raise DifferentError(f"the workflow's figures and the script's: {different}")
            print(f"{number + 1} of {runs}: {workflow[-1].seconds:.1f} s, {script[-1].seconds:.1f} s", file=sys.stderr)
    return workflow, script


def table(workflow: list[Run], script: list[Run]) -> str:
    plain = statistics.median(run.seconds for run in script)
    plain_cpu = statistics.median(run.cpu for run in script)
    shown = [
        "| | start-up | time | times the script | processor time | times the script |",
        "|---" * 6 + "|",
    ]
    for name, runs in (("on the embedded AWS", workflow), ("one plain script", script)):
        startup, seconds, cpu = (
            statistics.median(getattr(run, what) for run in runs) for what in ("startup", "seconds", "cpu")
        )
        shown.append(
            f"| {name} | {startup:.1f} s | {seconds:.1f} s | {seconds / plain:.2f} | {cpu:.1f} s "
            f"| {cpu / plain_cpu:.2f} |"
        )
    states = {name: statistics.median(run.states.get(name, 0.0) for run in workflow) for name in workflow[0].states}
    slow = [f"{name} {seconds:.2f} s" for name, seconds in states.items() if seconds >= 0.05]
    return "\n".join([*shown, "", f"The states, in their order: {', '.join(slow)}."])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--write", type=Path, help="put the tables into this document instead of printing them")
    options = parser.parse_args()
    found = table(*measure(options.runs))
    write(f"On {os.cpu_count()} cores, {options.runs} runs each.\n\n{found}", options.write, "benchmarks.demo")


if __name__ == "__main__":
    main()
