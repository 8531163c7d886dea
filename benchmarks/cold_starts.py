"""Cold starts of all the functions: import, first answer and peak memory, beside what the packages alone take.

    python -m benchmarks.cold_starts --write docs/performance.md

Each cold start is a process of its own that finds the function's folder, layers/core and the packages of the function's
layers, as in Lambda, and nothing else. The events are those that the state machines sent in real runs on the embedded
AWS, which also answers the functions' calls. A function that these runs did not need is imported only.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

from benchmarks.tables import write
from local.activities import generate
from local.cloud import LAPTOP_PARAMETERS, ROOT, Cloud

CELL = Path(__file__).with_name("cold_start.py")
LINES = 5_000
# Parameters that bring the functions of optional stacks.
OPTIONS = ("Monitoring", "ModelRegistry", "FeatureStore", "Trials", "Experiments", "HyperparameterSweep")
_POWERTOOLS = """
from aws_lambda_powertools import Logger, Metrics, Tracer
logger, metrics, tracer = Logger(), Metrics(), Tracer()
@tracer.capture_lambda_handler
@logger.inject_lambda_context
def handler(event, context):
    return {}
"""
_BOTO3 = """
import os, boto3
from botocore.config import Config
answer = handler
def handler(event, context):
    config = Config(retries={"mode": "standard"}, signature_version="s3v4", s3={"addressing_style": "virtual"})
    boto3.client("s3", config=config).head_bucket(Bucket=os.environ["DATA_BUCKET"])
    return answer(event, context)
"""
_FRAMES = "import awswrangler, pandas, boto3\n"
# What functions without and with DataLayer are measured by.
LIGHT_REFERENCE, DATA_REFERENCE = "Powertools and boto3", "awswrangler, pandas and boto3"


@dataclass(frozen=True)
class Function:
    """`layers`: the folders of its layers below layers/, core aside. `event`: None, where it is imported only."""

    name: str
    code: Path
    layers: tuple[str, ...]
    memory: int | None
    environment: dict[str, str]
    event: dict[str, Any] | None


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock and of the processor until the handler is imported and until it has answered; megabytes; the
    large packages that are there once it is imported, and those that came with the answer."""

    imported: float
    imported_cpu: float
    answered: float | None
    answered_cpu: float | None
    peak: float
    loaded: str
    later: str


def functions(environments: dict[str, dict[str, str]], events: dict[str, dict[str, Any]]) -> Iterator[Function]:
    """All the functions of the templates, those without DataLayer first."""
    found = []
    for path in [ROOT / "template.yaml", *sorted(ROOT.glob("stacks/*.yaml"))]:
        template = yaml_parse(path.read_text())
        shared = template.get("Globals", {}).get("Function", {})
        for name, resource in template["Resources"].items():
            if resource["Type"] == "AWS::Serverless::Function":
                own = resource["Properties"]
                layers = [layer["Ref"] for layer in [*shared["Layers"], *own.get("Layers", [])]]
                found.append(
                    Function(
                        name,
                        (path.parent / own["CodeUri"]).resolve(),
                        tuple(layer.removesuffix("Layer").lower() for layer in layers),
                        own.get("MemorySize", shared["MemorySize"]),
                        environments[name],
                        events.get(name.removesuffix("Function")),
                    )
                )
    yield from sorted(found, key=lambda function: ("data" in function.layers, function.name))


def references(home: Path, environment: dict[str, str]) -> Iterator[Function]:
    handlers = {
        "Powertools": (_POWERTOOLS, ("base",), {}),
        LIGHT_REFERENCE: (_POWERTOOLS + _BOTO3, ("base",), {}),
        DATA_REFERENCE: (_FRAMES, ("base", "data"), None),
    }
    for number, (name, (source, layers, event)) in enumerate(handlers.items()):
        folder = home / f"reference-{number}"
        folder.mkdir()
        (folder / "app.py").write_text(source)
        yield Function(name, folder, layers, None, environment, event)


