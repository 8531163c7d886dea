"""The e-mails: what reviewers and operators read."""

import contextlib
import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from suspicious_lines import store
from suspicious_lines.aws import client
from suspicious_lines.layout import RunFiles, told_key
from suspicious_lines.messages import MOVED_BY_VERDICTS, Notified, NotifyRequest
from suspicious_lines.settings import NotifySettings
from suspicious_lines.spreadsheet import from_csv

MOST_LINES = 20
MOST_REFUSED = 5
MOST_MESSAGE_BYTES = 250_000  # SNS takes 256 KB with its attributes
LINK_HOURS = 12
RULER = "-" * 32

Row = dict[str, str]


def notify_reviewers(request: NotifyRequest, settings: NotifySettings) -> Notified:
    """Sends the results of a run to the reviewers' topic: one message for all, and one a firm where that is wanted.

    Messages carry the attributes `scope` (all or firm), `flagged`, `amount_at_stake` and, for a firm's, `firm`:
    subscriptions can be filtered by them.
    """
    files, bucket, topic = RunFiles(request.run), settings.data_bucket, settings.reviewers_topic_arn
    metrics = store.get_json(bucket, files.result("metrics.json"))
    flagged = from_csv(store.get_bytes(bucket, files.result("suspicious_lines.csv")))
    refused = from_csv(store.get_bytes(bucket, files.rejected))
    until = datetime.now(UTC) + timedelta(hours=LINK_HOURS)
    links = {
        what: store.link(bucket, files.result(name), LINK_HOURS * 3600)
        for what, name in {"Report": "report.html", "List for a spreadsheet": "suspicious_lines.csv"}.items()
    }
    text = [
        *_opening(request.upload.name, metrics, flagged),
        *_links(links, until),
        *_lines(flagged),
        *refusals(refused),
        *_sureness(metrics),
        *place(f"s3://{bucket}/{files.prefix}"),
    ]
    note = Note(bucket, request.run, "results")
    message = publish(note, topic, subject_of(flagged), "\n".join(text), _attributes(flagged))
    if settings.notify_by_firm:
        for number, (firm, rows) in enumerate(_grouped(flagged, "Firm Name")):
            part = [
                *_opening(request.upload.name, metrics, rows),
                *_lines(rows),
                *place(f"s3://{bucket}/{files.prefix}"),
            ]
            attributes = _attributes(rows) | {"scope": "firm", "firm": firm}
            note = Note(bucket, request.run, f"results-of-firm-{number:05d}")
            publish(note, topic, subject_of(rows), "\n".join(part), attributes)
    return Notified(message_id=message)


class Note(NamedTuple):
    """What names a message of a run, so that it is sent once however often its state is tried."""

    bucket: str
    run: str
    message: str

    @property
    def key(self) -> str:
        return told_key(self.run, self.message)

    def of(self, text: str) -> "Note":
        """The note of one of several messages of a kind: told apart by their text, which is the same at every try."""
        return self._replace(message=f"{self.message}-{hashlib.sha256(text.encode()).hexdigest()[:16]}")


def publish(
    note: Note, topic_arn: str, subject: str, text: str, attributes: dict[str, str | float] | None = None
) -> str:
    """Publishes what an earlier try has not, and returns the message's id.

    SNS subjects are ASCII, one line, below 100 characters. Without attributes of its own a message is for everybody
    (`scope` = all). The note is written when SNS has the message: only where SNS's own answer is lost does a retry send
    a second one.
    """
    if written := store.get_with_etag(note.bucket, note.key):
        return json.loads(written[0])["message_id"]
    printable = "".join(character if character.isprintable() else " " for character in subject)
    subject = " ".join(printable.encode("ascii", "replace").decode().split())[:99]
    body = text.encode()[:MOST_MESSAGE_BYTES].decode("utf-8", "ignore")
    typed = {
        name: {"DataType": "String" if isinstance(value, str) else "Number", "StringValue": str(value)}
        for name, value in (attributes or {"scope": "all"}).items()
    }
    sent = client("sns").publish(TopicArn=topic_arn, Subject=subject, Message=body, MessageAttributes=typed)
    # Sent it is: a note that cannot be written must not fail the run, and a retry is all that would miss it.
    with contextlib.suppress(BotoCoreError, ClientError):
        store.put_json(note.bucket, note.key, {"message_id": sent["MessageId"]})
    return sent["MessageId"]


def subject_of(flagged: list[Row]) -> str:
    """Carries the numbers and nothing of the invoices."""
    matters = len({row["Matter Number"] for row in flagged})
    lines = f"{counted(len(flagged), 'line')} to query on {counted(matters, 'matter')}"
    return f"{lines}: {_at_stake(flagged):,.2f} at stake"


def _attributes(flagged: list[Row]) -> dict[str, str | float]:
    return {"scope": "all", "flagged": len(flagged), "amount_at_stake": round(_at_stake(flagged), 2)}


