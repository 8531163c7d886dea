"""The custom resource: it deletes only with the stack, and answers CloudFormation whatever happens."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from frames import ROOT
from suspicious_lines import stack_deletion
from suspicious_lines.jobs import TRAINING, Job
from suspicious_lines.layout import is_resource_name, resource_name


@pytest.fixture
def change(load_handler, context, monkeypatch):
    """Sends a request to the handler; returns its answer to CloudFormation. `status` is that of the stack."""
    monkeypatch.setenv("POLL_SECONDS", "1")
    sent = []

    def urlopen(request, timeout):
        assert request.get_method() == "PUT"
        assert request.get_header("Content-type") == ""
        sent.append((request.full_url, json.loads(request.data)))
        return SimpleNamespace(close=lambda: None)

    def send(kind, status="DELETE_IN_PROGRESS", **properties):
        described = {"Stacks": [{"StackStatus": status}]}
        cloudformation = SimpleNamespace(describe_stacks=lambda StackName: described)
        monkeypatch.setattr(stack_deletion, "client", lambda service: cloudformation)
        monkeypatch.setattr(stack_deletion.urllib.request, "urlopen", urlopen)
        event = json.loads((ROOT / "events/delete_hosted.json").read_text()) | {"RequestType": kind}
        event["ResourceProperties"] = {"ServiceToken": "arn", "ServiceTimeout": 960} | properties
        answer = load_handler("delete_hosted")(event, context)
        url, document = sent[-1]
        assert url == event["ResponseURL"]
        for name in ("StackId", "RequestId", "LogicalResourceId"):
            assert document[name] == event[name]
        assert (document["Status"], document["Reason"]) == (answer["status"], answer["reason"])
        stands_for = {"ModelPackageGroupName": "packages", "ExperimentName": "experiment"}
        what = next((stands_for[name] for name in properties), "hosted")
        assert document["PhysicalResourceId"] == f"suspicious-lines-{what}"
        return answer

    return send


@pytest.fixture
def hosted(monkeypatch):
    """Names of endpoints that are there, and of jobs at work; what is deleted goes from them."""
    there = SimpleNamespace(names={"a", "b"}, jobs={Job(TRAINING, "j", "arn")}, busy=set(), looks=0)

    def names_hosted(prefix, before):
        there.looks += 1
        assert before <= datetime.now(UTC)
        return {name: [f"model {name}"] for name in there.names}

    monkeypatch.setattr(stack_deletion, "names_hosted", names_hosted)
    monkeypatch.setattr(stack_deletion, "in_progress", lambda prefix, before: list(there.jobs))
    monkeypatch.setattr(stack_deletion, "deleted", lambda name: name in there.busy or there.names.discard(name))
    monkeypatch.setattr(stack_deletion, "stop", lambda kind, name: there.jobs.discard(Job(kind, name, "arn")))
    monkeypatch.setattr(stack_deletion.time, "sleep", lambda seconds: None)
    return there


def test_all_that_is_hosted_goes_with_the_stack(change, hosted):
    assert change("Delete") == {"status": "SUCCESS", "reason": ""}
    assert (hosted.names, hosted.jobs) == (set(), set())
    assert hosted.looks == 3, "two looks that find nothing"


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_nothing_goes_when_the_stack_is_made_or_changed(change, hosted, kind):
    assert change(kind)["status"] == "SUCCESS"
    assert hosted.looks == 0


@pytest.mark.parametrize("status", ["UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"])
def test_nothing_goes_when_an_update_takes_the_custom_resource_out(change, hosted, status):
    assert change("Delete", status)["status"] == "SUCCESS"
    assert hosted.names == {"a", "b"}


@pytest.mark.parametrize("status", ["DELETE_IN_PROGRESS", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"])
def test_packages_go_with_their_group_and_nothing_else_does(change, hosted, monkeypatch, status):
    emptied = []
    monkeypatch.setattr(stack_deletion, "delete_packages", emptied.append)
    for kind in ("Create", "Update"):
        assert change(kind, ModelPackageGroupName="models")["status"] == "SUCCESS"
    assert emptied == []
    assert change("Delete", status, ModelPackageGroupName="models")["status"] == "SUCCESS"
    assert (emptied, hosted.looks) == (["models"], 0)


@pytest.mark.parametrize("status", ["DELETE_IN_PROGRESS", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"])
def test_the_experiment_goes_with_its_custom_resource_and_nothing_else_does(change, hosted, monkeypatch, status):
    gone = []
    monkeypatch.setattr(stack_deletion, "delete_experiment", lambda *which: gone.append(which))
    for kind in ("Create", "Update"):
        assert change(kind, ExperimentName="lines")["status"] == "SUCCESS"
    assert gone == []
    assert change("Delete", status, ExperimentName="lines")["status"] == "SUCCESS"
    assert (gone, hosted.looks) == ([("lines", "suspicious-lines")], 0)


def test_what_cannot_be_deleted_is_said(change, hosted, monkeypatch):
    hosted.busy.add("a")
    monkeypatch.setattr(stack_deletion, "WORK_SECONDS", -1)
    answer = change("Delete")
    assert answer == {
        "status": "FAILED",
        "reason": "EndpointBusyError: Delete the stack again: still there are a, b, j",
    }


def test_an_error_is_answered_too(change, hosted, monkeypatch):
    monkeypatch.setattr(stack_deletion, "names_hosted", lambda *given: 1 / 0)
    assert change("Delete") == {"status": "FAILED", "reason": "ZeroDivisionError: division by zero"}


def test_names_of_this_stack_are_told_from_those_of_a_stack_with_a_longer_name():
    run = "0a1b2c3d-4e5f-6789-abcd-ef0123456789_0a1b2c3d"
    assert is_resource_name("suspicious-lines", resource_name("suspicious-lines", run))
    assert is_resource_name("suspicious-lines", resource_name("suspicious-lines", "\u00e9"))
    assert not is_resource_name("suspicious-lines", resource_name("suspicious-lines-dev", run))
    assert not is_resource_name("suspicious-lines", resource_name("suspicious-lines-dev", "\u00e9"))
    assert not is_resource_name("suspicious-lines", "suspicious-lines-by-hand")
