"""Estimates a month's bill by hosting mode, says where the modes break even, and puts receipts' estimates beside it.

Usage: costs.py [--files N] [--lines N] [--past-files N] [--past-lines N] [--config dev|prod]. The stack whose receipts
are read is found as rollback.py finds it; where there is none, it says so and shows the estimate. See docs/costs.md.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from deployed import add_stack_options, find_stack
from estimating import MODES, MOST_LINES, TRAIN, Measured, Numbers, break_even, month, read_measured

from suspicious_lines.costs import prices

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
DAYS = 30
# What receipts call the parts of a run's bill, and what they are called here.
PARTS = {"functions": "Lambda", "state_machine": "Step Functions", "training": "training", "inference": "inference"}


def main() -> int:
    options = _parser().parse_args()
    numbers = Numbers(**{name: getattr(options, name) for name in Numbers.__dataclass_fields__})
    try:
        measured = read_measured(DOCUMENT.read_text())
        print("\n".join([*_month(numbers, measured), "", *_even(numbers, measured), "", *_sources(numbers, measured)]))
    except ValueError as error:
        print(f"costs: {error}", file=sys.stderr)
        return 1
    print("\n".join(["", *_beside(numbers, measured, options)]))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="costs.py", description=(__doc__ or "").splitlines()[0])
    known = prices()
    hosted, trained = sorted(known["hosting_hour"]), sorted(known["training_hour"])
    parser.add_argument("--files", type=int, default=100, help="dropped under invoices/ in a month")
    parser.add_argument("--lines", type=int, default=2_000, help="in each of them")
    parser.add_argument("--past-files", type=int, default=1, help="dropped under incoming/ in a month")
    parser.add_argument("--past-lines", type=int, default=100_000, help="in each of them")
    parser.add_argument("--memory-mb", type=int, default=2048, help="EndpointMemoryMB")
    parser.add_argument("--training-type", default="ml.m5.large", choices=trained, help="TrainingInstanceType")
    parser.add_argument("--hosting-type", default="ml.m5.large", choices=hosted, help="of real-time and async")
    parser.add_argument("--batch-type", default="ml.m5.xlarge", choices=trained, help="BatchInstanceType")
    parser.add_argument("--endpoints", type=int, default=2, help="ModelsKept: each model that is kept has one")
    parser.add_argument("--start-seconds", type=float, default=300, help="billed of a job before it works (assumed)")
    parser.add_argument("--idle-seconds", type=float, default=900, help="billed before async scales in (assumed)")
    add_stack_options(parser)
    return parser


def _month(numbers: Numbers, measured: Measured) -> Iterator[str]:
    bill = month(numbers, measured)
    yield (
        f"A month of {numbers.files:,} files of {numbers.lines:,} lines to score and {numbers.past_files:,} of "
        f"{numbers.past_lines:,} to train on, in dollars ({prices()['region']}, {prices()['as_of']}):"
    )
    yield ""
    yield _row("", MODES)
    for part in bill["serverless"]:
        yield _row(part, (f"{bill[mode][part]:,.4f}" for mode in MODES))
    yield _row("total", (f"{sum(bill[mode].values()):,.2f}" for mode in MODES))


def _even(numbers: Numbers, measured: Measured) -> Iterator[str]:
    even = break_even(numbers, measured)
    yield (
        f"Serverless costs what an {numbers.hosting_type} does that is always on where requests keep it busy for "
        f"{even.busy_hours:,.0f} hours a month:"
    )
    yield f"{even.files:,.0f} files of {numbers.lines:,} lines. Real-time has {numbers.endpoints} of these instances."
    yield (
        "Serverless costs less than async at any size that a file may have."
        if even.async_lines is None
        else f"Serverless costs what async does at files of {even.async_lines:,.0f} lines that come one by one."
    )
    yield f"Async does not sleep any more from {even.async_files:,.0f} files a month on, if they come one by one."


def _sources(numbers: Numbers, measured: Measured) -> Iterator[str]:
    yield "Measured on the embedded AWS (docs/performance.md): what a run asks for (benchmarks.bill), and"
    yield f"{measured.lines_a_second:,.0f} lines a second of an endpoint (benchmarks.scoring)."
    yield f"Assumed, because nobody ran it on AWS: {numbers.start_seconds:,.0f} s until a job or an instance works,"
    yield f"{numbers.idle_seconds:,.0f} s until async scales in. No free allowances, no discounts."


def _beside(numbers: Numbers, measured: Measured, options: argparse.Namespace) -> Iterator[str]:
    """The receipts of the last days by the prefix of their uploads, each beside this estimate for as many lines."""
    try:
        stack = find_stack(options.config, options.home)
        receipts = list(read_receipts(stack.client("s3"), stack.output("DataBucketName")))
    except (BotoCoreError, ClientError, RuntimeError) as error:
        yield f"No receipts to put beside it: {error}"
        return
    yield f"Receipts of the last {DAYS} days {stack.where}, dollars a run, beside the estimate for as many lines:"
    yield ""
    yield _row("", ["runs", "lines", *PARTS.values()])
    grouped = defaultdict(list)
    for receipt in receipts:
        if receipt["status"] == "SUCCEEDED":
            grouped[receipt["input"]["key"].partition("/")[0] + "/"].append(receipt)
    for prefix, found in sorted(grouped.items()):
        lines = _mean((receipt["counts"] or {}).get("lines_read", 0) for receipt in found)
        costs = (_mean(receipt["estimated_cost"][part] or 0 for receipt in found) for part in PARTS)
        yield _row(prefix, [len(found), f"{lines:,.0f}", *(f"{cost:,.6f}" for cost in costs)])
        if 0 < lines <= MOST_LINES.get(prefix, 0):
            yield _row("  estimate", ["", "", *(f"{cost:,.6f}" for cost in _of_one(numbers, measured, prefix, lines))])
    yield ""
    yield (
        f"All {len(receipts):,} receipts, of failed runs too: "
        f"{sum(receipt['estimated_cost']['total'] for receipt in receipts):,.4f} dollars."
    )


def _of_one(numbers: Numbers, measured: Measured, prefix: str, lines: float) -> Iterator[float]:
    """The estimate's parts for one run."""
    past = prefix == TRAIN
    sizes = {"past_lines" if past else "lines": round(lines)}
    bill = month(replace(numbers, files=int(not past), past_files=int(past), **sizes), measured)["serverless"]
    return (bill[part] for part in PARTS.values())


def read_receipts(s3: Any, bucket: str) -> Iterator[dict[str, Any]]:
    """The receipts of runs that started within DAYS, whatever became of them."""
    since = datetime.now(UTC) - timedelta(days=DAYS)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="runs/", Delimiter="/"):
        for run in page.get("CommonPrefixes", []):
            try:
                found = s3.get_object(Bucket=bucket, Key=f"{run['Prefix']}receipt.json")
            except s3.exceptions.NoSuchKey:
                continue  # at work
            receipt = json.loads(found["Body"].read())
            if datetime.fromisoformat(receipt["timings"]["started_at"]) >= since:
                yield receipt


def _row(name: str, cells: Iterable[Any]) -> str:
    return f"{name:<26}" + "".join(f"{cell:>16}" for cell in cells)


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known)


if __name__ == "__main__":
    sys.exit(main())
