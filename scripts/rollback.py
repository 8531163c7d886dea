"""Goes back to a former model: starts the stack's rollback machine, waits for its end and says how it ended.

Usage: rollback.py [--run RUN] [--reason WORDS] [--config dev|prod]. With --config, the stack is that of samconfig.toml
on AWS. Without, it is the one that `make up` keeps running, and where none runs, that of dev.
"""

import argparse
import contextlib
import json
import os
import socket
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

ROOT = Path(__file__).resolve().parent.parent
POLL_SECONDS = 0.5
OUTPUT = "RollbackStateMachineArn"


def main() -> int:
    options = _parser().parse_args()
    try:
        running = None if options.config else _embedded(options.home)
        where, sfn, machine = running or _on_aws(options.config or "dev")
        print(f"rolling back {where}", flush=True)
        order = {"run": options.run, "reason": options.reason}
        arn = sfn.start_execution(stateMachineArn=machine, input=json.dumps(order))["executionArn"]
        return _told(_ended(sfn, arn))
    except (BotoCoreError, ClientError, RuntimeError) as error:
        print(f"rollback: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rollback.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", default="", help="which trained the model to go back to (default: the newest kept)")
    parser.add_argument("--reason", default="", help="why, in words: it is kept in the history")
    parser.add_argument("--config", default="", help="environment of samconfig.toml, whose stack is on AWS")
    parser.add_argument("--home", type=Path, default=ROOT / ".local", help="of the embedded AWS (default: .local)")
    return parser


def _embedded(home: Path) -> tuple[str, Any, str] | None:
    """The stack on the embedded AWS, or None where it does not run."""
    try:
        described = json.loads((home / "outputs.json").read_text())
        url = described["endpoint_url"]
        socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=5).close()
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    os.environ.pop("AWS_PROFILE", None)  # a profile of the user's own has no part in this
    session = boto3.Session("test", "test", region_name="us-east-1")
    return "on the embedded AWS", session.client("stepfunctions", endpoint_url=url), described["outputs"][OUTPUT]


def _on_aws(config: str) -> tuple[str, Any, str]:
    """The stack of an environment of samconfig.toml, with the caller's own credentials."""
    environments = tomllib.loads((ROOT / "samconfig.toml").read_text())
    if "deploy" not in environments.get(config, {}):
        raise RuntimeError(f"samconfig.toml has no environment {config} to deploy")
    parameters = environments[config]["deploy"]["parameters"]
    name, region = parameters["stack_name"], parameters["region"]
    (stack,) = boto3.client("cloudformation", region_name=region).describe_stacks(StackName=name)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    if OUTPUT not in outputs:
        raise RuntimeError(f"the stack {name} has no output {OUTPUT}: deploy this version of it first")
    return f"{name} in {region}", boto3.client("stepfunctions", region_name=region), outputs[OUTPUT]


def _ended(sfn: Any, arn: str) -> dict[str, Any]:
    """The execution once it has ended, which the machine's own timeout sees to."""
    while (execution := sfn.describe_execution(executionArn=arn))["status"] == "RUNNING":
        time.sleep(POLL_SECONDS)
    return execution


def _told(execution: dict[str, Any]) -> int:
    """Prints how it ended; the exit status."""
    if execution["status"] == "SUCCEEDED":
        live = json.loads(execution["output"])
        print(f"The model of run {live['run']} is live again, in place of that of run {live['replaced']}.")
        return 0
    cause = execution.get("cause") or f"the execution ended as {execution['status']}"
    with contextlib.suppress(ValueError, KeyError, TypeError):  # where it is a function's own error
        cause = json.loads(cause)["errorMessage"]
    print(f"rollback: {execution.get('error', execution['status'])}: {cause}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
