"""Tries a model beside the live one: starts the stack's trial machine, waits for its end and says how it ended.

Usage: trial.py begin --run RUN [--kind ab|shadow] [--share PERCENT], trial.py report, or
trial.py conclude --promote yes|no [--reason WORDS]; [--config dev|prod] as in rollback.py.
"""

import argparse
import json
import sys
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from deployed import add_stack_options, failure, find_stack, run_machine


def main() -> int:
    options = _parser().parse_args()
    order = {"action": options.action, **_details(options)}
    try:
        stack = find_stack(options.config, options.home)
        if "TrialStateMachineArn" not in stack.outputs:
            raise RuntimeError(f"the stack {stack.where} tries no models: deploy it with the parameter Trials=true")
        print(f"{options.action}: {stack.where}", flush=True)
        execution = run_machine(stack, "TrialStateMachineArn", order)
    except (BotoCoreError, ClientError, RuntimeError) as error:
        print(f"trial: {error}", file=sys.stderr)
        return 1
    if execution["status"] != "SUCCEEDED":
        print(f"trial: {failure(execution)}", file=sys.stderr)
        return 1
    print("\n".join(_TOLD[options.action](json.loads(execution["output"]))))
    return 0


def _details(options: argparse.Namespace) -> dict[str, Any]:
    if options.action == "begin":
        return {"run": options.run, "kind": options.kind, "share": options.share}
    if options.action == "conclude":
        return {"promote": options.promote == "yes", "reason": options.reason}
    return {}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="trial.py", description=(__doc__ or "").splitlines()[0])
    actions = parser.add_subparsers(dest="action", required=True)
    begin = actions.add_parser("begin")
    begin.add_argument("--run", required=True, help="which trained the model")
    begin.add_argument("--kind", choices=["ab", "shadow"], default="shadow")
    begin.add_argument("--share", type=int, choices=range(1, 100), metavar="1..99", default=10, help="of the invoices")
    conclude = actions.add_parser("conclude")
    conclude.add_argument("--promote", choices=["yes", "no"], required=True)
    conclude.add_argument("--reason", default="", help="why, in words: it is kept")
    for action in (begin, conclude, actions.add_parser("report")):
        add_stack_options(action)
    return parser


def _begun(challenger: dict[str, Any]) -> list[str]:
    does = {"ab": f"scores {challenger['share']} % of the invoices", "shadow": "scores all lines in the shadow"}
    return [f"The model of run {challenger['run']} is on trial and {does[challenger['kind']]}."]


def _reported(report: dict[str, Any]) -> list[str]:
    told = [f"The model of run {report['run']} is on trial since {report['began_at']}; {report['runs']} runs so far."]
    if found := report["shadow"]:
        shared = _share(found["flag_agreement"])
        told += [
            f"lines scored by both    {found['lines']:>12,}",
            f"same flag               {_share(found['agreement']):>12}",
            f"flagged by both         {found['both']:>12,}  ({shared} of those that any flags)",
            f"by the live model only  {found['only_live']:>12,}",
            f"by the one on trial only{found['only_challenger']:>12,}",
            f"rank correlation        {_number(found['rank_correlation']):>12}",
        ]
    for arm in report["arms"]:
        verdicts = arm["verdicts"]
        told.append(
            f"{'live ' if arm['run'] == report['live_run'] else 'trial'} {arm['run']}: {arm['invoices']:,} invoices, "
            f"{arm['lines']:,} lines, {arm['flagged']:,} flagged ({_share(arm['flagged_share'])}), "
            f"{arm['amount_at_stake']:,.2f} at stake, {verdicts['queried']} of {verdicts['judged']} judged were errors"
        )
    return told


def _concluded(answer: dict[str, Any]) -> list[str]:
    what = "is live now" if answer["promoted"] else f"was not promoted; live is that of run {answer['live_run']}"
    return [f"The model of run {answer['run']} {what}."]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


_TOLD = {"begin": _begun, "report": _reported, "conclude": _concluded}

if __name__ == "__main__":
    sys.exit(main())
