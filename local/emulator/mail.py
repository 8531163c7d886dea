"""Writes what SNS would send by e-mail into the outbox, one .eml file a delivery."""

import itertools
import os
import re
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from ministack.services import sns

_SENDER = "AWS Notifications <no-reply@sns.amazonaws.com>"


class Outbox:
    """A directory of .eml files whose names sort by the time of delivery."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._directory.mkdir(parents=True, exist_ok=True)
        self._numbers = itertools.count(1)

    def deliver(self, topic_arn: str, message_id: str, subject: str, texts: dict[str, str]) -> None:
        """Write one message to each recipient. `texts` maps address to body."""
        for address, text in texts.items():
            now = datetime.now(UTC)
            message = EmailMessage(policy=policy.SMTP)
            message["From"] = _SENDER
            message["To"] = address
            message["Subject"] = subject or "AWS Notification Message"
            message["Date"] = format_datetime(now)
            message["Message-ID"] = f"<{message_id}.{next(self._numbers)}@sns.us-east-1.amazonaws.com>"
            message["X-Topic-Arn"] = topic_arn
            message.set_content(text, charset="utf-8", cte="quoted-printable")
            topic = re.sub(r"[^A-Za-z0-9_-]", "-", topic_arn.rsplit(":", 1)[1])
            name = f"{now:%Y%m%dT%H%M%S.%f}Z-{topic}-{message_id[:8]}-{_slug(address)}.eml"
            draft = self._directory / f".{name}.part"
            draft.write_bytes(message.as_bytes())
            os.replace(draft, self._directory / name)


def _slug(address: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", address)[:40]


def recipients(
    topic: dict[str, Any], message_id: str, message: str, subject: str, structure: str, attributes: dict[str, Any]
) -> dict[str, str]:
    """The bodies of a publication by the address of each e-mail subscription that wants it."""
    texts = {}
    for subscription in topic["subscriptions"]:
        protocol = subscription["protocol"]
        if protocol not in ("email", "email-json"):
            continue
        text = sns._resolve_message_for_protocol(message, structure, protocol)
        if not sns._matches_filter_policy(subscription, attributes, text):
            continue
        if protocol == "email-json":
            text = sns._build_envelope(topic["arn"], message_id, text, subject, attributes, False)
        texts[subscription["endpoint"]] = text
    return texts
