"""The e-mail after a review: what the verdicts said, what they changed, what they propose."""

from typing import Any

from suspicious_lines import store
from suspicious_lines.layout import RunFiles
from suspicious_lines.messages import Notified
from suspicious_lines.notifications import RULER, Note, counted, place, publish, refusals
from suspicious_lines.review_messages import NotifyOfReviewRequest
from suspicious_lines.review_settings import NotifyOfReviewSettings
from suspicious_lines.spreadsheet import from_csv

MOST_GROUPS = 5
GROUPS = {"by_field": "What the lines were flagged for", "by_firm": "Firm", "by_matter_type": "Matter type"}


def notify_of_review(request: NotifyOfReviewRequest, settings: NotifyOfReviewSettings) -> Notified:
    """Tells the reviewers; and the operators where the threshold was moved or there is something to accept."""
    files, bucket = RunFiles(request.run), settings.data_bucket
    review = store.get_json(bucket, files.result("review.json"))
    families = review.get("families", {})  # not yet in what another version wrote
    models = ({"": review} if review["model_run"] or not families else {}) | families
    refused = from_csv(store.get_bytes(bucket, files.rejected))
    text = "\n".join(
        [
            *_opening(request.upload.name, review),
            *refusals(refused, "verdict"),
            *(line for family, lesson in models.items() for line in (*_precision(lesson, family), *_changes(lesson))),
            *_proposals(review, bucket, files),
            *place(f"s3://{bucket}/{files.prefix}"),
        ]
    )
    subject = subject_of(review)
    message = publish(Note(bucket, request.run, "review"), settings.reviewers_topic_arn, subject, text)
    if any(lesson["recalibration"] for lesson in models.values()) or review["proposals"]:
        note = Note(bucket, request.run, "review-to-operators")
        publish(note, settings.operators_topic_arn, subject, text)
    return Notified(message_id=message)


def subject_of(review: dict[str, Any]) -> str:
    """Carries the numbers and nothing of the invoices."""
    counts = review["counts"]
    judged = counts["query"] + counts["fine"]
    rightly = f"{counts['query']:,} of {counted(judged, 'judged line')} {_were(judged)} rightly queried"
    return f"{counted(counts['read'], 'verdict')} read: {rightly}"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _opening(key: str, review: dict[str, Any]) -> list[str]:
    counts = review["counts"]
    return [
        f"{subject_of(review)}.",
        "",
        f"{key.partition('/')[2]}: {counted(counts['kept'], 'line')} of {counted(counts['runs'], 'run')}: "
        f"{counts['query']:,} query, {counts['fine']:,} fine, {counts['unsure']:,} unsure; "
        f"{counted(counts['rejected'], 'verdict')} refused.",
        f"Of all runs so far: {review['judged']['query']:,} query, {review['judged']['fine']:,} fine.",
    ]


def _precision(review: dict[str, Any], family: str) -> list[str]:
    found = review["precision"]
    text = ["", RULER, f"How often is the live model{f' of {family}' if family else ''} right?"]
    if not found or not found["judged"]:
        return [*text, "Nobody has judged a line that it flagged yet."]
    text.append(f"Rightly queried: {_share(found)}.")
    for name, title in GROUPS.items():
        groups = review[name]
        text += ["", f"{title}:"]
        text += [f"* {group}: {_share(told)}" for group, told in list(groups.items())[:MOST_GROUPS]]
        if len(groups) > MOST_GROUPS:
            text.append(f"  {len(groups) - MOST_GROUPS:,} more are in review.json.")
    return text


def _share(found: dict[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['queried']:,} of {found['judged']:,}, {found['precision']:.0%} ({low:.0%} to {high:.0%})"


def _changes(review: dict[str, Any]) -> list[str]:
    moved = review["recalibration"]
    text = ["", RULER, "What was changed?"]
    if not moved:
        return [*text, "Nothing: the threshold stays where it is."]
    direction = "raised: fewer lines" if moved["after"] > moved["before"] else "lowered: more lines"
    return [*text, f"The live threshold was {direction} will be listed. {moved['reason']}."]


def _proposals(review: dict[str, Any], bucket: str, files: RunFiles) -> list[str]:
    proposals = review["proposals"]
    if not proposals:
        return []
    text = ["", RULER, f"You keep calling {counted(len(proposals), 'pattern')} fine. Leave such lines out from now on?"]
    for proposal in proposals:
        text.append(f"* {proposal['name']}: up to {proposal['at_stake_up_to']:,.2f} at stake")
    return [
        *text,
        "To accept, an operator copies the file of proposals, or what you want of it, into the configuration:",
        f"s3://{bucket}/{files.result('proposed_suppressions.json')}",
        f"s3://{bucket}/config/suppressions.json",
        "It holds what was accepted before as well. Lines left out stay in scored_lines.parquet.",
    ]
