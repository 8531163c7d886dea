"""Decisions in the model registry: what is read of them, and what becomes of the live model."""

import json

import msgspec
import pytest

from frames import BUCKET, ROOT
from suspicious_lines import approving, promotion, restoring, store
from suspicious_lines.errors import NoFormerModelError, NoLiveModelError, PackageUnusableError, RunEndedError
from suspicious_lines.layout import RunFiles, resource_name
from suspicious_lines.model_messages import LiveModel, ModelVersion, RestoreRequest
from suspicious_lines.model_settings import RestoreSettings
from suspicious_lines.promotion import live_model, withdraw
from suspicious_lines.restoring import restore_model

ARN = "arn:aws:sagemaker:us-east-1:000000000000:model-package/suspicious-lines-models/1"
MADE = {"endpoint_name": "made-for-the-approval", "max_concurrency": 7}


def version(run, threshold=1.0):
    return ModelVersion(
        run=run,
        endpoint_name=f"endpoint-{run}",
        max_concurrency=5,
        encoder_key=RunFiles(run).encoder,
        threshold=threshold,
        promoted_at="2026-11-01T00:00:00+00:00",
    )


@pytest.fixture
def package(monkeypatch):
    """The registry's package; a test changes it."""
    described = {"ModelPackageArn": ARN, "ModelPackageDescription": "Run x", "ModelApprovalStatus": "Approved"}
    described["ApprovalDescription"] = "looks right to me"
    client = type("SageMaker", (), {"describe_model_package": lambda self, ModelPackageName: dict(described)})()
    monkeypatch.setattr(approving, "client", lambda service: client)
    return described


@pytest.fixture
def gone(monkeypatch):
    """Endpoints that cannot score, those that were deleted included."""
    names = set()
    for module in (approving, promotion, restoring):
        monkeypatch.setattr(module, "can_score", lambda name: name not in names)
    monkeypatch.setattr(approving, "delete_endpoint", lambda name: names.add(name))
    return names


@pytest.fixture
def live(cloud, package, gone):
    """c is live, b was before it, z is dropped; x was refused."""
    document = LiveModel(
        **msgspec.to_builtins(version("c", 3.0)), former=[version("b", 2.0)], dropped=[version("z", 9.0)]
    )
    store.put_json(BUCKET, "models/current.json", document)
    for run in ("b", "c", "x", "z"):
        files = RunFiles(run)
        store.put_json(BUCKET, files.result("metrics.json"), {"threshold": {"value": 1.5, "strategy": "budget"}})
        for key in (files.encoder, files.result("scored_lines.parquet")):
            store.put(BUCKET, key, b"x", "x")
    return document


@pytest.fixture
def call(load_handler, context, live, monkeypatch, package):
    """Calls a function of the machine about the model of a run, as execution `run`."""

    def send(function, model_run, execution="e", endpoint=MADE, **more):
        package["ModelPackageDescription"] = f"Run {model_run}"
        event = json.loads((ROOT / "events" / f"{function}.json").read_text()) | {"run": execution, "package": ARN}
        event |= more
        if "model_run" in event:
            event["model_run"] = model_run
        if "endpoint" in event:
            event["endpoint"] = endpoint
        return load_handler(function)(event, context)

    return send


def told(cloud):
    found = cloud.sqs.receive_message(QueueUrl=cloud.queues["operators"], MaxNumberOfMessages=10).get("Messages", [])
    return [json.loads(message["Body"]) for message in found]


def test_what_was_decided_is_read_with_what_must_be_done_for_it(call, gone, package):
    job = resource_name("suspicious-lines", "x")
    assert call("read_approval", "x") == {
        "status": "Approved", "model_run": "x", "family": "", "job_name": job, "is_live": False, "endpoint": None,
    }  # fmt: skip
    assert call("read_approval", "b")["endpoint"] == {"endpoint_name": "endpoint-b", "max_concurrency": 5}
    assert call("read_approval", "z")["endpoint"] is None, "another execution may be deleting it"
    gone.add("endpoint-b")
    assert call("read_approval", "b")["endpoint"] is None
    assert call("read_approval", "c")["is_live"] is True
    package["ModelApprovalStatus"] = "Rejected"
    assert call("read_approval", "x")["status"] == "Rejected"


@pytest.mark.parametrize("name", ["encoder.json", "results/metrics.json", "results/scored_lines.parquet"])
def test_a_model_whose_files_are_gone_is_not_deployed_but_can_be_rejected(call, package, name):
    store.delete(BUCKET, f"runs/x/{name}")
    with pytest.raises(PackageUnusableError, match=f"runs/x/{name} is not there any more"):
        call("read_approval", "x")
    package["ModelApprovalStatus"] = "Rejected"
    assert call("read_approval", "x")["status"] == "Rejected"


