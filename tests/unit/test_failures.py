import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from frames import BUCKET
from suspicious_lines import failures, jobs, promotion, store
from suspicious_lines.claims import claim
from suspicious_lines.hosting_modes import mode_of
from suspicious_lines.messages import FailureReport, Upload
from suspicious_lines.receipts import Receipt, Timings
from suspicious_lines.settings import FailureSettings

DETAIL = {
    "bucket": {"name": BUCKET},
    "object": {"key": "incoming/x.csv", "etag": "e", "size": 1, "version-id": "v"},
}
UPLOAD = Upload.from_detail(DETAIL)
STARTED_MS = 1_767_311_999_999  # 2026-01-01T23:59:59.999Z, as Step Functions' event has it


@pytest.fixture
def deleted(monkeypatch):
    names = []
    now = datetime(2026, 1, 1, tzinfo=UTC)
    timings = Timings(started_at=now, seconds=1.0, states={"Preprocess": 1.0}, transitions=2)
    monkeypatch.setattr(failures, "read_timings", lambda arn: timings)
    monkeypatch.setattr(failures, "delete_endpoint", lambda name: names.append(name) or ["endpoint"])
    monkeypatch.setattr(failures, "stop", lambda kind, name: [])
    monkeypatch.setattr(failures, "settle", lambda name, seconds: None)
    monkeypatch.setattr(promotion, "exists", lambda name: False)
    monkeypatch.setattr(failures, "training_seconds", lambda name: 0)
    return names


def report(error="AwsRefusedError", cause='{"errorMessage": "no permission"}', status="FAILED", key="incoming/x.csv"):
    given = {"name": "run", "executionArn": "arn", "status": status, "error": error, "cause": cause}
    given["startDate"] = STARTED_MS
    given["input"] = json.dumps(DETAIL | {"object": DETAIL["object"] | {"key": key}})
    return failures.report_failure(msgspec.convert(given, FailureReport), FailureSettings.from_environment())


def messages(cloud, topic):
    found = cloud.sqs.receive_message(QueueUrl=cloud.queues[topic], MaxNumberOfMessages=10).get("Messages", [])
    return [json.loads(message["Body"]) for message in found]


def test_a_failure_cleans_up_releases_the_claim_and_tells_operators(cloud, deleted):
    claim("claims", UPLOAD, "run")
    assert report().cause == "no permission"
    assert len(deleted) == 1
    assert claim("claims", UPLOAD, "another-run")
    (message,) = messages(cloud, "operators")
    assert message["Subject"] == "Run failed: AwsRefusedError on incoming/x.csv"
    assert "no permission" in message["Message"]
    assert messages(cloud, "reviewers") == []
    receipt = msgspec.json.decode(store.get_bytes(BUCKET, "runs/run/receipt.json"), type=Receipt)
    assert (receipt.status, receipt.deleted, receipt.input) == ("FAILED", ["endpoint"], UPLOAD)


def test_a_bad_file_is_told_to_those_who_drop_files_too_and_stays_claimed(cloud, deleted):
    claim("claims", UPLOAD, "run")
    report("InvalidUploadError", '{"errorMessage": "incoming/x.csv, line 3, column Fee: is empty. Mend it."}')
    (message,) = messages(cloud, "reviewers")
    assert message["Subject"] == "Please mend and drop again: incoming/x.csv"
    assert "line 3, column Fee" in message["Message"]
    assert not claim("claims", UPLOAD, "another-run")
    assert len(messages(cloud, "operators")) == 1


def test_a_failure_is_reported_once(cloud, deleted):
    first, again = report(), report()
    assert (first.error, first.cause) == (again.error, again.cause)
    assert again.estimated_cost is None, "the cost was counted before"
    assert len(messages(cloud, "operators")) == 1
    # What a redriven run left is cleaned up all the same.
    assert len(deleted) == 2


def test_what_a_failed_run_captured_is_taken_away_at_every_report(cloud, deleted):
    kept = ["scored/dt=2026-01-01/another.parquet", "scored/dt=2026-01-02/run.parquet"]
    for _ in range(2):  # a late answer of FlagLines may have captured them again
        for key in ["scored/dt=2026-01-01/run.parquet", *kept]:
            store.put(BUCKET, key, b"", "application/vnd.apache.parquet")
        report()
        assert store.keys(BUCKET, "scored/") == kept


