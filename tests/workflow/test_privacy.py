"""What invoices and reviewers say is in the bucket and in e-mails' bodies: no log, state or subject has it."""

import csv
import io
import json
import time

import pytest

from local.activities import generate

MARKS = {
    "Matter Number": "MK7-matter",
    "Firm Name": "MK7-firm",
    "Matter Type": "MK7-type",
    "Resource": "MK7-resource",
    "Activity": "MK7-activity",
}
# Five digits that nothing else has: a rate, and a cell that is no number.
FEE, NO_NUMBER, NOTE, IN_HEADER = "7135.37", "MK7-minutes", "MK7-note", "MK7-header"


def marked(lines: int, seed: int, labelled: bool) -> bytes:
    """Lines in each of which each text has a mark; the first has a remarkable rate, the last is refused."""
    frame = generate(seed=seed, lines=lines).astype(object)
    for column, mark in MARKS.items():
        frame[column] = mark + "-" + frame[column].astype(str)
    frame.loc[0, ["Fee", "Total", "Minutes"]] = [FEE, FEE, "60"]
    frame.loc[lines - 1, "Minutes"] = NO_NUMBER
    return (frame if labelled else frame.drop(columns="Error")).to_csv(index=False).encode()


def logged(workflow, since: float) -> str:
    """All that is in CloudWatch Logs since a time, metrics included: they are written there."""
    logs = workflow.cloud.client("logs")
    groups = [
        group["logGroupName"]
        for page in logs.get_paginator("describe_log_groups").paginate()
        for group in page["logGroups"]
    ]
    events = logs.get_paginator("filter_log_events")
    pages = [page for group in groups for page in events.paginate(logGroupName=group, startTime=int(since * 1000))]
    return "\n".join(event["message"] for page in pages for event in page["events"])


def states(workflow, arn: str) -> str:
    """All that Step Functions keeps of an execution: each state's input and output."""
    pages = workflow.sfn.get_paginator("get_execution_history").paginate(executionArn=arn)
    return json.dumps([event for page in pages for event in page["events"]], default=str)


@pytest.fixture
def marked_runs(workflow, no_model, no_verdicts):
    """A run of each workflow that reads what people dropped, and failed ones; with the time before them."""
    since = time.time()
    train = workflow.drop(marked(1_500, 41, labelled=True))
    score = workflow.drop(marked(600, 42, labelled=False), "invoices/marked.csv")
    rows = csv.DictReader(io.StringIO(workflow.read(score, "results/suspicious_lines.csv").decode()))
    verdicts = [f"{score.name},{row['Line']},query,{NOTE}" for row in rows]
    review = workflow.drop("\r\n".join(["Run,Line,Verdict,Note", *verdicts, ""]).encode(), "verdicts/marked.csv")
    assert [run.status for run in (train, score, review)] == ["SUCCEEDED"] * 3
    header = workflow.drop(f"{IN_HEADER},Minutes\n1,2\n".encode(), "invoices/header.csv")
    bad = generate(seed=43, lines=20).assign(Minutes=NO_NUMBER, **{"Firm Name": MARKS["Firm Name"]})
    refused = workflow.drop(bad.to_csv(index=False).encode())
    workflow.fault("InvokeEndpoint", "ModelError", 10_000, status=424)
    broken = workflow.drop(marked(600, 44, labelled=False), "invoices/broken.csv")
    workflow.no_faults()
    assert [run.status for run in (header, refused, broken)] == ["FAILED"] * 3
    return since, [train, score, review, header, refused, broken]


def test_nothing_of_the_invoices_is_logged_kept_by_states_or_put_into_a_subject(workflow, marked_runs):
    since, runs = marked_runs
    score = runs[1]
    assert b"MK7-firm" in workflow.read(score, "results/suspicious_lines.csv")
    told = logged(workflow, since)
    assert "LinesFlagged" in told
    assert all(run.name in told for run in runs[3:])  # what failed is told by its run
    kept = "\n".join(states(workflow, run.arn) for run in runs)
    mails = [mail for run in runs for group in ("reviewers", "operators") for mail in workflow.mails(run, group)]
    assert len(mails) >= len(runs)
    for place, text in {"logs": told, "states": kept, "subjects": "\n".join(mail["Subject"] for mail in mails)}.items():
        for mark in ("MK7", FEE):
            assert mark not in text, (
                f"{mark} is in the {place}: {text[max(0, text.find(mark) - 300) : text.find(mark) + 50]}"
            )