def test_an_approved_model_goes_live_with_the_threshold_of_its_training(cloud, call, gone):
    assert call("approve_model", "x") == {"live_run": "x"}
    now = live_model(BUCKET)
    assert (now.run, now.endpoint_name, now.max_concurrency, now.threshold) == ("x", MADE["endpoint_name"], 7, 1.5)
    assert now.encoder_key == "runs/x/encoder.json"
    assert [former.run for former in now.former] == ["c"]
    assert [dropped.run for dropped in now.dropped] == ["b", "z"]
    assert gone == {"endpoint-b", "endpoint-z"}
    change = now.history[0]
    assert (change.what, change.run, change.replaced, change.execution) == ("approved", "x", "c", "e")
    assert change.reason == "looks right to me"
    (message,) = told(cloud)
    assert message["Subject"] == "Approved model is live"
    assert "The model of run x is live, in place of that of run c." in message["Message"]
    assert "looks right to me" in message["Message"]
    call("approve_model", "x")
    assert live_model(BUCKET) == now
    assert told(cloud) == []


def test_a_former_model_keeps_what_its_endpoint_runs_on(call, live):
    former = msgspec.structs.replace(version("b", 2.0), beside=["another-forest"])
    store.put_json(BUCKET, "models/current.json", msgspec.structs.replace(live, former=[former]))
    call("approve_model", "b", endpoint=MADE | {"endpoint_name": "endpoint-b"})
    assert live_model(BUCKET).beside == ["another-forest"]


def test_what_cannot_scale_does_not_go_live(call, live, monkeypatch):
    def refused(name, settings):
        assert (name, settings.endpoint_max_instances) == (MADE["endpoint_name"], 2)
        assert live_model(BUCKET) == live
        raise ConnectionError("no target")

    monkeypatch.setattr(approving, "start_scaling", refused)
    with pytest.raises(ConnectionError, match="no target"):
        call("approve_model", "x")
    assert live_model(BUCKET) == live


def test_what_does_not_go_live_does_not_begin_to_scale(call, package, monkeypatch):
    monkeypatch.setattr(approving, "start_scaling", lambda name, settings: pytest.fail(f"{name} scales"))
    call("approve_model", "c")
    package["ModelApprovalStatus"] = "Rejected"
    call("approve_model", "x")


def test_a_kept_model_serves_again_from_its_endpoint_with_its_threshold(call, gone):
    endpoint = call("read_approval", "b")["endpoint"]
    call("approve_model", "b", endpoint=endpoint)
    now = live_model(BUCKET)
    assert (now.run, now.endpoint_name, now.threshold) == ("b", "endpoint-b", 2.0)
    assert [former.run for former in now.former] == ["c"]
    assert gone == {"endpoint-z"}


def test_a_dropped_model_keeps_the_threshold_that_it_had(call):
    call("approve_model", "z")
    assert (live_model(BUCKET).threshold, live_model(BUCKET).endpoint_name) == (9.0, MADE["endpoint_name"])


def test_a_second_event_about_an_approval_leaves_no_endpoint(cloud, call, gone):
    call("approve_model", "x", "e1")
    assert call("approve_model", "x", "e2", MADE | {"endpoint_name": "made-by-the-second"}) == {"live_run": "x"}
    assert "made-by-the-second" in gone
    assert MADE["endpoint_name"] not in gone
    assert len(told(cloud)) == 1
    call("approve_model", "z", "e3", MADE | {"endpoint_name": "of-z"})
    assert call("approve_model", "x", "e1") == {"live_run": "z"}, "a retry does not take back what came after it"
    assert MADE["endpoint_name"] not in gone, "x is kept to go back to"


@pytest.mark.parametrize("status", ["Rejected", "PendingManualApproval"])
def test_an_approval_that_was_taken_back_meanwhile_changes_nothing(cloud, call, live, package, gone, status):
    package["ModelApprovalStatus"] = status
    assert call("approve_model", "x") == {"live_run": "c"}
    assert live_model(BUCKET) == live
    assert gone >= {MADE["endpoint_name"]}
    assert told(cloud) == []


def test_an_approval_that_was_reported_as_failed_does_not_go_live(call, live, gone, monkeypatch):
    monkeypatch.setattr(promotion, "exists", lambda name: True)
    assert withdraw(BUCKET, "e", [MADE["endpoint_name"]]) is True
    with pytest.raises(RunEndedError):
        call("approve_model", "x")
    gone.add("another")
    with pytest.raises(RunEndedError):
        call("approve_model", "x", "e2", MADE | {"endpoint_name": "another"})
    assert live_model(BUCKET).run == "c"


