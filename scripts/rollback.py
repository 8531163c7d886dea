"""Goes back to a former model: starts the stack's rollback machine, waits for its end and says how it ended.

Usage: rollback.py [--run RUN] [--reason WORDS] [--config dev|prod]. With --config, the stack is that of samconfig.toml
on AWS. Without, it is the one that `make up` keeps running, and where none runs, that of dev.
"""

import argparse
import contextlib
import json
import math
import sys
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from deployed import add_stack_options, find_stack

POLL_SECONDS = 0.5


def main() -> int:
    options = _parser().parse_args()
    try:
        stack = find_stack(options.config, options.home)
        sfn, machine = stack.client("stepfunctions"), stack.output("RollbackStateMachineArn")
        print(f"rolling back {stack.where}", flush=True)
        order = {"run": options.run, "reason": options.reason}
        arn = sfn.start_execution(stateMachineArn=machine, input=json.dumps(order))["executionArn"]
        return _told(ended(sfn, arn))
    except (BotoCoreError, ClientError, RuntimeError) as error:
        print(f"rollback: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rollback.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", default="", help="which trained the model to go back to (default: the newest kept)")
    parser.add_argument("--reason", default="", help="why, in words: it is kept in the history")
    add_stack_options(parser)
    return parser


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
