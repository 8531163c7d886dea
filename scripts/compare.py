"""Prints runs side by side: what each was made with, how good it is, what it cost and what became of its model.

Usage: compare.py [--runs RUN,RUN] [--config dev|prod]. Without --runs, the last five that trained a model within 30
days. The stack is found as rollback.py finds it. It reads what every run leaves, whether or not it was tracked: the
receipt and the metrics in the data bucket, and the hyperparameters of the training job. See docs/experiments.md.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError
from costs import DAYS, read_receipts
from deployed import Stack, add_stack_options, find_stack

from suspicious_lines.layout import RunFiles, resource_name
from suspicious_lines.receipts import Receipt
from suspicious_lines.tracking import RunRecord, record_of

MOST = 5
WIDTH = 16


def main() -> int:
    parser = argparse.ArgumentParser(prog="compare.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", default="", help="names of executions, with a comma between them")
    add_stack_options(parser)
    options = parser.parse_args()
    try:
        stack = find_stack(options.config, options.home)
        bucket, s3 = stack.output("DataBucketName"), stack.client("s3")
        chosen = [run for run in options.runs.split(",") if run]
        receipts = [_receipt(s3, bucket, run) for run in chosen] if chosen else _latest(s3, bucket)
        if not receipts:
            raise RuntimeError(f"no run has trained a model within {DAYS} days")
        print("\n".join(table([(receipt, _record(stack, bucket, receipt)) for receipt in receipts])))
        return 0
    except (BotoCoreError, ClientError, RuntimeError, ValueError) as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1


def _latest(s3: Any, bucket: str) -> list[Receipt]:
    """Of the last runs that trained a model, the oldest first."""
    receipts = [msgspec.convert(found, Receipt) for found in read_receipts(s3, bucket) if found.get("promotion")]
    return sorted(receipts, key=lambda receipt: receipt.timings.started_at)[-MOST:]


def _receipt(s3: Any, bucket: str, run: str) -> Receipt:
    """Raises RuntimeError where the run left none, or trained no model."""
    try:
        body = s3.get_object(Bucket=bucket, Key=RunFiles(run).receipt)["Body"].read()
    except s3.exceptions.NoSuchKey:
        raise RuntimeError(f"there is no run {run}, or it has not ended") from None
    receipt = msgspec.json.decode(body, type=Receipt)
    if receipt.promotion is None:
        raise RuntimeError(f"run {run} trained no model: it ended as {receipt.status}")
    return receipt


def _record(stack: Stack, bucket: str, receipt: Receipt) -> RunRecord:
    """The artifact's key has the name of the training job; beside it are those of a sweep's candidates.

    Raises:
        RuntimeError: the run's files are gone.
    """
    s3, files = stack.client("s3"), RunFiles(receipt.run)
    models = s3.list_objects_v2(Bucket=bucket, Prefix=files.model).get("Contents", [])
    jobs = {model["Key"].removeprefix(files.model).partition("/")[0] for model in models}
    job = next((job for job in jobs if job.endswith(resource_name("", receipt.run))), None)
    if job is None:
        raise RuntimeError(f"the files of run {receipt.run} are gone")
    metrics = json.loads(s3.get_object(Bucket=bucket, Key=files.result("metrics.json"))["Body"].read())
    described = stack.client("sagemaker").describe_training_job(TrainingJobName=job)
    return record_of(bucket, job, receipt, metrics, described)


def table(runs: list[tuple[Receipt, RunRecord]]) -> Iterator[str]:
    """A column a run; a star where runs differ in what they were made with."""
    for number, (receipt, record) in enumerate(runs, start=1):
        upload = receipt.input.name if receipt.input else "no upload"
        yield f"({number}) {record.started_at:%Y-%m-%d %H:%M} {upload}"
        yield f"    {record.run}"
        yield f"    {receipt.promotion.reason}" if receipt.promotion else ""
    records = [record for _, record in runs]
    yield ""
    yield _row("", [f"({number})" for number in range(1, len(runs) + 1)])
    for name in _names([record.parameters for record in records]):
        if name != "run":
            values = [record.parameters.get(name) for record in records]
            yield _row(f"{name} *" if len(set(values)) > 1 else name, map(_shown, values))
    yield ""
    for name in _names([record.metrics for record in records]):
        yield _row(name, (_shown(record.metrics.get(name)) for record in records))


def _names(columns: list[dict[str, Any]]) -> list[str]:
    """All names, in the order in which they come."""
    return list(dict.fromkeys(name for column in columns for name in column))


def _shown(value: str | float | None) -> str:
    """What does not fit is cut: beginnings of hashes and of runs' names are enough to tell them apart."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value if len(value) <= WIDTH - 2 else f"{value[: WIDTH - 3]}…"
    return f"{value:,.0f}" if value == round(value) else f"{value:,.4f}"


def _row(name: str, cells: Any) -> str:
    return f"{name:<26}" + "".join(f"{cell:>{WIDTH}}" for cell in cells)


if __name__ == "__main__":
    sys.exit(main())