@pytest.mark.parametrize("late", ["before the report", "while the report looks"])
def test_a_failed_runs_model_is_deleted_or_live_and_never_both(cloud, deleted, monkeypatch, late):
    """A promotion that is under way when its run is aborted: `late` is when its write arrives."""
    live = {"run": "another", "endpoint_name": "x", "max_concurrency": 1, "encoder_key": "x", "threshold": 1.0}
    store.put_json(BUCKET, "models/current.json", live | {"promoted_at": "2026-01-01T00:00:00+00:00"})
    looks = []

    def promote() -> None:
        store.put_json(BUCKET, "models/current.json", {"run": "run", "former": [live]})

    def exists(name: str) -> bool:
        if late == "while the report looks" and not looks:
            promote()
        looks.append(name)
        return True

    monkeypatch.setattr(promotion, "exists", exists)
    if late == "before the report":
        promote()
    report()
    assert deleted == []
    assert json.loads(store.get_bytes(BUCKET, "models/current.json"))["run"] == "run"


def test_a_failed_runs_model_is_noted_before_its_endpoint_is_deleted(cloud, deleted, monkeypatch):
    store.put_json(BUCKET, "models/current.json", {"run": "another"})
    monkeypatch.setattr(promotion, "exists", lambda name: True)
    for _ in range(2):
        report()
        assert json.loads(store.get_bytes(BUCKET, "models/current.json")) == {"run": "another", "withdrawn": ["run"]}
    assert len(deleted) == 2


def test_an_aborted_run_has_no_error_of_its_own(cloud, deleted):
    assert report(None, None, "ABORTED").error == "ABORTED"
    assert msgspec.json.decode(store.get_bytes(BUCKET, "runs/run/receipt.json"), type=Receipt).status == "ABORTED"


def test_a_live_model_is_no_leftover(cloud, deleted):
    store.put_json(BUCKET, "models/current.json", {"run": "run"})
    report()
    assert deleted == []


@pytest.mark.parametrize(("listed", "cleaned"), [("former", 0), ("dropped", 1)])
def test_a_former_model_that_is_kept_is_no_leftover_either(cloud, deleted, listed, cleaned):
    store.put_json(BUCKET, "models/current.json", {"run": "another", listed: [{"run": "run"}]})
    report()
    assert len(deleted) == cleaned


# The first: claims was made a family after the run had begun.
@pytest.mark.parametrize("live", ["models/current.json", "models/claims/current.json"])
def test_a_live_model_is_no_leftover_whatever_family_the_run_began_as(cloud, deleted, monkeypatch, live):
    monkeypatch.setenv("FAMILIES", "claims,deals")
    store.put_json(BUCKET, live, {"run": "run"})
    report(key="incoming/claims/x.csv")
    assert deleted == []


@pytest.mark.parametrize(
    ("families", "left"), [("", ["real-time", "serverless"]), ("claims", ["multi-model", "real-time", "serverless"])]
)
def test_what_a_run_left_is_looked_for_by_each_name_that_it_may_have(cloud, deleted, monkeypatch, families, left):
    monkeypatch.setenv("FAMILIES", families)
    monkeypatch.setenv("HOSTING_MODE", "real-time")
    report(key="incoming/claims/x.csv")
    assert sorted(mode_of(name).name for name in deleted) == left


def test_the_jobs_of_a_large_file_are_stopped_and_paid_for(cloud, deleted, monkeypatch):
    stopped = []
    at = datetime(2026, 1, 1, tzinfo=UTC)

    class SageMaker:
        def describe_processing_job(self, ProcessingJobName):
            times = {"ProcessingStartTime": at, "ProcessingEndTime": at + timedelta(seconds=3600)}
            return {"ProcessingJobName": ProcessingJobName, "ProcessingJobStatus": "Completed", **times}

        def describe_transform_job(self, TransformJobName):
            status = {"TransformJobStatus": "InProgress", "TransformStartTime": at}
            return {"TransformJobName": TransformJobName, **status}

        def stop_transform_job(self, TransformJobName):
            stopped.append(TransformJobName)

    monkeypatch.setattr(jobs, "client", lambda name: SageMaker())
    store.put_json(BUCKET, "runs/run/preprocessing/request.json", {"job_name": "reads"})
    store.put_json(BUCKET, "runs/run/transform.json", {"job_name": "scores"})
    # The run's model may be live all the same.
    store.put_json(BUCKET, "models/current.json", {"run": "run"})
    report()
    assert stopped == ["scores"]
    receipt = msgspec.json.decode(store.get_bytes(BUCKET, "runs/run/receipt.json"), type=Receipt)
    assert receipt.deleted == ["transform job"]
    assert receipt.estimated_cost.batch == pytest.approx(0.23)


def test_a_job_that_was_noted_and_never_started_is_no_leftover(cloud, deleted):
    store.put_json(BUCKET, "runs/run/preprocessing/request.json", {"job_name": "nobody"})
    report()
    receipt = msgspec.json.decode(store.get_bytes(BUCKET, "runs/run/receipt.json"), type=Receipt)
    assert receipt.deleted == ["endpoint"]
