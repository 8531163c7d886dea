"""The real machine, handlers and template on the embedded AWS: what tests do to them and ask of them."""

import contextlib
import email
import email.policy
import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from recorded import logical_ids

from local.cloud import ROOT, STACK, Cloud
from local.emulator.calls import installed
from local.emulator.deploy import deploy

PARAMETERS = {
    "PollSeconds": "1",
    "LinesPerPart": "100",
    "ReviewBudget": "7",
    "RecalibrationVerdicts": "3",
    "NumTrees": "50",
    "ReviewersEmail": "reviewers@example.com",
    "OperatorsEmail": "operators@example.com",
}
SECONDS = 120


@dataclass
class Run:
    """An execution that ended."""

    name: str
    arn: str
    status: str
    error: str
    cause: str


class Workflow:
    """What the tests do to the cloud and ask of it."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.calls = installed()
        self.logical = logical_ids(cloud)  # now: a test may delete the stack
        self._versions: dict[str, tuple[datetime, str]] = {}  # when, and for what, each execution was started
        self._mails: dict[Path, email.message.EmailMessage] = {}
        self.bucket = cloud.outputs["DataBucketName"]
        self.machine = cloud.outputs["TrainStateMachineArn"]
        self.score_machine = cloud.outputs["ScoreStateMachineArn"]
        self.review_machine = cloud.outputs["ReviewStateMachineArn"]
        self.s3, self.sfn, self.sagemaker = (cloud.client(name) for name in ("s3", "stepfunctions", "sagemaker"))

    def upload(self, body: bytes, key: str = "incoming/activities.csv") -> str:
        return self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)["VersionId"]

    def start_again(self, run: Run) -> str:
        """Starts the run's machine with the run's own input, as the runbook says; returns the execution."""
        described = self.sfn.describe_execution(executionArn=run.arn)
        started = self.sfn.start_execution(stateMachineArn=described["stateMachineArn"], input=described["input"])
        return started["executionArn"]

    def arn_of(self, version: str, seconds: float = 20) -> str:
        """The execution that an upload started."""
        return self.arns_of([version], seconds)[0]

    def arns_of(self, versions: list[str], seconds: float = 20) -> list[str]:
        found = self._versions
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for execution in self.executions():
                if execution["executionArn"] not in found:
                    described = self.sfn.describe_execution(executionArn=execution["executionArn"])
                    detail = json.loads(described["input"])
                    version = detail.get("object", {}).get("version-id", "")
                    found[execution["executionArn"]] = (execution["startDate"], version)
            newest_first = sorted(found.items(), key=lambda known: known[1][0], reverse=True)
            by_version = {version: arn for arn, (_, version) in newest_first}  # of several executions the first
            if all(version in by_version for version in versions):
                return [by_version[version] for version in versions]
            time.sleep(0.1)
        raise AssertionError("the upload started no execution")

    def executions(self) -> list[dict]:
        """Of all machines, the newest first."""
        executions = []
        for machine in (self.machine, self.score_machine, self.review_machine):
            for page in self.sfn.get_paginator("list_executions").paginate(stateMachineArn=machine):
                executions += page["executions"]
        return sorted(executions, key=lambda execution: execution["startDate"], reverse=True)

    def wait(self, arn: str, seconds: float = SECONDS) -> Run:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.sfn.describe_execution(executionArn=arn)
            if found["status"] != "RUNNING":
                return Run(found["name"], arn, found["status"], found.get("error", ""), found.get("cause", ""))
            time.sleep(0.1)
        raise AssertionError(f"{arn} still runs after {seconds} s")

    def drop(self, body: bytes, key: str = "incoming/activities.csv") -> Run:
        return self.wait(self.arn_of(self.upload(body, key)))

    def wait_for_state(self, arn: str, state: str) -> None:
        for _ in range(300):
            pages = self.sfn.get_paginator("get_execution_history").paginate(executionArn=arn)
            events = [event for page in pages for event in page["events"]]
            if any(event.get("stateEnteredEventDetails", {}).get("name") == state for event in events):
                return
            time.sleep(0.1)
        raise AssertionError(f"{arn} never entered {state}")

    def wait_for_receipt(self, run: Run) -> None:
        """That of how a run ended, which was stopped or timed out: the rule's function writes it."""
        for _ in range(300):
            if "receipt.json" in self.keys(run) and self.json(run, "receipt.json")["status"] == run.status:
                return
            time.sleep(0.1)
        raise AssertionError(f"{run.name} has no receipt that says {run.status}")

    def entered(self, run: Run) -> list[str]:
        """The names of the states that an execution entered, in order."""
        pages = self.sfn.get_paginator("get_execution_history").paginate(executionArn=run.arn)
        events = [event for page in pages for event in page["events"]]
        return [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]

    def keys(self, run: Run) -> set[str]:
        prefix = f"runs/{run.name}/"
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return {found["Key"].removeprefix(prefix) for page in pages for found in page.get("Contents", [])}

    def read(self, run: Run, name: str) -> bytes:
        return self.s3.get_object(Bucket=self.bucket, Key=f"runs/{run.name}/{name}")["Body"].read()

    def json(self, run: Run, name: str) -> dict:
        return json.loads(self.read(run, name))

    def live(self) -> str:
        return json.loads(self.s3.get_object(Bucket=self.bucket, Key="models/current.json")["Body"].read())["run"]

    def hosted(self) -> dict[str, set[str]]:
        """What SageMaker holds that costs money or clutters: names by kind."""
        return {
            "endpoints": {found["EndpointName"] for found in self.sagemaker.list_endpoints()["Endpoints"]},
            "configs": {
                found["EndpointConfigName"] for found in self.sagemaker.list_endpoint_configs()["EndpointConfigs"]
            },
            "models": {found["ModelName"] for found in self.sagemaker.list_models()["Models"]},
            "jobs": {
                found[f"{kind}JobName"]
                for kind in ("Training", "Processing", "Transform")
                for status in ("InProgress", "Stopping")
                for found in getattr(self.sagemaker, f"list_{kind.lower()}_jobs")(StatusEquals=status)[
                    f"{kind}JobSummaries"
                ]
            },
        }

    def forget_models(self) -> None:
        """As on the first day: nothing was ever deployed or promoted."""
        self.s3.delete_object(Bucket=self.bucket, Key="models/current.json")
        hosted = self.hosted()
        for name in hosted["endpoints"]:
            self.sagemaker.delete_endpoint(EndpointName=name)
        for name in hosted["configs"]:
            self.sagemaker.delete_endpoint_config(EndpointConfigName=name)
        for name in hosted["models"]:
            self.sagemaker.delete_model(ModelName=name)

    def forget_verdicts(self) -> None:
        """Nothing was judged, and nothing accepted as fine."""
        for prefix in ("judged/", "config/suppressions.json"):
            for found in self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", []):
                self.s3.delete_object(Bucket=self.bucket, Key=found["Key"])

    def claims(self) -> set[str]:
        """The runs that own an upload."""
        table = self.cloud.outputs["ClaimTableName"]
        items = self.cloud.client("dynamodb").scan(TableName=table)["Items"]
        return {item["run"]["S"] for item in items if "run" in item and "released_at" not in item}

    def mails(self, run: Run, to: str) -> list[email.message.EmailMessage]:
        """The e-mails that speak of a run; waits a moment for the first."""
        for _ in range(50):
            for path in self.cloud.outbox.glob("*.eml"):
                self._mails[path] = self._mails.get(path) or _read_mail(path)
            mails = [mail for _, mail in sorted(self._mails.items())]
            found = [mail for mail in mails if mail["To"] == f"{to}@example.com" and run.name in mail.get_content()]
            if found:
                return found
            time.sleep(0.05)
        return []

    def physical_id(self, logical_id: str) -> str:
        """Of a resource of the stack or of one nested in it."""
        ids = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in self.cloud.resources()}
        return ids[logical_id]

    def invoke(self, function: str, event: dict) -> dict:
        """A function's answer; `function` is its logical id."""
        lambdas = self.cloud.client("lambda")
        answer = lambdas.invoke(FunctionName=self.physical_id(function), Payload=json.dumps(event).encode())
        said = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, said
        return said

    def sweep_at_once(self) -> None:
        """Upkeep deals with all that it finds, however young."""
        for function in ("SweepUploadsFunction", "DeleteOrphansFunction"):
            name, lambdas = self.physical_id(function), self.cloud.client("lambda")
            variables = lambdas.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
            changed = {"Variables": variables | {"SWEEP_MINUTES": "0"}}
            lambdas.update_function_configuration(FunctionName=name, Environment=changed)

    def redeploy(self, **parameters: str) -> None:
        """Updates the stack, with these parameters beside the tier's."""
        cloudformation = self.cloud.client("cloudformation")
        deploy(ROOT / "template.yaml", STACK, PARAMETERS | parameters, self.s3, cloudformation)
        self.logical |= logical_ids(self.cloud)

    def delete_stack(self) -> str:
        """Deletes the stack, and returns its status in the end."""
        cloudformation = self.cloud.client("cloudformation")
        stack = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]["StackId"]
        cloudformation.delete_stack(StackName=STACK)
        for _ in range(600):
            status = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
            if not status.endswith("_IN_PROGRESS"):
                return status
            time.sleep(0.1)
        raise AssertionError("the stack is still being deleted")

    @contextlib.contextmanager
    def without(self, rule: str) -> Iterator[None]:
        """What the rule (its logical id) would deliver meanwhile is lost."""
        events, name = self.cloud.client("events"), self.physical_id(rule)
        events.disable_rule(Name=name)
        yield
        time.sleep(0.5)  # S3's events are delivered in the background
        events.enable_rule(Name=name)

    def fault(self, target: str, error: str, times: int, message: str = "injected", status: int = 400) -> None:
        fault = {"target": target, "error": error, "message": message, "status": status, "times": times}
        self._faults("POST", json.dumps(fault).encode())

    def no_faults(self) -> None:
        self._faults("DELETE", None)

    def _faults(self, method: str, body: bytes | None) -> None:
        request = urllib.request.Request(f"{self.cloud.engine_url}/_faults", data=body, method=method)
        urllib.request.urlopen(request, timeout=5).close()


def _read_mail(path) -> email.message.EmailMessage:
    return email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
