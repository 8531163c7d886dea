import json

import pytest

from frames import BUCKET
from suspicious_lines import store
from suspicious_lines.notifications import publish, subject_of, text_of

METRICS = {
    "lines_read": 105_965,
    "lines_rejected": 2,
    "lines_validation": 21_193,
    "flagged": 41,
    "matters": 17,
    "amount_at_stake": 38211.0,
    "threshold": {"value": 1.599, "strategy": "error-median"},
    "confusion": {"tp": 30, "fp": 11, "fn": 30, "tn": 21_122},
    "precision": 0.7317,
    "recall": 0.5,
}
FLAGGED = [
    {
        "Line": str(number),
        "Matter Number": "17",
        "Firm Name": "Specimen LLP",
        "Matter Type": "Antitrust",
        "Resource": "Junior",
        "Activity": "Attend Court",
        "Minutes": "505.0",
        "Fee": "150.0",
        "Total": "1262.5",
        "Reason": "505 minutes; usual for Junior, Attend Court, Antitrust: 60 to 180",
    }
    for number in range(41)
]
REFUSED = [{"Line": "7", "Column": "Minutes", "Value": "secret", "Reason": "is negative"}]


def text(metrics=METRICS, flagged=FLAGGED, refused=REFUSED):
    return text_of("incoming/activities.csv", metrics, flagged, refused, "s3://bucket/runs/run")


def test_the_subject_carries_the_numbers():
    assert subject_of(METRICS) == "41 lines to query on 17 matters: 38,211.00 at stake"
    assert subject_of(METRICS | {"flagged": 1, "matters": 1}).startswith("1 line to query on 1 matter:")


def test_the_text_says_what_to_do_why_and_where():
    told = text()
    assert "Line 0 - Specimen LLP, matter 17" in told
    assert "505 min at 150.00 = 1,262.50" in told
    assert "Why: 505 minutes; usual for Junior, Attend Court, Antitrust: 60 to 180" in told
    assert "21 more lines are in suspicious_lines.csv." in told
    assert "Line 7, column Minutes: is negative" in told
    assert "73% of the listed lines are known errors, and 50% of the known errors are listed" in told
    assert "s3://bucket/runs/run/results/report.html" in told


def test_the_text_quotes_no_refused_value():
    assert "secret" not in text()


def test_without_labels_it_says_so_and_without_flags_too():
    bare = METRICS | {"confusion": None, "precision": None, "recall": None, "flagged": 0}
    told = text(bare, [], [])
    assert "No line needs a query." in told
    assert "no known errors to measure against" in told
    assert "left out" not in told


@pytest.mark.parametrize("subject", ["two\nlines", "x" * 300, "Gebühr für Müller"])
def test_any_subject_and_any_length_reach_the_topic(cloud, monkeypatch, subject):
    publish("arn:aws:sns:us-east-1:000000000000:reviewers", subject, "€" * 200_000)
    (message,) = cloud.sqs.receive_message(QueueUrl=cloud.queues["reviewers"])["Messages"]
    sent = json.loads(message["Body"])
    assert sent["Subject"].isascii()
    assert "\n" not in sent["Subject"]
    assert len(sent["Subject"]) < 100
    assert len(sent["Message"].encode()) <= 256 * 1024


def test_the_handler_sends_one_message(cloud, load_handler, context):
    store.put_json(BUCKET, "runs/run/results/metrics.json", METRICS)
    header = ",".join(FLAGGED[0])
    rows = "\n".join(",".join(f'"{cell}"' for cell in row.values()) for row in FLAGGED)
    store.put(BUCKET, "runs/run/results/suspicious_lines.csv", f"{header}\n{rows}\n", "text/csv")
    store.put(BUCKET, "runs/run/rejected.csv", "Line,Column,Value,Reason\n", "text/csv")
    upload = {"bucket": BUCKET, "key": "incoming/activities.csv", "etag": "e", "size": 1}
    assert load_handler("notify_reviewers")({"run": "run", "upload": upload}, context)["message_id"]
    (message,) = cloud.sqs.receive_message(QueueUrl=cloud.queues["reviewers"])["Messages"]
    assert json.loads(message["Body"])["Subject"] == subject_of(METRICS)
