"""The e-mail that says what has drifted."""

from typing import Any

from suspicious_lines import store
from suspicious_lines.layout import incoming, monitoring_key
from suspicious_lines.messages import Notified
from suspicious_lines.monitor_messages import DriftMailRequest
from suspicious_lines.monitor_settings import DriftMailSettings
from suspicious_lines.notifications import RULER, Note, publish
from suspicious_lines.settings import family_names


def report_drift(request: DriftMailRequest, settings: DriftMailSettings) -> Notified:
    """Tells the operators of the measures of a day's reports that have drifted; where there are families, in one e-mail
    for each."""
    keys = [monitoring_key(request.day, "report.json", family) for family in ("", *family_names(settings.families))]
    reports = [store.get_json(settings.data_bucket, key) for key in keys]
    drifted = [report for report in reports if any(measure["drifted"] for measure in report["measures"])]
    messages = [_told(report, request, settings) for report in drifted or reports[:1]]
    return Notified(message_id=messages[0])


def _told(report: dict[str, Any], request: DriftMailRequest, settings: DriftMailSettings) -> str:
    """The message's id."""
    bucket, family = settings.data_bucket, report.get("family", "")
    drifted = [measure for measure in report["measures"] if measure["drifted"]]
    drifted_of = f"{len(drifted)} of {len(report['measures'])} measures"
    text = [
        f"{drifted_of} of {request.day} have drifted: {report['lines']:,} lines of {report['matters']:,} matters,",
        f"against those that the live model{f' of {family}' if family else ''} was trained on.",
        "",
        RULER,
        *(f"* {words(measure)}" for measure in drifted),
        "",
        RULER,
        "What to do: see on the page which bins or categories have grown. Where the invoices have changed for good",
        "(new rates, a new matter type, another mix), train on lines that have it: drop past lines under",
        f"{incoming(family)}.",
        "Where a file was wrong (a column in another unit, another client's lines), tell who makes it.",
        "",
        f"Page: s3://{bucket}/{monitoring_key(request.day, 'report.html', family)}",
        f"Live model: {report['model_run']}, promoted {report['promoted_at']}",
        f"Run: {request.run}",
        "",
    ]
    subject = f"Drift: {drifted_of} on {request.day}" + (f", {family}" if family else "")
    note = Note(bucket, request.run, f"drift-{family}" if family else "drift")
    return publish(note, settings.operators_topic_arn, subject, "\n".join(text))


def words(measure: dict[str, Any]) -> str:
    """One measure as a sentence."""
    name, value, low, limit = (measure[key] for key in ("name", "value", "low", "limit"))
    if value is None:
        return f"{name} ({measure['what']}): not measured."
    if measure["bins"]:
        return f"{name} ({measure['what']}): population stability index {value:.3f}, limit {limit:.3f}."
    if low is None:
        bound = f"at most {limit:.1%}"
    elif limit is None:
        bound = f"by chance at least {low:.1%}"
    else:
        bound = f"by chance {low:.1%} to {limit:.1%}"
    return f"{name} ({measure['what']}): {value:.1%}, {bound}."
