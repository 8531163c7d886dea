"""One local cloud with a live model, a former one and a scored file, which each cell finds as the one before did."""

import contextlib
import email
import email.policy
import io
import json
import os
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd

from local.activities import generate
from local.cloud import STACK, Cloud
from local.emulator.calls import FOLDER, STATES, Calls, Order
from suspicious_lines.layout import LIVE_MODEL_KEY, resource_name
from tests.faults.cells import BATCH_ROLE, FOR_EVER, Call, Cell, pattern
from tests.faults.dropped import SWEEP_MINUTES, Dropped
from tests.faults.naming import FORMER, JUDGED, LIVE, SCORED, normalised, placeholders

PARAMETERS = {
    "PollSeconds": "5",
    "LinesPerPart": "100",
    "ReviewBudget": "7",
    "RecalibrationVerdicts": "3",
    "NumTrees": "50",
    "ModelsKept": "2",
    "ReviewersEmail": "reviewers@example.com",
    "OperatorsEmail": "operators@example.com",
}
ENVIRONMENT = {"SFN_WAIT_SCALE": "0.01", "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.05"}
WATCHED_DAY = "2026-01-01"
# The ways of a file through train and score, and what sends every file there.
SMALL, DISTRIBUTED, BATCH = "small", "distributed", "batch"
_ABOVE = {
    way: {"DISTRIBUTED_ABOVE_MB": str(distributed), "BATCH_ABOVE_MB": str(batch)}
    for way, distributed, batch in ((SMALL, 100, 400), (DISTRIBUTED, 0, 400), (BATCH, 100, 0))
}
MOST_SECONDS = 90
# What a cell may leave there is taken away before the next one.
_CLEARED = ("scored/", "judged/", "parked/", "config/", "monitoring/", "ground-truth/", "told/")


@dataclass(frozen=True)
class Run:
    """An execution that ended; `input` is what it was started with."""

    name: str
    arn: str
    status: str
    error: str
    input: Any


