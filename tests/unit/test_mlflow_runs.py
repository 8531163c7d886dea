"""Runs in MLflow: one for each run, whatever comes twice or breaks off, and signed for a server of SageMaker's."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from botocore.exceptions import EndpointConnectionError

from frames import BUCKET
from suspicious_lines import mlflow_runs, store
from suspicious_lines.aws import translate
from suspicious_lines.errors import AwsUnavailableError, TrackingFailedError
from suspicious_lines.mlflow_runs import RUN_TAG, write_run
from suspicious_lines.tracking import RunRecord

EXPERIMENT = "suspicious-lines-rcf-anomaly-detection"
URI = "http://127.0.0.1:5000/"
ARN = "arn:aws:sagemaker:eu-west-1:000000000000:mlflow-tracking-server/lines"
STARTED = datetime(2026, 11, 23, tzinfo=UTC)
RECORD = RunRecord(
    run="a",
    name="suspicious-lines-a-0123456789ab",
    started_at=STARTED,
    ended_at=STARTED + timedelta(seconds=60),
    parameters={"num_trees": 50.0, "threshold_strategy": "budget", "share": 0.5},
    metrics={"f1": 0.75},
    inputs={"encoder": "s3://b/e"},
    outputs={"model": "s3://b/m"},
)


class Server:
    """As much of MLflow's API as is called; tests/workflow asks a real one."""

    def __init__(self):
        self.requests, self.experiments, self.runs, self.deleted = [], [], {}, []
        self.before = {}  # operation -> what happens before it is answered

    def send(self, request):
        operation = request.url.partition("/api/2.0/mlflow/")[2]
        self.requests.append(request)
        if broken := self.before.pop(operation, lambda: None)():
            return broken
        return answered(200, getattr(self, operation.replace("/", "_").replace("-", "_"))(**json.loads(request.body)))

    def experiments_search(self, filter, max_results):
        found = [name for name in self.experiments if filter == f"name = '{name}'"]
        return (
            {"experiments": [{"experiment_id": str(self.experiments.index(name))} for name in found]} if found else {}
        )

    def experiments_create(self, name):
        self.experiments.append(name)
        return {"experiment_id": str(len(self.experiments) - 1)}

    def runs_search(self, experiment_ids, filter, max_results):
        found = [run for run in self.runs.values() if filter == f"tags.`{RUN_TAG}` = '{run['tags'][RUN_TAG]}'"]
        return {"runs": [{"info": {"run_id": run["id"]}} for run in found[:max_results]]}

    def runs_create(self, experiment_id, start_time, run_name, tags):
        run_id = f"mlflow-{len(self.runs)}"
        kept = {tag["key"]: tag["value"] for tag in tags}
        self.runs[run_id] = {"id": run_id, "experiment": experiment_id, "name": run_name, "tags": kept}
        return {"run": {"info": {"run_id": run_id}}}

    def runs_log_batch(self, run_id, params, metrics, tags):
        self.runs[run_id] |= {"params": params, "metrics": metrics}
        self.runs[run_id]["tags"] |= {tag["key"]: tag["value"] for tag in tags}
        return {}

    def runs_update(self, run_id, status, end_time):
        self.runs[run_id] |= {"status": status, "end": end_time}
        return {}

    def runs_delete(self, run_id):
        self.deleted.append(run_id)
        return {}


def answered(status, body):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return SimpleNamespace(status_code=status, content=content)


@pytest.fixture
def server(cloud, monkeypatch):
    server = Server()
    monkeypatch.setattr(mlflow_runs, "_http", lambda: server)
    return server


def write(record=RECORD, uri=URI):
    return write_run(record, EXPERIMENT, uri, BUCKET)


def test_a_run_has_the_same_parameters_figures_and_files_as_its_component(server):
    run = server.runs[write()]
    assert run["params"] == [
        {"key": "num_trees", "value": "50"},
        {"key": "threshold_strategy", "value": "budget"},
        {"key": "share", "value": "0.5"},
    ]
    end = round(RECORD.ended_at.timestamp() * 1000)
    assert run["metrics"] == [{"key": "f1", "value": 0.75, "timestamp": end, "step": 0}]
    assert run["tags"] == {RUN_TAG: "a", "input.encoder": "s3://b/e", "output.model": "s3://b/m"}
    assert (run["name"], run["status"], run["end"]) == (RECORD.name, "FINISHED", end)
    assert server.experiments == [EXPERIMENT]
    assert {request.url.partition("/api/")[0] for request in server.requests} == {"http://127.0.0.1:5000"}
    assert not any("Authorization" in request.headers for request in server.requests)


def test_runs_share_an_experiment(server):
    assert write() != write(replace(RECORD, run="b"))
    assert server.experiments == [EXPERIMENT]


def test_a_second_event_finds_the_run(server):
    assert write() == write()
    assert len(server.runs) == 1


@pytest.mark.parametrize("operation", ["experiments/create", "runs/create", "runs/log-batch", "runs/update"])
def test_a_try_that_breaks_off_is_finished_by_the_next(server, operation):
    server.before[operation] = lambda: answered(503, b"busy")
    with pytest.raises(TrackingFailedError, match=f"{operation} answered 503: busy"):
        write()
    run = server.runs[write()]
    assert (len(server.runs), run["status"], len(run["params"])) == (1, "FINISHED", 3)


def test_a_try_that_broke_off_before_its_note_left_its_run(server, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(store, "replace", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write()
    write()
    assert len(server.runs) == 1


def test_of_two_events_at_once_one_run_stays(server):
    def other_event():
        server.runs_create("0", 0, "other", [{"key": RUN_TAG, "value": "other"}])
        store.put_json(BUCKET, "runs/a/mlflow.json", {"run_id": "mlflow-0"})

    server.before["runs/create"] = other_event
    assert write() == "mlflow-0"
    assert server.deleted == ["mlflow-1"]
    assert server.runs["mlflow-0"]["status"] == "FINISHED"


def test_an_experiment_that_somebody_else_makes_meanwhile_is_taken(server):
    def other_event():
        server.experiments.append(EXPERIMENT)
        return answered(400, {"error_code": "RESOURCE_ALREADY_EXISTS"})

    server.before["experiments/create"] = other_event
    assert server.runs[write()]["experiment"] == "0"


def test_what_is_no_json_is_no_answer(server):
    server.before["experiments/search"] = lambda: answered(200, b"<html>sign in</html>")
    with pytest.raises(TrackingFailedError, match="something else than JSON"):
        write()


def test_requests_to_a_server_of_sagemakers_are_signed(server):
    write(uri=ARN)
    for request in server.requests:
        assert request.url.startswith("https://eu-west-1.experiments.sagemaker.aws/api/2.0/mlflow/")
        assert request.headers["x-mlflow-sm-tracking-server-arn"] == ARN
        signed = request.headers["Authorization"]
        assert "/eu-west-1/sagemaker-mlflow/aws4_request" in signed
        assert "x-mlflow-sm-tracking-server-arn" in signed


def test_a_server_that_is_not_there_is_worth_another_try(server):
    def unreachable():
        raise EndpointConnectionError(endpoint_url=URI)

    server.before["experiments/search"] = unreachable
    with pytest.raises(EndpointConnectionError) as error:
        write()
    assert isinstance(translate(error.value), AwsUnavailableError)
