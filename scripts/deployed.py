"""Finds the stack that a script is to work on: that of `make up`, or one of samconfig.toml's on AWS."""

import argparse
import contextlib
import functools
import json
import math
import os
import socket
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

ROOT = Path(__file__).resolve().parent.parent
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Stack:
    """`where` it is, in words; `client(service)` makes a client of its account and region."""

    where: str
    outputs: dict[str, str]
    client: Callable[[str], Any]
    is_embedded: bool = False

    def output(self, name: str) -> str:
        """Raises RuntimeError where the stack was deployed before it had this output."""
        if name not in self.outputs:
            raise RuntimeError(f"the stack {self.where} has no output {name}: deploy this version of it first")
        return self.outputs[name]


def add_stack_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", default="", help="environment of samconfig.toml, whose stack is on AWS")
    parser.add_argument("--home", type=Path, default=ROOT / ".local", help="of the embedded AWS (default: .local)")


def find_stack(config: str, home: Path) -> Stack:
    """The stack of `config`; without, the one on the embedded AWS, and where none runs, that of dev.

    Raises:
        RuntimeError: samconfig.toml has no such environment.
    """
    return (None if config else _embedded(home)) or _on_aws(config or "dev")


def run_machine(stack: Stack, machine: str, order: dict[str, Any]) -> dict[str, Any]:
    """The execution of a state machine (an output's name) with this input, once it has ended."""
    sfn = stack.client("stepfunctions")
    arn = sfn.start_execution(stateMachineArn=stack.output(machine), input=json.dumps(order))["executionArn"]
    return ended(sfn, arn)


def ended(sfn: Any, arn: str, seconds: float = math.inf) -> dict[str, Any]:
    """The execution once it has ended, which the machine's own timeout sees to.

    Raises:
        RuntimeError: it has not within so many seconds.
    """
    deadline = time.monotonic() + seconds
    while (execution := sfn.describe_execution(executionArn=arn))["status"] == "RUNNING":
        if time.monotonic() > deadline:
            raise RuntimeError(f"{arn} still runs after {seconds:g} s")
        time.sleep(POLL_SECONDS)
    return execution


def failure(execution: dict[str, Any]) -> str:
    """Why an execution did not succeed, in words."""
    cause = execution.get("cause") or f"the execution ended as {execution['status']}"
    with contextlib.suppress(ValueError, KeyError, TypeError):  # where it is a function's own error
        cause = json.loads(cause)["errorMessage"]
    return f"{execution.get('error', execution['status'])}: {cause}"


def _embedded(home: Path) -> Stack | None:
    """The stack on the embedded AWS, or None where it does not run."""
    try:
        described = json.loads((home / "outputs.json").read_text())
        url = described["endpoint_url"]
        socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=5).close()
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    os.environ.pop("AWS_PROFILE", None)  # a profile of the user's own has no part in this
    session = boto3.Session("test", "test", region_name="us-east-1")

    def client(service: str) -> Any:
        create: Any = session.client
        own = described["engine_url"] if service.startswith("sagemaker") else url
        return create(service, endpoint_url=own)

    return Stack("on the embedded AWS", described["outputs"], client, is_embedded=True)


def _on_aws(config: str) -> Stack:
    """The stack of an environment of samconfig.toml, with the caller's own credentials."""
    environments = tomllib.loads((ROOT / "samconfig.toml").read_text())
    if "deploy" not in environments.get(config, {}):
        raise RuntimeError(f"samconfig.toml has no environment {config} to deploy")
    parameters = environments[config]["deploy"]["parameters"]
    name, region = parameters["stack_name"], parameters["region"]
    (stack,) = boto3.client("cloudformation", region_name=region).describe_stacks(StackName=name)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    return Stack(f"{name} in {region}", outputs, functools.partial(boto3.client, region_name=region))
