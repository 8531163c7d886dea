"""Goes back to a former model: starts the stack's rollback machine, waits for its end and says how it ended.

Usage: rollback.py [--run RUN] [--family FAMILY] [--reason WORDS] [--config dev|prod]. With --config, the stack is that
of samconfig.toml on AWS. Without, it is the one that `make up` keeps running, and where none runs, that of dev.
"""

import argparse
import json
import sys
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from deployed import add_stack_options, failure, find_stack, run_machine


def main() -> int:
    options = _parser().parse_args()
    try:
        stack = find_stack(options.config, options.home)
        print(f"rolling back {stack.where}", flush=True)
        order = {"run": options.run, "family": options.family, "reason": options.reason}
        return _told(run_machine(stack, "RollbackStateMachineArn", order))
    except (BotoCoreError, ClientError, RuntimeError) as error:
        print(f"rollback: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rollback.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", default="", help="which trained the model to go back to (default: the newest kept)")
    parser.add_argument("--family", default="", help="whose model (default: that of the uploads of no family)")
    parser.add_argument("--reason", default="", help="why, in words: it is kept in the history")
    add_stack_options(parser)
    return parser


def _told(execution: dict[str, Any]) -> int:
    """Prints how it ended; the exit status."""
    if execution["status"] == "SUCCEEDED":
        live = json.loads(execution["output"])
        print(f"The model of run {live['run']} is live again, in place of that of run {live['replaced']}.")
        return 0
    print(f"rollback: {failure(execution)}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
