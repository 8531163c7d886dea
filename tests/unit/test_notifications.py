import csv
import io
import itertools
import json

import pytest
from botocore.exceptions import ClientError

from frames import BUCKET
from suspicious_lines import aws, store
from suspicious_lines.notifications import Note, publish
from suspicious_lines.results import FLAGGED_COLUMNS

METRICS = {
    "lines_read": 105_965,
    "lines_rejected": 1,
    "lines_validation": 21_193,
    "threshold": {"value": 4.6, "strategy": "error-median", "note": None},
    "held_out": {
        "precision": 0.7317,
        "precision_interval": [0.58, 0.84],
        "recall": 0.5,
        "recall_interval": [0.38, 0.62],
        "f1": 0.6,
    },
    "suppressed": {},
    "self_test": {"minutes": {"planted": 50, "caught": 40}, "fee": {"planted": 50, "caught": 48}},
}
UPLOAD = {"bucket": BUCKET, "key": "incoming/activities.csv", "etag": "e", "size": 1}


def flagged(number: int) -> dict[str, str]:
    return dict.fromkeys(FLAGGED_COLUMNS.values(), "") | {
        "Line": str(number),
        "Matter Number": str(number % 17),
        "Firm Name": f"Specimen {'Oak' if number % 2 else 'Elm'} LLP",
        "Matter Type": "Antitrust",
        "Resource": "Junior",
        "Activity": "Attend Court",
        "Minutes": "505.0",
        "Fee": "150.0",
        "Total": "1262.5",
        "Amount At Stake": str(1000 + number),
        "Reason": "505 minutes; usual for Junior, Attend Court, Antitrust: 60 to 180",
    }


@pytest.fixture
def notify(cloud, load_handler, context):
    """Writes results, sends the messages, and returns them: (subject, text, attributes)."""
    runs = itertools.count()

    def run(rows, metrics=METRICS, refused="7,Minutes,secret,is negative\n", run=""):
        run = run or f"run-{next(runs)}"
        store.put_json(BUCKET, f"runs/{run}/results/metrics.json", metrics)
        listed = io.StringIO()
        writer = csv.DictWriter(listed, list(FLAGGED_COLUMNS.values()))
        writer.writeheader()
        writer.writerows(rows)
        store.put(BUCKET, f"runs/{run}/results/suspicious_lines.csv", listed.getvalue().encode("utf-8-sig"), "text/csv")
        store.put(BUCKET, f"runs/{run}/rejected.csv", f"Line,Column,Value,Reason\n{refused}", "text/csv")
        assert load_handler("notify_reviewers")({"run": run, "upload": UPLOAD}, context)["message_id"]
        answer = cloud.sqs.receive_message(QueueUrl=cloud.queues["reviewers"], MaxNumberOfMessages=10)
        found = answer.get("Messages", [])
        sent = [json.loads(message["Body"]) for message in found]
        return [
            (one["Subject"], one["Message"], {name: a["Value"] for name, a in one["MessageAttributes"].items()})
            for one in sent
        ]

    return run


def test_the_message_says_what_to_do_why_and_where(notify):
    ((subject, text, attributes),) = notify([flagged(number) for number in range(41)])
    assert subject == "41 lines to query on 17 matters: 41,820.00 at stake"
    assert attributes == {"scope": "all", "flagged": "41", "amount_at_stake": "41820.0"}
    # The lines with the most at stake, by firm and matter.
    assert "Specimen Elm LLP\n10 lines, 10,310.00 at stake" in text
    assert "Matter 6, Antitrust\n* line 40: 1,040.00 at stake" in text
    assert "Junior, Attend Court, 505 min at 150.00 = 1,262.50" in text
    assert "505 minutes; usual for Junior, Attend Court, Antitrust: 60 to 180" in text
    assert "line 20:" not in text
    assert "21 more are in the report and in the list." in text
    assert "* line 7, column Minutes: is negative" in text
    assert "73% (58% to 84%) of the listed lines are known errors" in text
    assert "88 of 100 planted errors would have been listed (minutes 40 of 50, fee 48 of 50)" in text
    assert "s3://" + BUCKET + "/runs/run-0/" in text
    assert "results/report.html?X-Amz-Algorithm=AWS4-HMAC-SHA256" in text
    assert "X-Amz-Expires=43200" in text
    assert "secret" not in text
    assert max(len(line) for line in text.splitlines() if "http" not in line) < 200


