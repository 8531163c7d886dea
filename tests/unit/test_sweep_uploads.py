"""Each upload that a sweep can find, and what it does about it; Step Functions and ReportFailure are stood in for."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from frames import BUCKET, ROOT
from suspicious_lines import claims, executions, store, sweeping
from suspicious_lines.messages import FailureReport, Upload
from suspicious_lines.parking import note_key
from suspicious_lines.upkeep_messages import Swept

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = ["incoming/a+b%2B c#d?e=f&\u00e9.csv", "invoices/" + "\u00fc" * 505 + "a.csv", "verdicts/\u202e\t.CSV"]


class Sweeper:
    """Sweeps, and says what was started and reported; executions are what a test says they are."""

    def __init__(self, handler, context):
        self._handler, self._context = handler, context
        self.started, self.reported, self.executions = [], [], {}

    def __call__(self) -> Swept:
        event = json.loads((ROOT / "events/sweep_uploads.json").read_text())
        return msgspec.convert(self._handler(event, self._context), Swept)

    def ended(self, run, status, at=LONG_AGO):
        stop = {} if status == "RUNNING" else {"stopDate": at}
        self.executions[run] = {"name": run, "executionArn": f"arn:{run}", "status": status, **stop}


@pytest.fixture
def sweep(cloud, load_handler, context, monkeypatch):
    monkeypatch.setenv("SWEEP_MINUTES", "0")
    sweeper = Sweeper(load_handler("sweep_uploads"), context)
    start = lambda machine, upload: sweeper.started.append((machine.rpartition("-")[2], upload))  # noqa: E731
    monkeypatch.setattr(executions, "start", start)
    monkeypatch.setattr(executions, "find", lambda machine, run: sweeper.executions.get(run))
    monkeypatch.setattr(executions, "report_end", lambda arn, found: sweeper.reported.append(found["name"]))
    return sweeper


@pytest.fixture
def drop(cloud):
    def put(key="incoming/x.csv", body=b"x"):
        answer = cloud.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        etag, version = answer["ETag"].strip('"'), answer["VersionId"]
        return Upload(bucket=BUCKET, key=key, etag=etag, size=len(body), version_id=version)

    return put


def mails(cloud, topic):
    found = cloud.sqs.receive_message(QueueUrl=cloud.queues[topic], MaxNumberOfMessages=10).get("Messages", [])
    return [json.loads(message["Body"]) for message in found]


def machine_of(key):
    return {"incoming": "train", "invoices": "score", "verdicts": "review"}[key.split("/")[0]]


@pytest.mark.parametrize("key", KEYS)
def test_an_upload_that_nothing_claimed_is_started_as_its_event_would_have(sweep, drop, key):
    upload = drop(key)
    assert sweep() == Swept(started=1)
    ((machine, started),) = sweep.started
    assert (machine, started) == (machine_of(key), upload)
    assert Upload.from_detail(json.loads(json.dumps(started.as_detail()))) == upload


def test_an_overwritten_version_is_an_upload_as_well(sweep, drop):
    uploads = [drop(body=b"first"), drop(body=b"second")]
    assert sweep() == Swept(started=2)
    assert sorted(upload.size for _, upload in sweep.started) == sorted(upload.size for upload in uploads)


def test_what_was_deleted_meanwhile_is_left_alone(sweep, drop, cloud):
    drop()
    cloud.s3.delete_object(Bucket=BUCKET, Key="incoming/x.csv")
    assert sweep() == Swept()
    upload = drop(body=b"again")
    assert sweep() == Swept(started=1)
    assert sweep.started == [("train", upload)]


def test_a_young_upload_is_left_alone(drop, cloud, load_handler, context, monkeypatch):
    monkeypatch.setattr(executions, "start", None)
    drop()
    assert load_handler("sweep_uploads")({"run": "r"}, context) == msgspec.to_builtins(Swept())


def test_an_upload_beyond_the_horizon_is_left_alone(sweep, drop, monkeypatch):
    drop()
    monkeypatch.setattr(sweeping, "HORIZON", timedelta(seconds=-60))
    assert sweep() == Swept()


def test_folder_markers_are_left_alone(sweep, drop):
    drop("incoming/2026/", b"")
    drop("incoming/", b"")
    assert sweep() == Swept()


def test_what_still_runs_is_left_alone(sweep, drop):
    claims.claim("claims", drop(), "run")
    sweep.ended("run", "RUNNING")
    assert sweep() == Swept()


def test_a_run_that_has_just_ended_is_left_to_the_rule(sweep, drop):
    claims.claim("claims", drop(), "run")
    sweep.ended("run", "FAILED", datetime.now(UTC) + timedelta(minutes=1))
    assert sweep() == Swept()


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED"])
@pytest.mark.parametrize("released", [True, False])
def test_a_receipt_is_an_end_and_is_looked_for_once(sweep, drop, monkeypatch, status, released):
    upload = drop()
    claims.claim("claims", upload, "run")
    if released:
        claims.release("claims", upload, "run")
    sweep.ended("run", status)
    store.put_json(BUCKET, "runs/run/receipt.json", {})
    assert sweep() == Swept()
    monkeypatch.setattr(store, "exists", None)
    assert sweep() == Swept()


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED"])
@pytest.mark.parametrize("released", [True, False])
def test_the_end_of_a_run_that_nobody_was_told_of_is_reported(sweep, drop, status, released):
    upload = drop()
    claims.claim("claims", upload, "run")
    if released:
        claims.release("claims", upload, "run")
    sweep.ended("run", status)
    assert sweep() == Swept(reported=1)
    assert (sweep.reported, sweep.started) == (["run"], [])


def test_a_run_without_a_receipt_that_ended_well_is_an_end(sweep, drop):
    claims.claim("claims", drop(), "run")
    sweep.ended("run", "SUCCEEDED")
    assert sweep() == Swept()


def test_a_parked_upload_waits_for_a_model_and_is_started_if_its_note_is_gone(sweep, drop):
    upload = drop("invoices/x.csv")
    claims.claim("claims", upload, "run")
    claims.release("claims", upload, "run")
    sweep.ended("run", "SUCCEEDED")
    store.put_json(BUCKET, note_key(upload), upload.as_detail())
    assert sweep() == Swept()
    store.delete(BUCKET, note_key(upload))
    assert sweep() == Swept(started=1)


@pytest.mark.parametrize(
    ("then", "now", "waits"),
    [("claims", "claims,deals", True), ("claims", "", False), ("claims", "deals", False), ("", "claims", False)],
)
def test_a_parked_upload_waits_for_a_model_of_the_family_that_it_is_of_now(
    drop, monkeypatch, request, then, now, waits
):
    monkeypatch.setenv("FAMILIES", now)
    sweep = request.getfixturevalue("sweep")  # which reads it
    upload = drop("invoices/claims/x.csv")
    claims.claim("claims", upload, "run")
    claims.release("claims", upload, "run")
    sweep.ended("run", "SUCCEEDED")
    store.put_json(BUCKET, note_key(upload, then), upload.as_detail())
    assert sweep() == Swept(started=0 if waits else 1)
    store.put_json(BUCKET, note_key(upload, "claims" if "claims" in now else ""), upload.as_detail())
    assert sweep() == Swept(), "it waits again, and is not started at every sweep"


def test_a_claim_of_a_run_that_nobody_knows_is_given_back(sweep, drop):
    upload = drop()
    claims.claim("claims", upload, "nobody")
    assert sweep() == Swept(started=1)
    assert claims.claim("claims", upload, "run")


def test_an_upload_is_tried_three_times_and_then_told_of_once(sweep, drop, cloud):
    upload = drop()
    assert [sweep() for _ in range(3)] == [Swept(started=1)] * 3
    assert mails(cloud, "operators") == []
    assert sweep() == sweep() == Swept(stuck=1)
    (mail,) = mails(cloud, "operators")
    assert mail["Subject"] == "Stuck: 1 upload"
    assert upload.key in mail["Message"]
    assert mails(cloud, "reviewers") == []


def test_tries_are_spread_out(drop, cloud, load_handler, context, monkeypatch):
    upload = drop()
    claims.note_try("claims", upload, 1)
    monkeypatch.setattr(executions, "start", None)
    monkeypatch.setattr(store, "dropped", lambda bucket, prefix, since: [(upload, LONG_AGO)] * (prefix == "incoming/"))
    assert load_handler("sweep_uploads")({"run": "r"}, context) == msgspec.to_builtins(Swept())


def test_stuck_uploads_are_counted_for_the_alarm(sweep, drop, capsys):
    drop()
    for _ in range(3):
        sweep()
    assert "UploadsStuck" not in capsys.readouterr().out
    sweep()
    assert '"UploadsStuck":[1.0]' in capsys.readouterr().out


def test_what_a_sweep_told_that_broke_off_is_not_told_again(sweep, drop, cloud, monkeypatch):
    drop("incoming/activities.xlsx")
    with monkeypatch.context() as broken:
        broken.setattr(claims, "note_told", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            sweep()
    assert sweep() == Swept(untaken=1)
    assert [len(mails(cloud, topic)) for topic in ("reviewers", "operators")] == [1, 1]
    drop("incoming/activities.xlsx")  # another version of it
    sweep()
    assert [len(mails(cloud, topic)) for topic in ("reviewers", "operators")] == [1, 1]


@pytest.mark.parametrize("key", ["incoming/activities.xlsx", "invoices/a.csv.gz", "verdicts/v.txt", "incoming/a.Csv"])
def test_people_are_told_once_of_a_file_that_no_workflow_takes(sweep, drop, cloud, key):
    drop(key)
    assert sweep() == sweep() == Swept(untaken=1)
    for topic in ("reviewers", "operators"):
        (mail,) = mails(cloud, topic)
        assert mail["Subject"] == "Nothing reads 1 dropped file"
        assert f"* {key}" in mail["Message"]
        assert "must end in .csv" in mail["Message"]


def test_many_files_make_one_mail_of_bounded_length(sweep, drop, cloud):
    for number in range(sweeping.LISTED + 2):
        drop(f"incoming/{number}.xlsx")
    sweep()
    (mail,) = mails(cloud, "reviewers")
    assert mail["Message"].count("* incoming/") == sweeping.LISTED
    assert "and 2 more" in mail["Message"]


def test_a_sweep_that_runs_out_of_time_leaves_the_rest_to_the_next(sweep, drop, monkeypatch):
    drop()
    monkeypatch.setattr(sweeping, "WORK_SECONDS", -1)
    assert sweep() == Swept()


def test_the_end_is_handed_over_as_the_rule_hands_it(monkeypatch):
    sent = {}
    monkeypatch.setattr(
        executions, "client", lambda service: type("Lambda", (), {"invoke": lambda _, **kw: sent.update(kw)})()
    )
    ended = {"name": "run", "executionArn": "a", "status": "FAILED", "input": "{}", "error": "E"}
    executions.report_end("arn", ended | {"startDate": datetime(2026, 11, 24, tzinfo=UTC)})
    assert sent["InvocationType"] == "Event"
    said = json.loads(sent["Payload"])
    assert said == ended | {"cause": None, "startDate": "2026-11-24T00:00:00+00:00"}
    assert msgspec.convert(said, FailureReport).run == "run"


def test_keys_come_out_of_the_listing_as_they_are(cloud):
    for key in KEYS:
        cloud.s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    found = [
        upload.key
        for prefix in ("incoming/", "invoices/", "verdicts/")
        for upload, _ in store.dropped(BUCKET, prefix, LONG_AGO)
    ]
    assert found == KEYS
