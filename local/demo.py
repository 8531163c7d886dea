"""Past lines, new ones, then verdicts on those, from upload to e-mail on the embedded AWS, with a summary."""

import csv
import email
import email.policy
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from .activities import generate, write_csv
from .cloud import LAPTOP_PARAMETERS, Cloud
from .follow import Outcome, find_execution, follow

HOME = Path(".local")
RESULTS = HOME / "results"
SAMPLE, INVOICES, VERDICTS = Path("data/activities.csv"), Path("data/invoices.csv"), Path("data/verdicts.csv")
OF_INVOICES, OF_VERDICTS = HOME / "results-invoices", HOME / "results-verdicts"
INVOICE_LINES, INVOICE_SEED = 2_000, 2
_MAIL_SECONDS = 10


def main() -> int:
    """Trains on past lines, scores new ones, learns from verdicts; 0 only if all succeeded and all e-mails arrived."""
    console = Console(highlight=False, soft_wrap=True)
    began = time.monotonic()
    parts: dict[str, float] = {}
    _make_samples()
    parts["sample data at hand"] = time.monotonic() - began
    started = time.monotonic()
    with Cloud(HOME, port=0, engine_port=0, parameters=LAPTOP_PARAMETERS) as cloud:
        parts["AWS up and stack deployed"] = time.monotonic() - started
        train = _act(cloud, console, parts, SAMPLE, "incoming/activities.csv", RESULTS)
        score = train and _act(cloud, console, parts, INVOICES, "invoices/invoices.csv", OF_INVOICES)
        if score:
            _make_verdicts(score[0].name)
        review = score and _act(cloud, console, parts, VERDICTS, "verdicts/verdicts.csv", OF_VERDICTS)
    parts["everything"] = time.monotonic() - began
    if not (train and score and review):
        return 1
    _summary(console, parts, *train)
    console.print(f"\nThe {INVOICE_LINES:,} new lines: {_subject(score[1])}\n  e-mail           {score[1]}")
    console.print(f"The verdicts on them: {_subject(review[1])}\n  e-mail           {review[1]}")
    console.print(f"  {'new precision':<16} {_new_precision()}")
    return 0


def _make_samples() -> None:
    SAMPLE.parent.mkdir(parents=True, exist_ok=True)
    if not SAMPLE.exists():
        write_csv(generate(), SAMPLE)
    if not INVOICES.exists():
        write_csv(generate(seed=INVOICE_SEED, lines=INVOICE_LINES).drop(columns="Error"), INVOICES)


def _make_verdicts(run: str) -> None:
    """What a reviewer who knows the planted errors downloads from the report: a verdict on each listed line."""
    is_error = generate(seed=INVOICE_SEED, lines=INVOICE_LINES)["Error"]
    with VERDICTS.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Run", "Line", "Verdict", "Note"])
        for row in _listed(OF_INVOICES):
            line = int(row["Line"])  # as in the file, whose first line is the header
            writer.writerow([run, line, "query" if is_error.iloc[line - 2] else "fine", ""])


def _listed(results: Path) -> list[dict[str, str]]:
    with (results / "results/suspicious_lines.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _act(
    cloud: Cloud, console: Console, parts: dict[str, float], file: Path, key: str, results: Path
) -> tuple[Outcome, Path] | None:
    """Drops a file and follows what it starts: the outcome and the e-mail; None if either went wrong."""
    started = time.monotonic()
    bucket, sfn = cloud.outputs["DataBucketName"], cloud.client("stepfunctions")
    machines = [cloud.outputs[f"{workflow}StateMachineArn"] for workflow in ("Train", "Score", "Review")]
    before = set(cloud.outbox.iterdir())
    console.print(f"{file} -> s3://{bucket}/{key}")
    with file.open("rb") as body:
        version = cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=body).get("VersionId")
    outcome = follow(sfn, find_execution(sfn, machines, bucket, key, version), console)
    console.print()
    _download(cloud, outcome.name, results)
    mail = _mail(cloud, before)
    parts[f"{key.partition('/')[0]}, upload to e-mail"] = time.monotonic() - started
    if outcome.status == "SUCCEEDED" and mail:
        return outcome, mail
    console.print(f"The run ended as {outcome.status}; e-mail: {mail or 'none'}; files: {results}", style="red")
    return None


