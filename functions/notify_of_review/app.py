"""Sends the e-mail that says what the verdicts told."""

from suspicious_lines.messages import Notified
from suspicious_lines.observability import entry_point
from suspicious_lines.review_mail import notify_of_review
from suspicious_lines.review_messages import NotifyOfReviewRequest
from suspicious_lines.review_settings import NotifyOfReviewSettings

settings = NotifyOfReviewSettings.from_environment()


@entry_point(NotifyOfReviewRequest)
def handler(request: NotifyOfReviewRequest) -> Notified:
    return notify_of_review(request, settings)