class Stage:
    """The local cloud, as a context manager; everything it writes is below `home`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._runs = 0

    def __enter__(self) -> "Stage":
        folder = self._home / "calls"
        folder.mkdir(parents=True)
        self.calls = Calls(folder)
        self._log = folder / "calls.jsonl"
        self._open = contextlib.ExitStack()
        self._open.enter_context(patch.dict(os.environ, ENVIRONMENT | {FOLDER: str(folder)}))
        self.cloud = self._open.enter_context(Cloud(self._home, 0, 0, PARAMETERS))
        self.bucket = self.cloud.outputs["DataBucketName"]
        names = ("s3", "stepfunctions", "sagemaker", "dynamodb", "sqs", "lambda")
        self.s3, self.sfn, self.sagemaker, self.dynamodb, self.sqs, self.lambdas = map(self.cloud.client, names)
        self.logical = dict(self._resources())
        self.physical = {logical: physical for physical, logical in self.logical.items()}
        self._way = ""
        try:
            self._set_up()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _resources(self) -> Iterator[tuple[str, str]]:
        """Physical and logical name of everything in the stack and in those nested in it."""
        for found in self.cloud.resources():
            yield found["PhysicalResourceId"], found["LogicalResourceId"].removesuffix("Function")

    def _set_up(self) -> None:
        scheduler = self.cloud.client("scheduler")  # a cell sees what it invokes itself, and nothing else
        for schedule in scheduler.list_schedules()["Schedules"]:
            scheduler.delete_schedule(Name=schedule["Name"], GroupName=schedule["GroupName"])
        for function, minutes in (("SweepUploads", SWEEP_MINUTES), ("DeleteOrphans", 0)):
            self._configure(function, SWEEP_MINUTES=str(minutes))
        self.dropped = Dropped(self, JUDGED)  # first of all, for they have to grow old
        self.activities = generate(lines=300).to_csv(index=False).encode()
        self.invoices = _invoices().to_csv(index=False).encode()
        for name in (FORMER, LIVE):
            self._must(self.run("TrainStateMachineArn", self.upload("incoming/faults", self.activities), name))
        self._must(self.run("ScoreStateMachineArn", self.upload("invoices/faults", self.invoices), SCORED))
        (captured,) = [key for key in self.keys("scored/") if key.endswith(f"/{SCORED}.parquet")]
        self.put(f"scored/dt={WATCHED_DAY}/{SCORED}.parquet", self.get(captured))
        self.listed = pd.read_csv(io.BytesIO(self.get(f"runs/{SCORED}/results/suspicious_lines.csv")))
        self._live = self.get(LIVE_MODEL_KEY)
        self._must(self.run("ReviewStateMachineArn", self.upload("verdicts/faults", self.verdicts()), JUDGED))
        (judged,) = self.keys("judged/")
        self._judged = self.get(judged)
        self._hosted = {  # of what artifact
            name: self.sagemaker.describe_model(ModelName=name)["PrimaryContainer"] for name in self.hosted()["models"]
        }

        self.send(BATCH)  # the code that jobs run is there
        self._must(self.run("ScoreStateMachineArn", self.upload("invoices/faults", self.invoices)))

    def _must(self, run: Run) -> None:
        if run.status != "SUCCEEDED":
            raise RuntimeError(f"{run.name} ended as {run.status}: {run.error}")

    # --- what is put there and started --------------------------------------------------------------------------

    def upload(self, key: str, body: bytes) -> dict[str, Any]:
        """A new version of an object, as the detail of its event. No rule starts anything on these keys: they have no
        ending, so that the stage names the executions."""
        put = self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        described = {"key": key, "size": len(body), "etag": put["ETag"].strip('"'), "version-id": put["VersionId"]}
        return {"bucket": {"name": self.bucket}, "object": described}

    def new_name(self) -> str:
        self._runs += 1
        return f"cell-{self._runs:05d}"

    def start(self, machine: str, given: Any, name: str = "") -> tuple[str, str]:
        name = name or self.new_name()
        started = self.sfn.start_execution(
            stateMachineArn=self.cloud.outputs[machine], name=name, input=json.dumps(given)
        )
        return name, started["executionArn"]

    def run(self, machine: str, given: Any, name: str = "") -> Run:
        return self.end(*self.start(machine, given, name))

    def end(self, name: str, arn: str) -> Run:
        deadline = time.monotonic() + MOST_SECONDS
        while time.monotonic() < deadline:
            found = self.sfn.describe_execution(executionArn=arn)
            if found["status"] != "RUNNING":
                return Run(name, arn, found["status"], found.get("error", ""), json.loads(found["input"]))
            time.sleep(0.02)
        self.sfn.stop_execution(executionArn=arn)
        raise TimeoutError(f"{name} still ran after {MOST_SECONDS} s")

    def wait_for_state(self, arn: str, state: str) -> None:
        deadline = time.monotonic() + MOST_SECONDS
        while time.monotonic() < deadline:
            events = self.sfn.get_execution_history(executionArn=arn, maxResults=1000, reverseOrder=True)["events"]
            if any(event.get("stateEnteredEventDetails", {}).get("name") == state for event in events):
                return
            time.sleep(0.02)
        raise TimeoutError(f"{arn} never entered {state}")

    def started_since(self, machine: str, since: float) -> list[tuple[str, str]]:
        """Executions that something else started."""
        found = self.sfn.list_executions(stateMachineArn=self.cloud.outputs[machine], maxResults=20)["executions"]
        late = [entry for entry in found if entry["startDate"].timestamp() >= since]
        return [(entry["name"], entry["executionArn"]) for entry in late]

    def order_of_engine(self, **fault: Any) -> None:
        self._engine("POST", json.dumps(fault).encode())

    def _engine(self, method: str, body: bytes | None) -> None:
        request = urllib.request.Request(f"{self.cloud.engine_url}/_faults", data=body, method=method)
        urllib.request.urlopen(request, timeout=5).close()

    def order(self, cell: Cell, run: str) -> None:
        caller = cell.call.caller
        actual = placeholders(run)
        where = {name: pattern(self.physical.get(value, value), actual) for name, value in cell.call.names.items()}
        self.calls.order(
            Order(
                cell.kind,
                caller if caller == STATES else self.physical[caller],
                cell.call.service,
                cell.call.operation,
                where,
                1 if cell.once else FOR_EVER,
            )
        )

    def reset(self) -> None:
        """As after the set-up: the same live and former model, no verdicts, nothing parked, no fault, no e-mail."""
        self.calls.cancel()
        self._engine("DELETE", None)
        self.put(LIVE_MODEL_KEY, self._live)
        hosted = self.hosted()
        for name in hosted["endpoints"] - set(self._hosted):
            self.sagemaker.delete_endpoint(EndpointName=name)
        for name in hosted["configs"] - set(self._hosted):
            self.sagemaker.delete_endpoint_config(EndpointConfigName=name)
        for name in hosted["models"] - set(self._hosted):
            self.sagemaker.delete_model(ModelName=name)
        for name in self._hosted:
            self._host(name, hosted)
        watched = f"scored/dt={WATCHED_DAY}/"
        for key in [key for prefix in _CLEARED for key in self.keys(prefix) if not key.startswith(watched)]:
            self.s3.delete_object(Bucket=self.bucket, Key=key)
        self.empty_queue()
        for mail in self.cloud.outbox.glob("*.eml"):
            mail.unlink()
        self.calls.take()

    def empty_queue(self) -> None:
        self.sqs.purge_queue(QueueUrl=self.cloud.outputs["UploadsDeadLetterQueueUrl"])

    def host_orphan(self, name: str) -> None:
        """Hosts the live model's artifact once more, under a name that nobody needs."""
        self._host(name, {"models": set(), "configs": set(), "endpoints": set()})

    def _host(self, name: str, hosted: dict[str, set[str]]) -> None:
        """Makes what is missing of an endpoint, of a baseline's own artifact or of the live model's."""
        sagemaker, role = self.sagemaker, "arn:aws:iam::000000000000:role/baseline"
        artifact = self._hosted.get(name, self._hosted[resource_name(STACK, LIVE)])
        if name not in hosted["models"]:
            sagemaker.create_model(ModelName=name, PrimaryContainer=artifact, ExecutionRoleArn=role)
        if name not in hosted["configs"]:
            serverless = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
            variant = {"VariantName": "forest", "ModelName": name, "ServerlessConfig": serverless}
            sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        if name not in hosted["endpoints"]:
            sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        while sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Creating":
            time.sleep(0.02)

    def send(self, way: str) -> None:
        """Sends all files that way, by what ClaimUpload is told of sizes."""
        if way != self._way:
            self._configure("ClaimUpload", **_ABOVE[way])
        self._way = way

    def _configure(self, function: str, **changed: str) -> None:
        name = self.physical[function]
        found = self.lambdas.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        self.lambdas.update_function_configuration(FunctionName=name, Environment={"Variables": found | changed})

    def forget_code(self) -> None:
        """As before the first large file of a deployment."""
        for key in self.keys("code/"):
            self.s3.delete_object(Bucket=self.bucket, Key=key)

    def verdicts(self) -> bytes:
        """Everything that was listed of the scored file is fine."""
        rows = "".join(f"{SCORED},{line},fine,\r\n" for line in self.listed["Line"])
        return f"Run,Line,Verdict,Note\r\n{rows}".encode()

    def judge(self) -> None:
        """As after a review: the next training has verdicts to learn from."""
        self.put(f"judged/dt={WATCHED_DAY}/{JUDGED}.parquet", self._judged)

    def forget_models(self) -> None:
        """As on the first day: no model is live."""
        self.s3.delete_object(Bucket=self.bucket, Key=LIVE_MODEL_KEY)

    # --- what is found ------------------------------------------------------------------------------------------

    def keys(self, prefix: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def get(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def find(self, key: str) -> dict[str, Any] | None:
        """A JSON document; None where there is none."""
        try:
            return json.loads(self.get(key))
        except self.s3.exceptions.NoSuchKey:
            return None

    def put(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def hosted(self) -> dict[str, set[str]]:
        sagemaker, jobs = self.sagemaker, set()
        for kind in ("Training", "Processing", "Transform"):
            listed = getattr(sagemaker, f"list_{kind.lower()}_jobs")(StatusEquals="InProgress")
            jobs |= {found[f"{kind}JobName"] for found in listed[f"{kind}JobSummaries"]}
        return {
            "endpoints": {found["EndpointName"] for found in sagemaker.list_endpoints(MaxResults=100)["Endpoints"]},
            "configs": {
                found["EndpointConfigName"]
                for found in sagemaker.list_endpoint_configs(MaxResults=100)["EndpointConfigs"]
            },
            "models": {found["ModelName"] for found in sagemaker.list_models(MaxResults=100)["Models"]},
            "jobs": jobs,
        }

    def holds_claim(self, run: str) -> bool:
        table = self.cloud.outputs["ClaimTableName"]
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=table)
        items = [item for page in pages for item in page["Items"]]
        return any(item.get("run") == {"S": run} and "released_at" not in item for item in items)

    def mails(self) -> Counter[tuple[str, str]]:
        """(addressee, subject) of the e-mails since the reset."""
        read = [
            email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            for path in self.cloud.outbox.glob("*.eml")
        ]
        return Counter((mail["To"].partition("@")[0], mail["Subject"]) for mail in read)

    def undelivered(self) -> list[dict[str, Any]]:
        """What waits in the dead-letter queue."""
        url = self.cloud.outputs["UploadsDeadLetterQueueUrl"]
        found = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return [json.loads(message["Body"]) for message in found.get("Messages", [])]

    def logged(self, run: str, since: int) -> list[dict[str, Any]]:
        """What functions have logged of a run, `since` in milliseconds."""
        group = self.physical["FunctionsLogGroup"]
        pages = self.cloud.client("logs").get_paginator("filter_log_events")
        found = pages.paginate(logGroupName=group, startTime=since, filterPattern=f'"{run}"')
        return [json.loads(event["message"]) for page in found for event in page["events"]]

    def hand_on(self, message: dict[str, Any]) -> None:
        """What docs/runbook.md tells operators to do with a message of ReportFailure's in the dead-letter queue."""
        name = self.physical["ReportFailure"]
        self.lambdas.invoke(FunctionName=name, Payload=json.dumps(message["requestPayload"]).encode())

    def quiet(self, seconds: float = 0.2) -> None:
        """Returns when nothing has called AWS for so long."""
        size, since = -1, time.monotonic()
        while time.monotonic() - since < seconds:
            now = self._log.stat().st_size if self._log.exists() else 0
            if now != size:
                size, since = now, time.monotonic()
            time.sleep(0.02)

    def at_rest(self) -> None:
        """Returns when no run is at work and nothing has called AWS for a while."""
        machines = [self.cloud.outputs[f"{name}StateMachineArn"] for name in ("Train", "Score", "Review")]
        deadline = time.monotonic() + MOST_SECONDS
        while time.monotonic() < deadline:
            running = [self.sfn.list_executions(stateMachineArn=arn, statusFilter="RUNNING") for arn in machines]
            if not any(found["executions"] for found in running):
                return self.quiet()
            time.sleep(0.02)
        raise TimeoutError(f"runs were still at work after {MOST_SECONDS} s")

    def reports(self, run: str) -> int:
        """How often ReportFailure has looked for the receipt of a run, without a fault: its last call but for those
        of its first time."""
        if not self._log.exists():
            return 0
        lines = self._log.read_text().splitlines()
        key = f'"Key": "runs/{run}/receipt.json"'
        return sum(self.physical["ReportFailure"] in line and key in line and "GetObject" in line for line in lines)

    def take_calls(self, machine: str, run: str) -> list[Call]:
        """The distinct calls since the reset that this run of this machine, or this function, made."""
        definition = self.physical.get(machine) or self._definition(machine)
        distinct: dict[str, Call] = {}
        for made in self.calls.take():
            call = normalised(made, run, self.logical)
            function = self.physical.get(call.function, call.function)
            if (function not in definition and call.function != BATCH_ROLE) or "<other>" in str(call):
                continue  # of a run that this one started
            distinct[str(call)] = call
        return list(distinct.values())

    def _definition(self, machine: str) -> str:
        return self.sfn.describe_state_machine(stateMachineArn=self.cloud.outputs[machine])["definition"]


def _invoices() -> pd.DataFrame:
    """250 new lines, dearer than those of the training, with enough of one pattern to propose a suppression of it."""
    lines = generate(seed=7, lines=250).drop(columns="Error")
    lines.loc[:24, ["Firm Name", "Matter Type", "Resource", "Activity"]] = [
        "Specimen Ash LLP", "Antitrust", "Paralegal", "Phone Call",
    ]  # fmt: skip
    lines.loc[:24, "Minutes"] = range(20, 45)
    lines.loc[:24, "Fee"] = 70
    lines["Fee"] *= 3
    lines["Total"] = (lines["Minutes"] / 60 * lines["Fee"]).round(2)
    return lines
