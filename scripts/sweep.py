"""Tries other forests on the lines of a run: starts the stack's sweep, waits for its end and prints what it found.

Usage: sweep.py --trees 50,100 --samples 128,256 [--run RUN] [--config dev|prod]. Without --run, the live model's. The
stack is found as rollback.py finds it. See docs/sweep.md.
"""

import argparse
import json
import sys
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from deployed import Stack, add_stack_options, failure, find_stack, run_machine

from suspicious_lines.layout import LIVE_MODEL_KEY, RunFiles

MACHINE = "SweepStateMachineArn"
OWN = "the run's own"


def main() -> int:
    options = _parser().parse_args()
    try:
        stack = find_stack(options.config, options.home)
        order = {"run": options.run or _live(stack), "trees": options.trees, "samples": options.samples}
        print(
            f"trying {len(options.trees) * len(options.samples)} forests {stack.where}, on the lines of {order['run']}"
        )
        if MACHINE not in stack.outputs:
            raise RuntimeError(f"the stack {stack.where} has no sweeps: deploy it with HyperparameterSweep=true")
        execution = run_machine(stack, MACHINE, order)
        if execution["status"] != "SUCCEEDED":
            raise RuntimeError(failure(execution))
        found = _result(stack, order["run"], execution["name"])
    except (BotoCoreError, ClientError, RuntimeError) as error:
        print(f"sweep: {error}", file=sys.stderr)
        return 1
    print("\n".join(table(found)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sweep.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", default="", help="which has prepared the lines (default: the live model's)")
    parser.add_argument("--trees", type=_numbers, required=True, help="values of NumTrees, at most three: 50,100")
    parser.add_argument("--samples", type=_numbers, required=True, help="values of NumSamplesPerTree: 128,256")
    add_stack_options(parser)
    return parser


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _live(stack: Stack) -> str:
    s3 = stack.client("s3")
    try:
        found = s3.get_object(Bucket=stack.output("DataBucketName"), Key=LIVE_MODEL_KEY)
    except s3.exceptions.NoSuchKey:
        raise RuntimeError("no model is live yet: drop a file under incoming/ first") from None
    return json.loads(found["Body"].read())["run"]


def _result(stack: Stack, run: str, sweep: str) -> dict[str, Any]:
    key = RunFiles(run).sweep(sweep, "sweep.json")
    return json.loads(stack.client("s3").get_object(Bucket=stack.output("DataBucketName"), Key=key)["Body"].read())


def table(found: dict[str, Any]) -> list[str]:
    """A line a candidate, the best marked, and the run's own beside them."""
    lines = [f"{'trees':>6}{'samples':>9}{'average precision':>20}{'planted caught':>16}"]
    for each in [*found["candidates"], found["own"]]:
        mark = "  best" if each == found["winner"] else f"  {OWN}" if each == found["own"] else ""
        caught = f"{each['caught']:.1%}" if "caught" in each else "-"
        precision = "-" if each["average_precision"] is None else f"{each['average_precision']:.4f}"
        lines.append(f"{each['num_trees']:>6}{each['num_samples_per_tree']:>9}{precision:>20}{caught:>16}{mark}")
    return [*lines, "", f"By {found['by']}. Nothing was deployed: docs/sweep.md says what to set."]


if __name__ == "__main__":
    sys.exit(main())