def test_the_endpoint_of_an_approval_that_went_live_is_not_withdrawn(call):
    call("approve_model", "x")
    assert withdraw(BUCKET, "e", [MADE["endpoint_name"]]) is False
    call("approve_model", "z", "e2", MADE | {"endpoint_name": "of-z"})
    assert withdraw(BUCKET, "e", [MADE["endpoint_name"]]) is False, "it is kept to go back to"


def test_where_nothing_is_live_nothing_can_be_approved(call):
    store.delete(BUCKET, "models/current.json")
    with pytest.raises(NoLiveModelError):
        call("approve_model", "x")


def test_a_rejected_model_is_barred_from_rollbacks_until_it_is_approved(cloud, call, package):
    package["ModelApprovalStatus"] = "Rejected"
    assert call("reject_model", "b") == {"live_run": "c"}
    assert live_model(BUCKET).rejected == ["b"]
    assert told(cloud) == []
    for order in ({"run": "b"}, {}):
        request = msgspec.convert({"run": "rollback", "order": order}, RestoreRequest)
        with pytest.raises(NoFormerModelError) as refused:
            restore_model(request, RestoreSettings.from_environment())
        assert ("was rejected in the registry" in str(refused.value)) == bool(order)
    package["ModelApprovalStatus"] = "Approved"
    call("approve_model", "b", "e2", {"endpoint_name": "endpoint-b", "max_concurrency": 5})
    assert (live_model(BUCKET).run, live_model(BUCKET).rejected) == ("b", [])


def test_a_rejected_live_model_makes_room_for_the_newest_former_one(cloud, call, package):
    package["ModelApprovalStatus"] = "Rejected"
    assert call("reject_model", "c") == {"live_run": "b"}
    now = live_model(BUCKET)
    assert (now.run, now.threshold, now.rejected) == ("b", 2.0, ["c"])
    assert [former.run for former in now.former] == ["c"], "files that began with it end with it"
    assert (now.history[0].what, now.history[0].reason) == ("rejected", "looks right to me")
    (message,) = told(cloud)
    assert message["Subject"] == "Rejected model is not live any more"
    assert "The model of run c was rejected. That of run b is live again in its place." in message["Message"]
    call("reject_model", "c")
    assert live_model(BUCKET) == now
    assert told(cloud) == []


def test_a_rejected_live_model_stays_where_there_is_no_other_and_people_are_told(cloud, call, package, gone):
    package["ModelApprovalStatus"] = "Rejected"
    gone.add("endpoint-b")
    assert call("reject_model", "c") == {"live_run": "c"}
    assert live_model(BUCKET).rejected == ["c"]
    (message,) = told(cloud)
    assert message["Subject"] == "Rejected model is still live"


def test_a_live_model_that_was_rejected_and_is_approved_again_is_not_barred_any_more(cloud, call, package, gone):
    gone.add("endpoint-b")
    package["ModelApprovalStatus"] = "Rejected"
    call("reject_model", "c")
    package["ModelApprovalStatus"] = "Approved"
    read = call("read_approval", "c")
    assert (read["is_live"], read["endpoint"]["endpoint_name"]) == (False, "endpoint-c")
    assert call("approve_model", "c", "e2", read["endpoint"]) == {"live_run": "c"}
    assert live_model(BUCKET).rejected == []
    assert call("read_approval", "c")["is_live"] is True
    assert [message["Subject"] for message in told(cloud)] == ["Rejected model is still live"]


def test_a_rejection_that_was_taken_back_changes_nothing(call, live):
    assert call("reject_model", "c") == {"live_run": "c"}
    assert live_model(BUCKET) == live


def test_where_nothing_is_live_nothing_is_barred(call, package):
    store.delete(BUCKET, "models/current.json")
    package["ModelApprovalStatus"] = "Rejected"
    assert call("reject_model", "x") == {"live_run": None}


def test_a_familys_package_is_decided_on_for_that_family(call, live, package, gone):
    of_claims = LiveModel(**msgspec.to_builtins(version("old")), former=[version("kept", 4.0)])
    store.put_json(BUCKET, "models/claims/current.json", of_claims)
    package["CustomerMetadataProperties"] = {"family": "claims"}
    assert call("read_approval", "x")["family"] == "claims"
    assert call("approve_model", "x", family="claims") == {"live_run": "x"}
    assert (live_model(BUCKET, "claims").run, live_model(BUCKET)) == ("x", live)
    package["ModelApprovalStatus"] = "Rejected"
    assert call("reject_model", "x", execution="r", family="claims") == {"live_run": "old"}
    assert (live_model(BUCKET, "claims").rejected, live_model(BUCKET)) == (["x"], live)