def _download(cloud: Cloud, run: str, results: Path) -> None:
    """The bucket ends with the embedded AWS: what people look at is copied out of it."""
    shutil.rmtree(results, ignore_errors=True)
    s3, bucket = cloud.client("s3"), cloud.outputs["DataBucketName"]
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"runs/{run}/"):
        for found in page.get("Contents", []):
            target = results / found["Key"].removeprefix(f"runs/{run}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(bucket, found["Key"], str(target))


def _mail(cloud: Cloud, before: set[Path]) -> Path | None:
    """The e-mail that came during the run."""
    deadline = time.monotonic() + _MAIL_SECONDS
    while time.monotonic() < deadline:
        if mails := sorted(set(cloud.outbox.glob("*.eml")) - before):
            return Path(os.path.relpath(mails[-1]))
        time.sleep(0.1)
    return None


def _subject(mail: Path) -> str:
    return str(email.message_from_bytes(mail.read_bytes(), policy=email.policy.default)["Subject"])


def _summary(console: Console, parts: dict[str, float], outcome: Outcome, mail: Path) -> None:
    metrics = json.loads((RESULTS / "results/metrics.json").read_text())
    receipt = json.loads((RESULTS / "receipt.json").read_text())
    for name, value in _figures(metrics, receipt):
        console.print(f"{name:<18} {value}")
    console.print("\nThe worst five lines")
    for row in _listed(RESULTS)[:5]:
        console.print(f"  line {row['Line']}, matter {row['Matter Number']}, score {row['Score']}: {row['Reason']}")
    console.print("\nWhere it is")
    for what, path in {
        "report": RESULTS / "results/report.html",
        "lines to query": RESULTS / "results/suspicious_lines.csv",
        "all of the run": RESULTS,
        "e-mail": mail,
    }.items():
        console.print(f"  {what:<16} {path}")
    console.print("\nHow long it took")
    for what, seconds in parts.items():
        console.print(f"  {what:<26} {seconds:5.1f} s")
    slowest = sorted(outcome.states.values(), key=lambda state: state.seconds, reverse=True)[:5]
    console.print("  slowest states: " + ", ".join(f"{state.name} {state.seconds:.1f} s" for state in slowest))


def _figures(metrics: dict[str, Any], receipt: dict[str, Any]) -> list[tuple[str, str]]:
    found, threshold, cost = metrics["confusion"], metrics["threshold"], receipt["estimated_cost"]
    held_out, planted = metrics["held_out"], metrics["self_test"]
    return [
        ("lines read", f"{metrics['lines_read']:,} ({metrics['lines_rejected']:,} rejected)"),
        ("trained on", f"{metrics['lines_train']:,}; scored {metrics['lines_validation']:,}"),
        ("threshold", f"{threshold['value']:.4f} ({threshold['strategy']})"),
        ("lines to query", f"{metrics['flagged']:,} on {metrics['matters']:,} matters"),
        ("amount at stake", f"{metrics['amount_at_stake']:,.2f}"),
        ("confusion", ", ".join(f"{name} {count:,}" for name, count in found.items())),
        ("precision, recall", f"{metrics['precision']:.3f}, {metrics['recall']:.3f}"),
        ("held out", f"precision {_interval(held_out, 'precision')}, recall {_interval(held_out, 'recall')}"),
        ("self-test", ", ".join(f"{kind} {test['caught']}/{test['planted']}" for kind, test in planted.items())),
        ("on AWS, estimated", f"{cost['total']:.4f} {cost['currency']} ({cost['region']}, {cost['as_of']})"),
    ]


def _new_precision() -> str:
    """Of the live model, by the verdicts."""
    review = json.loads((OF_VERDICTS / "results/review.json").read_text())
    low, high = review["precision"]["interval"]
    return f"{review['precision']['precision']:.2f} ({low:.2f} to {high:.2f})"


def _interval(held_out: dict[str, Any], name: str) -> str:
    low, high = held_out[f"{name}_interval"]
    return f"{held_out[name]:.2f} ({low:.2f} to {high:.2f})"