def test_one_line_is_one_line_and_none_is_none(notify):
    ((subject, text, _),) = notify([flagged(1)], refused="")
    assert subject == "1 line to query on 1 matter: 1,001.00 at stake"
    assert "left out" not in text
    ((subject, text, _),) = notify([], METRICS | {"held_out": None})
    assert subject == "0 lines to query on 0 matters: 0.00 at stake"
    assert "No line needs a query." in text
    assert "known errors" not in text


def test_a_fallback_is_told(notify):
    threshold = {"value": 4.6, "strategy": "budget", "note": "no line is known to be an error"}
    ((_, text, _),) = notify([flagged(1)], METRICS | {"threshold": threshold, "held_out": None})
    assert "as many as you can query, because no line is known to be an error." in text


def test_firms_get_their_own_lines_where_that_is_wanted(notify, monkeypatch):
    monkeypatch.setenv("NOTIFY_BY_FIRM", "true")
    messages = notify([flagged(number) for number in range(4)])
    by_firm = {attributes["firm"]: (subject, text) for subject, text, attributes in messages if "firm" in attributes}
    assert {attributes["scope"] for _, _, attributes in messages} == {"all", "firm"}
    assert set(by_firm) == {"Specimen Oak LLP", "Specimen Elm LLP"}
    subject, text = by_firm["Specimen Oak LLP"]
    assert subject.startswith("2 lines to query")
    assert "Specimen Elm" not in text
    assert "Specimen" not in subject
    # The report shows all the firms.
    assert "http" not in text


def test_names_are_told_as_they_are_and_not_as_a_spreadsheet_needs_them(notify, monkeypatch):
    monkeypatch.setenv("NOTIFY_BY_FIRM", "true")
    messages = notify([flagged(1) | {"Firm Name": "'-Oak LLP", "Matter Number": "'+7"}])
    assert {attributes.get("firm") for _, _, attributes in messages} == {None, "-Oak LLP"}
    assert all("Matter +7," in text for _, text, _ in messages)


def test_links_name_the_region(cloud, monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setattr(store, "client", aws.client.__wrapped__)  # the process's own was made for another
    link = store.link(BUCKET, "runs/run/results/report.html", 60)
    assert link.startswith(f"https://{BUCKET}.s3.eu-central-1.amazonaws.com/runs/run/results/report.html?")


@pytest.mark.parametrize("subject", ["two\nlines", "a\x7fb", "x" * 300, "Gebühr für Müller"])
def test_any_subject_and_any_length_reach_the_topic(cloud, subject):
    publish(Note(BUCKET, "run", "results"), "arn:aws:sns:us-east-1:000000000000:reviewers", subject, "€" * 200_000)
    (message,) = cloud.sqs.receive_message(QueueUrl=cloud.queues["reviewers"])["Messages"]
    sent = json.loads(message["Body"])
    assert sent["Subject"].isascii()
    assert "\n" not in sent["Subject"]
    assert len(sent["Subject"]) < 100
    assert len(sent["Message"].encode()) <= 256 * 1024
    assert sent["MessageAttributes"]["scope"]["Value"] == "all"


def test_a_retry_sends_what_was_not_sent_and_nothing_else(cloud, notify, monkeypatch):
    monkeypatch.setenv("NOTIFY_BY_FIRM", "true")
    rows = [flagged(number) for number in range(4)]
    assert len(notify(rows, run="again")) == 3
    assert notify(rows, run="again") == []
    store.delete(BUCKET, "told/again/results-of-firm-00001.json")
    ((_, _, attributes),) = notify(rows, run="again")
    assert attributes["firm"] == "Specimen Elm LLP"


def test_a_note_that_cannot_be_written_fails_nothing(cloud, notify, monkeypatch):
    def refused(*_):
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "PutObject")

    put_json = store.put_json
    monkeypatch.setattr(store, "put_json", lambda *given: (refused if "told/" in given[1] else put_json)(*given))
    assert len(notify([flagged(1)])) == 1
