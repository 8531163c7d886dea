"""Sends the e-mail that says which lines to query."""

from suspicious_lines.messages import Notified, NotifyRequest
from suspicious_lines.notifications import notify_reviewers
from suspicious_lines.observability import entry_point
from suspicious_lines.settings import NotifySettings

settings = NotifySettings.from_environment()


@entry_point(NotifyRequest)
def handler(request: NotifyRequest) -> Notified:
    return notify_reviewers(request, settings)
