"""One embedded AWS for all the tests here, with a stack of their own and a stand-in for SageMaker."""

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.cloud import Cloud
from local.emulator.calls import FOLDER, Calls

STACK = Path(__file__).parent / "stack" / "template.yaml"


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    os.environ["SFN_WAIT_SCALE"] = "0.1"
    os.environ["LAMBDA_ASYNC_RETRY_BASE_SECONDS"] = "0.1"
    os.environ[FOLDER] = str(tmp_path_factory.mktemp("calls"))
    home = tmp_path_factory.mktemp("cloud")
    with Cloud(home, 0, 0, template=STACK, engine=("tests.emulator.stand_in",)) as running:
        yield running


@pytest.fixture
def calls(cloud: Cloud) -> Iterator[Calls]:
    """What functions and state machines have called during a test."""
    found = Calls(Path(os.environ[FOLDER]))
    found.take()
    yield found
    found.cancel()


@pytest.fixture(scope="session")
def invoke(cloud: Cloud) -> Callable[..., tuple[Any, str | None]]:
    """Invoke a function of the stack by its output's name: (payload, FunctionError)."""
    client = cloud.client("lambda")

    def call(event: Any, function: str = "Act") -> tuple[Any, str | None]:
        answer = client.invoke(FunctionName=cloud.outputs[function], Payload=json.dumps(event).encode())
        return json.loads(answer["Payload"].read()), answer.get("FunctionError")

    return call


class Machine:
    """Runs a definition to its end."""

    def __init__(self, cloud: Cloud) -> None:
        self.sfn = cloud.client("stepfunctions")
        self._role = cloud.outputs["RoleArn"]
        self._act = cloud.outputs["ActArn"]

    def start(self, definition: dict[str, Any], data: Any = None) -> str:
        machine = self.sfn.create_state_machine(
            name=f"m-{uuid.uuid4().hex[:12]}", definition=json.dumps(definition), roleArn=self._role
        )
        started = self.sfn.start_execution(
            stateMachineArn=machine["stateMachineArn"], input=json.dumps({} if data is None else data)
        )
        return started["executionArn"]

    def end(self, arn: str, seconds: float = 20) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.sfn.describe_execution(executionArn=arn)
            if found["status"] != "RUNNING":
                return found
            time.sleep(0.02)
        raise AssertionError(f"still running: {self.history(arn)}")

    def run(self, definition: dict[str, Any], data: Any = None) -> dict[str, Any]:
        return self.end(self.start(definition, data))

    def history(self, arn: str) -> list[dict[str, Any]]:
        pages = self.sfn.get_paginator("get_execution_history").paginate(executionArn=arn)
        return [event for page in pages for event in page["events"]]

    def act(self, payload: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """A Task state that calls the stack's function with this payload."""
        parameters = {"FunctionName": self._act, "Payload": payload}
        return {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": parameters,
            "End": True,
        } | fields


@pytest.fixture(scope="session")
def machine(cloud: Cloud) -> Machine:
    return Machine(cloud)


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Any]:
    """Ask until the answer is truthy, for ten seconds."""

    def wait(question: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            answer = question()
            if answer:
                return answer
            time.sleep(0.03)
        raise AssertionError("it did not come to pass")

    return wait
