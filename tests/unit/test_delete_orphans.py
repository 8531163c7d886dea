"""What the janitor takes for a leftover, on moto's SageMaker and S3."""

import json
from datetime import UTC, datetime

import pytest

from frames import BUCKET, ROOT
from suspicious_lines import executions, jobs, orphans, store
from suspicious_lines.candidate_messages import Candidate
from suspicious_lines.candidates import candidate_name
from suspicious_lines.errors import EndpointBusyError
from suspicious_lines.layout import resource_name

PREFIX = "suspicious-lines"


@pytest.fixture
def running(monkeypatch):
    """The runs whose executions have not ended; a test adds to it."""
    runs = set()
    monkeypatch.setattr(executions, "running", lambda machine: runs if machine.endswith("-train") else set())
    monkeypatch.setattr(orphans, "in_progress", lambda prefix, before: [])
    monkeypatch.setenv("SWEEP_MINUTES", "0")
    return runs


@pytest.fixture
def host(cloud):
    def make(name):
        sagemaker = cloud.sagemaker
        sagemaker.create_model(
            ModelName=name, ExecutionRoleArn="arn:aws:iam::000000000000:role/r", PrimaryContainer={"Image": "i"}
        )
        variant = {"VariantName": "forest", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        return name

    return make


@pytest.fixture
def clear(load_handler, context):
    event = json.loads((ROOT / "events/delete_orphans.json").read_text())
    return lambda: load_handler("delete_orphans")(event, context)


def model(run):
    name = resource_name(PREFIX, run)
    given = {"run": run, "endpoint_name": name, "max_concurrency": 1, "encoder_key": "k", "threshold": 1.0}
    return given | {"promoted_at": "2026-01-01T00:00:00+00:00"}


def live(run, *former):
    store.put_json(BUCKET, "models/current.json", model(run) | {"former": [model(name) for name in former]})


def endpoints(cloud):
    return {found["EndpointName"] for found in cloud.sagemaker.list_endpoints()["Endpoints"]}


def mails(cloud):
    found = cloud.sqs.receive_message(QueueUrl=cloud.queues["operators"], MaxNumberOfMessages=10).get("Messages", [])
    return [json.loads(message["Body"]) for message in found]


def test_only_what_nobody_needs_is_deleted_and_told(cloud, host, running, clear):
    names = {run: host(resource_name(PREFIX, run)) for run in ("live", "former", "running", "orphan")}
    others = {host(name) for name in ("suspicious-lines-dev-abc-0123456789ab", "suspicious-lines-by-hand", "another")}
    live("live", "former")
    running.add("running")
    orphan = names.pop("orphan")
    hosted = [f"{what} {orphan}" for what in ("endpoint", "endpoint configuration", "model")]
    assert clear() == {"hosted": hosted, "runs": []}
    assert endpoints(cloud) == set(names.values()) | others
    (mail,) = mails(cloud)
    assert mail["Subject"] == "Deleted: 3 leftovers"
    assert orphan in mail["Message"]
    assert clear() == {"hosted": [], "runs": []}
    assert mails(cloud) == []


def test_a_model_whose_endpoint_was_deleted_by_hand_goes_as_well(cloud, host, running, clear):
    name = host(resource_name(PREFIX, "orphan"))
    cloud.sagemaker.delete_endpoint(EndpointName=name)
    assert clear()["hosted"] == [f"endpoint configuration {name}", f"model {name}"]


def test_models_of_a_running_sweeps_candidates_stay_and_those_of_an_ended_one_go(cloud, running, clear, monkeypatch):
    """Their names are none that a run's model has."""
    sweeps = ("1f0e8a52-at-work", "9c3b7d14-ended")
    forest = Candidate(num_trees=50, num_samples_per_tree=128)
    at_work, ended = (candidate_name(PREFIX, sweep, forest) for sweep in sweeps)
    for name in (at_work, ended):
        cloud.sagemaker.create_model(ModelName=name, ExecutionRoleArn="arn:aws:iam::000000000000:role/r")
    monkeypatch.setenv("SWEEP_STATE_MACHINE_ARN", "arn:aws:states:us-east-1:000000000000:stateMachine:s-sweep")
    monkeypatch.setattr(executions, "running", lambda machine: sweeps[:1] if machine.endswith("-sweep") else [])
    assert clear() == {"hosted": [f"model {ended}"], "runs": []}
    assert [found["ModelName"] for found in cloud.sagemaker.list_models()["Models"]] == [at_work]


def test_what_is_young_is_left_alone(cloud, host, running, clear, monkeypatch):
    monkeypatch.setenv("SWEEP_MINUTES", "60")
    host(resource_name(PREFIX, "orphan"))
    assert clear() == {"hosted": [], "runs": []}


def test_an_endpoint_that_changes_is_left_for_another_time(cloud, host, running, clear, monkeypatch):
    def busy(name):
        raise EndpointBusyError(name)

    host(resource_name(PREFIX, "orphan"))
    monkeypatch.setattr(orphans, "delete_endpoint", busy)
    assert clear() == {"hosted": [], "runs": []}


def test_jobs_of_runs_that_have_ended_are_stopped(cloud, running, clear, monkeypatch):
    made = [jobs.Job(jobs.TRANSFORM, f"of-{run}", run) for run in ("running", "orphan", "live")]
    monkeypatch.setattr(orphans, "in_progress", lambda prefix, before: made)
    monkeypatch.setattr(orphans, "run_of", lambda job: job.arn)
    monkeypatch.setattr(orphans, "stop", lambda kind, name: [kind.title])
    running.add("running")
    live("live")
    assert clear()["hosted"] == ["transform job of-orphan", "transform job of-live"]


def test_what_a_try_deleted_that_broke_off_is_told_by_the_next_once(cloud, host, running, clear, monkeypatch):
    name = host(resource_name(PREFIX, "orphan"))
    with monkeypatch.context() as broken:
        broken.setattr(orphans, "publish", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            clear()
    assert endpoints(cloud) == set()
    hosted = [f"{what} {name}" for what in ("endpoint", "endpoint configuration", "model")]
    assert clear() == {"hosted": hosted, "runs": []}
    (mail,) = mails(cloud)
    assert mail["Subject"] == "Deleted: 3 leftovers"
    assert clear() == {"hosted": [], "runs": []}
    assert mails(cloud) == []


@pytest.fixture
def old(cloud, monkeypatch):
    """Files of runs that are all as old as the test says."""

    def put(*runs):
        for run in runs:
            for name in ("receipt.json", "results/metrics.json", "model/job/output/model.tar.gz"):
                store.put_json(BUCKET, f"runs/{run}/{name}", {})

        class Later(datetime):
            @classmethod
            def now(cls, zone=None):
                return datetime.now(UTC).replace(year=datetime.now(UTC).year + 2)

        monkeypatch.setattr(orphans, "datetime", Later)

    return put


def runs_left(cloud):
    return {key.split("/")[1] for key in store.keys(BUCKET, "runs/")}


def test_files_of_old_runs_are_deleted_but_for_those_of_kept_models_and_of_what_runs(cloud, old, running, clear):
    old("ancient", "former", "live", "older-than-that", "running")
    live("live", "former")
    running.add("running")
    assert clear() == {"hosted": [], "runs": ["ancient", "older-than-that"]}
    assert runs_left(cloud) == {"former", "live", "running"}
    versions = cloud.s3.list_object_versions(Bucket=BUCKET, Prefix="runs/ancient/")
    assert len(versions["Versions"]) == 3, "they can be got back for RetentionDays"
    (mail,) = mails(cloud)
    assert mail["Subject"] == "Deleted: files of 2 runs"
    assert "* ancient" in mail["Message"]
    assert clear() == {"hosted": [], "runs": []}


def test_the_package_of_an_old_run_says_that_its_files_are_gone_before_they_are(
    cloud, old, running, clear, monkeypatch
):
    said = []

    def expire(group, run, why):
        said.append((group, run, why))
        assert runs_left(cloud) >= {run}

    monkeypatch.setattr(orphans, "expire_package", expire)
    old("ancient", "live")
    live("live")
    monkeypatch.setenv("MODEL_PACKAGE_GROUP", "models")
    assert clear()["runs"] == ["ancient"]
    ((group, run, why),) = said
    assert (group, run) == ("models", "ancient")
    assert "RunRetentionDays (365)" in why


@pytest.mark.parametrize("becomes", ["live", "former", "challenger"])
def test_files_of_a_model_that_is_needed_again_since_this_began_are_kept(
    cloud, old, running, clear, monkeypatch, becomes
):
    """A person approves, goes back to or tries it while files of other runs are being deleted."""
    old("ancient", "live", "older-than-that")
    live("live")
    delete_all = store.delete_all
    now = {
        "live": model("older-than-that"),
        "former": model("live") | {"former": [model("older-than-that")]},
        "challenger": model("live")
        | {"challenger": model("older-than-that") | {"trial": "t", "kind": "ab", "share": 10, "began_at": "x"}},
    }[becomes]

    def delete(bucket, keys):
        delete_all(bucket, keys)
        store.put_json(BUCKET, "models/current.json", now)

    monkeypatch.setattr(store, "delete_all", delete)
    monkeypatch.setattr(orphans, "expire_package", lambda group, run, why: said.append(run))
    monkeypatch.setenv("MODEL_PACKAGE_GROUP", "models")
    said: list[str] = []
    assert clear() == {"hosted": [], "runs": ["ancient"]}
    assert said == ["ancient"], "the package of a model that is needed is not rejected"
    assert "older-than-that" in runs_left(cloud)


def test_young_runs_are_kept_and_with_zero_all_are(cloud, old, running, clear, monkeypatch):
    store.put_json(BUCKET, "runs/young/receipt.json", {})
    assert clear() == {"hosted": [], "runs": []}
    old("ancient")
    monkeypatch.setenv("RUN_RETENTION_DAYS", "0")
    assert clear() == {"hosted": [], "runs": []}


def test_what_there_is_no_time_for_is_left_for_the_next_day(cloud, old, host, running, clear, monkeypatch):
    old("ancient")
    host(resource_name(PREFIX, "orphan"))
    monkeypatch.setattr(orphans, "WORK_SECONDS", -1)
    assert clear() == {"hosted": [], "runs": []}
    assert runs_left(cloud) == {"ancient"}


def test_files_are_deleted_a_thousand_a_request_and_a_refusal_is_an_error(cloud, monkeypatch):
    keys = [f"runs/r/{number:04d}" for number in range(1001)]
    for key in keys[:2] + keys[-1:]:
        store.put_json(BUCKET, key, {})
    store.delete_all(BUCKET, keys)
    assert store.keys(BUCKET, "runs/") == []
    refusing = type("S3", (), {"delete_objects": lambda *_, **__: {"Errors": [{"Code": "AccessDenied", "Key": "k"}]}})
    monkeypatch.setattr(store, "client", lambda service: refusing())
    with pytest.raises(Exception, match="AccessDenied"):
        store.delete_all(BUCKET, ["k"])