def _opening(key: str, metrics: dict[str, Any], flagged: list[Row]) -> list[str]:
    return [
        f"{subject_of(flagged)}.",
        "",
        f"{key.partition('/')[2]}: {metrics['lines_read']:,} lines read, "
        f"{metrics['lines_validation']:,} of them scored, {metrics['lines_rejected']:,} refused.",
        "At stake is what a line costs above what is usual.",
    ]


def _links(links: dict[str, str], until: datetime) -> list[str]:
    text = ["", f"These links work until {until:%d %B, %H:%M} UTC at the latest:"]
    for what, link in links.items():
        text += ["", f"{what}:", link]
    return text


def _lines(flagged: list[Row]) -> list[str]:
    """The lines with the most at stake, grouped by firm and matter; the firm with the most first."""
    if not flagged:
        return ["", "No line needs a query."]
    shown = sorted(flagged, key=lambda row: -float(row["Amount At Stake"]))[:MOST_LINES]
    first = "" if len(shown) == len(flagged) else f" {len(shown)}, which have the most at stake, first"
    text = ["", f"Please query these{first}:"]
    for firm, rows in _grouped(shown, "Firm Name"):
        text += ["", RULER, firm, f"{counted(len(rows), 'line')}, {_at_stake(rows):,.2f} at stake"]
        for matter, lines in _grouped(rows, "Matter Number"):
            text += ["", f"Matter {matter}, {lines[0]['Matter Type']}"]
            for row in lines:
                text += [
                    f"* line {row['Line']}: {float(row['Amount At Stake']):,.2f} at stake",
                    f"  {row['Resource']}, {row['Activity']}, {float(row['Minutes']):g} min "
                    f"at {float(row['Fee']):,.2f} = {float(row['Total']):,.2f}",
                    f"  {row['Reason']}",
                ]
    if len(flagged) > len(shown):
        text += ["", f"{len(flagged) - len(shown):,} more are in the report and in the list."]
    return text


def refusals(refused: list[Row], noun: str = "line") -> list[str]:
    """The first refused rows of a file, and what to do about them; `noun`: what its rows are."""
    if not refused:
        return []
    text = ["", RULER, f"{counted(len(refused), noun)} could not be read and were left out:"]
    for row in refused[:MOST_REFUSED]:
        column = f", column {row['Column']}" if row["Column"] else ""
        text.append(f"* line {row['Line']}{column}: {row['Reason']}")
    return [*text, "Mend them (rejected.csv lists all) and drop the file again."]


def _sureness(metrics: dict[str, Any]) -> list[str]:
    text = ["", RULER, "How sure is this?"]
    threshold, found = metrics["threshold"], metrics["held_out"]
    note = threshold["note"]
    if note and note.startswith(MOVED_BY_VERDICTS):
        text.append(f"The live threshold is {threshold['value']:.2f}: {note}.")
    elif note:
        text.append(f"Listed are the highest scores, as many as you can query, because {note}.")
    if hidden := sum(metrics["suppressed"].values()):
        text.append(f"{counted(hidden, 'flagged line')} left out: their patterns were accepted as fine (metrics.json).")
    if found and found["precision"] is not None and found["recall"] is not None:
        text.append(
            f"Tried on lines whose labels it was not chosen on, {_share(found, 'precision')} of the listed lines are "
            f"known errors, and {_share(found, 'recall')} of the known errors are listed."
        )
    if not (test := metrics["self_test"]):
        return [*text, *_judges(metrics.get("challenger"))]
    caught, planted = (sum(kind[what] for kind in test.values()) for what in ("caught", "planted"))
    kinds = ", ".join(f"{name} {kind['caught']} of {kind['planted']}" for name, kind in test.items())
    return [*text, f"Self-test: {caught} of {planted} planted errors would have been listed ({kinds})."]


def _judges(challenger: dict[str, Any] | None) -> list[str]:
    text = ["Judged by the live model and its threshold."]
    if challenger:
        by = f"the model of run {challenger['run']}, which is on trial, and its threshold"
        text.append(f"But for {challenger['lines']:,} lines of {counted(challenger['invoices'], 'matter')}: by {by}.")
    return text


def _share(found: dict[str, Any], name: str) -> str:
    low, high = found[f"{name}_interval"]
    return f"{found[name]:.0%} ({low:.0%} to {high:.0%})"


def place(prefix: str) -> list[str]:
    return ["", RULER, "All files of this run:", f"{prefix}/", ""]


def _grouped(rows: list[Row], column: str) -> Iterable[tuple[str, list[Row]]]:
    """The rows by the value of a column, the group with the most at stake first, the rows of a group in their order."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[column], []).append(row)
    return sorted(groups.items(), key=lambda group: -_at_stake(group[1]))


def _at_stake(rows: list[Row]) -> float:
    return sum(float(row["Amount At Stake"]) for row in rows)


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
