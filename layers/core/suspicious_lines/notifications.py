"""The e-mails: what reviewers and operators read."""

import csv
import io
from typing import Any

from suspicious_lines import store
from suspicious_lines.aws import client
from suspicious_lines.layout import RunFiles
from suspicious_lines.messages import Notified, NotifyRequest
from suspicious_lines.settings import NotifySettings

MOST_LINES = 20
MOST_REFUSED = 5
MOST_MESSAGE_BYTES = 250_000  # SNS takes 256 KB with its attributes
RULER = "-" * 40


def notify_reviewers(request: NotifyRequest, settings: NotifySettings) -> Notified:
    """Sends the results of a run to the reviewers' topic."""
    files, bucket = RunFiles(request.run), settings.data_bucket
    metrics = store.get_json(bucket, files.result("metrics.json"))
    flagged = _rows(store.get_bytes(bucket, files.result("suspicious_lines.csv")))
    refused = _rows(store.get_bytes(bucket, files.rejected))
    subject = subject_of(metrics)
    text = text_of(request.upload.key, metrics, flagged, refused, f"s3://{bucket}/{files.prefix}")
    return Notified(message_id=publish(settings.reviewers_topic_arn, subject, text))


def publish(topic_arn: str, subject: str, text: str) -> str:
    """Publishes and returns the message's id. SNS subjects are ASCII, one line, below 100 characters."""
    subject = " ".join(subject.encode("ascii", "replace").decode().split())[:99]
    body = text.encode()[:MOST_MESSAGE_BYTES].decode("utf-8", "ignore")
    return client("sns").publish(TopicArn=topic_arn, Subject=subject, Message=body)["MessageId"]


def subject_of(metrics: dict[str, Any]) -> str:
    """Carries the numbers and nothing of the invoices."""
    lines, matters = _count(metrics["flagged"], "line"), _count(metrics["matters"], "matter")
    return f"{lines} to query on {matters}: {metrics['amount_at_stake']:,.2f} at stake"


def text_of(
    key: str, metrics: dict[str, Any], flagged: list[dict[str, str]], refused: list[dict[str, str]], place: str
) -> str:
    """The e-mail's text: what to do first, then the lines, then where everything lies."""
    name = key.removeprefix("incoming/")
    text = [
        f"{subject_of(metrics)}.",
        "",
        f"{name}: {metrics['lines_read']:,} lines read, {metrics['lines_validation']:,} of them scored, "
        f"{metrics['lines_rejected']:,} refused.",
    ]
    if flagged:
        shown = flagged[:MOST_LINES]
        text += ["", f"The {len(shown)} most suspicious lines, please query them with the firm:"]
        for row in shown:
            text += [
                "",
                f"Line {row['Line']} - {row['Firm Name']}, matter {row['Matter Number']}",
                f"{row['Resource']}, {row['Activity']}, {row['Matter Type']}: "
                f"{float(row['Minutes']):g} min at {float(row['Fee']):,.2f} = {float(row['Total']):,.2f}",
                f"Why: {row['Reason']}",
            ]
        if len(flagged) > len(shown):
            text += ["", f"{len(flagged) - len(shown):,} more lines are in suspicious_lines.csv."]
    else:
        text += ["", "No line needs a query."]
    if refused:
        text += ["", RULER, f"{_count(len(refused), 'line')} could not be read and were left out:"]
        text += [_refusal(row) for row in refused[:MOST_REFUSED]]
        text += ["Mend them (rejected.csv lists all) and drop the file again."]
    text += ["", RULER, "How sure is this?", _sureness(metrics)]
    text += ["", RULER, "Report and lists:"]
    text += [f"{place}/results/report.html", f"{place}/results/suspicious_lines.csv", f"{place}/rejected.csv", ""]
    return "\n".join(text)


def _sureness(metrics: dict[str, Any]) -> str:
    threshold = metrics["threshold"]
    cut = f"Lines scoring {threshold['value']:.3f} or more are listed"
    if metrics["confusion"] is None or metrics["precision"] is None or metrics["recall"] is None:
        return f"{cut}: the review budget. The file has no known errors to measure against."
    return (
        f"{cut}: the median score of the known errors. On this file {metrics['precision']:.0%} of the listed lines "
        f"are known errors, and {metrics['recall']:.0%} of the known errors are listed."
    )


def _refusal(row: dict[str, str]) -> str:
    column = f", column {row['Column']}" if row["Column"] else ""
    return f"Line {row['Line']}{column}: {row['Reason']}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _rows(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode())))