class Bench:
    """Layers as folders, and byte code of everything: `full` holds all of it, `bare` that of the interpreter's own."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._full, self._bare = home / "full", home / "bare"
        for layer in ("base", "core", "data"):
            (home / layer).mkdir()
            pinned = (ROOT / "layers" / layer / "requirements.txt").read_text()
            for name in set(re.findall(r"^([\w.-]+)==", pinned, re.MULTILINE)):
                link_package(name, home / layer)

    def prepare(self, functions: list[Function]) -> None:
        """Compiles what the functions import, and answers each event once so that the first figure is as the others."""
        for function in functions:
            self._run(function, self._full, write_byte_code=True)
        own = sysconfig.get_path("stdlib").lstrip("/")
        shutil.copytree(self._full / own, self._bare / own)

    def measure(self, function: Function) -> Cost:
        return self._run(function, self._full)

    def measure_uncompiled(self, function: Function) -> Cost:
        return self._run(function, self._bare, answer=False)

    def _run(self, function: Function, byte_code: Path, write_byte_code: bool = False, answer: bool = True) -> Cost:
        packages = [self._home / layer for layer in function.layers]
        paths = [function.code, ROOT / "layers" / "core", *packages]
        environment = function.environment | {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            # What Lambda sets, and the tracer looks for.
            "LAMBDA_TASK_ROOT": str(function.code),
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
        }
        command = [sys.executable, "-S", "-s", "-P", "-X", f"pycache_prefix={byte_code}"]
        command += [] if write_byte_code else ["-B"]
        command += [str(CELL)]
        command += [json.dumps(function.event)] if answer and function.event is not None else []
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{function.name}: {done.stdout[-1000:]}{done.stderr[-3000:]}")
        *figures, loaded, later = done.stdout.splitlines()[-1].split()
        imported, imported_cpu, *answered, peak = map(float, figures)
        return Cost(imported, imported_cpu, *(answered or (None, None)), peak, loaded, later)


def link_package(name: str, folder: Path) -> None:
    """Puts an installed package into a folder, with its metadata; what is for other systems is not installed."""
    try:
        package = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return
    for top in {file.parts[0] for file in package.files or []} - {"..", "__pycache__"}:
        (folder / top).symlink_to(str(package.locate_file(top)))


def median(costs: list[Cost]) -> Cost:
    def of(name: str) -> Any:
        values = [getattr(cost, name) for cost in costs]
        return None if None in values else statistics.median(values)

    names = ("imported", "imported_cpu", "answered", "answered_cpu", "peak")
    return Cost(*map(of, names), costs[0].loaded, costs[0].later)


def real_events(cloud: Cloud) -> dict[str, dict[str, Any]]:
    """What the state machines sent the functions in a training, a scoring and a review."""
    past = generate(seed=1, lines=LINES)
    started = [drop(cloud, "incoming/past.csv", past.to_csv(index=False), "Train")]
    started.append(drop(cloud, "invoices/new.csv", past.drop(columns="Error").to_csv(index=False), "Score"))
    run = started[-1].rpartition(":")[2]
    place = {"Bucket": cloud.outputs["DataBucketName"], "Key": f"runs/{run}/results/suspicious_lines.csv"}
    listed = cloud.client("s3").get_object(**place)["Body"].read().decode().splitlines()
    verdict = f"Run,Line,Verdict,Note\r\n{run},{listed[1].split(',')[0]},query,\r\n"
    started.append(drop(cloud, "verdicts/verdicts.csv", verdict, "Review"))
    sfn, events, states = cloud.client("stepfunctions"), {}, {}
    for arn in started:
        for page in sfn.get_paginator("get_execution_history").paginate(executionArn=arn):
            for event in page["events"]:
                states[event["id"]] = event.get("stateEnteredEventDetails", {}).get("name", "")
                parameters = json.loads(event.get("taskScheduledEventDetails", {}).get("parameters", "{}"))
                if "FunctionName" in parameters:
                    events[states[event["previousEventId"]]] = parameters["Payload"]
    return events


def drop(cloud: Cloud, key: str, body: str, machine: str) -> str:
    """Uploads a file and waits for its execution to succeed; returns the execution."""
    cloud.client("s3").put_object(Bucket=cloud.outputs["DataBucketName"], Key=key, Body=body.encode())
    sfn, deadline = cloud.client("stepfunctions"), time.monotonic() + 120
    while time.monotonic() < deadline:
        for found in sfn.list_executions(stateMachineArn=cloud.outputs[f"{machine}StateMachineArn"])["executions"]:
            if found["status"] == "SUCCEEDED":
                return found["executionArn"]
        time.sleep(0.2)
    raise RuntimeError(f"{key} was not dealt with: see the logs of the local cloud")


def rows(bench: Bench, measured: list[Function], runs: int) -> Iterator[str]:
    """The rows of the table; functions take turns, so that what else the machine does falls on all of them."""
    costs: dict[str, list[Cost]] = {function.name: [] for function in measured}
    for number in range(runs):
        for function in measured:
            costs[function.name].append(bench.measure(function))
        print(f"run {number + 1} of {runs}", file=sys.stderr, flush=True)
    middle = {name: median(found) for name, found in costs.items()}
    yield (
        "| | packages | import | by the clock | of the reference's | without .pyc | first answer | by the clock "
        "| of the reference's | peak memory | MemorySize |"
    )
    yield "|---" * 11 + "|"
    for function in measured:
        cost = middle[function.name]
        reference = middle[DATA_REFERENCE if "data" in function.layers else LIGHT_REFERENCE]
        cells = [
            function.name.removesuffix("Function"),
            cost.loaded if cost.later == "-" else f"{cost.loaded}, then {cost.later}",
            f"{cost.imported_cpu:.3f} s", f"{cost.imported:.2f} s",
            ratio(cost.imported_cpu, reference.imported_cpu),
            f"{bench.measure_uncompiled(function).imported_cpu:.2f} s",
            f"{cost.answered_cpu:.2f} s" if cost.answered_cpu else "-",
            f"{cost.answered:.2f} s" if cost.answered else "-",
            ratio(cost.answered_cpu, reference.answered_cpu),
            f"{cost.peak:.0f} MB", f"{function.memory} MB" if function.memory else "-",
        ]  # fmt: skip
        yield "| " + " | ".join(cells) + " |"


def ratio(seconds: float | None, of: float | None) -> str:
    return f"{seconds / of:.2f}" if seconds and of else "-"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cold_starts", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--write", type=Path, help="put the table into this document instead of printing it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        stack = LAPTOP_PARAMETERS | dict.fromkeys(OPTIONS, "true")
        with Cloud(home / "cloud", 0, 0, parameters=stack) as cloud:
            events = real_events(cloud)
            environments = json.loads((home / "cloud" / "env.json").read_text())
            measured = [*references(home, environments["ClaimUploadFunction"]), *functions(environments, events)]
            bench = Bench(home)
            bench.prepare(measured)
            table = "\n".join(rows(bench, measured, options.runs))
    write(
        f"On {os.cpu_count()} cores, Python {sys.version.split()[0]}.\n\n{table}",
        options.write,
        "benchmarks.cold_starts",
    )


if __name__ == "__main__":
    main()
