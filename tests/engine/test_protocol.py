"""The wire: what a client that checks nothing meets, ordered faults, and the process itself."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from .clients import SageMaker, connect

ROOT = Path(__file__).parents[2]


def post(url: str, target: str, body: bytes) -> tuple[int, dict[str, Any]]:
    """Status and body of a control plane request that no SDK has checked."""
    headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.parametrize(
    ("target", "body", "status", "error", "message"),
    [
        ("SageMaker.CreateModel", b"{}", 400, "ValidationException", "Value null at 'modelName'"),
        ("SageMaker.CreateModel", b'{"ModelName": 7}', 400, "SerializationException", "int at 'modelName'"),
        ("SageMaker.CreateModel", b"not json", 400, "SerializationException", "not JSON"),
        ("SageMaker.CreateModel", b"[]", 400, "SerializationException", "not a JSON object"),
        ("SageMaker.ListModels", b'{"MaxResults": true}', 400, "SerializationException", "bool at 'maxResults'"),
        ("SageMaker.ListModels", b'{"MaxResults": 101}', 400, "ValidationException", "less than or equal to 100"),
        ("SageMaker.CreateAutoMLJob", b"{}", 404, "UnknownOperationException", "does not implement CreateAutoMLJob"),
        ("SageMaker.MakeTea", b"{}", 404, "UnknownOperationException", "does not implement MakeTea"),
        ("DynamoDB.ListTables", b"{}", 404, "UnknownOperationException", "is not an operation of SageMaker"),
    ],
)
def test_raw_requests(sagemaker: SageMaker, target: str, body: bytes, status: int, error: str, message: str) -> None:
    answered, answer = post(sagemaker.url, target, body)
    assert (answered, answer["__type"]) == (status, error)
    assert message in answer["message"]


def test_all_that_is_wrong_is_named_at_once(sagemaker: SageMaker) -> None:
    request = {"TrainingJobName": "-", "RoleArn": "short", "OutputDataConfig": {}, "InputDataConfig": []}
    _, answer = post(sagemaker.url, "SageMaker.CreateTrainingJob", json.dumps(request).encode())
    assert answer["message"].startswith("5 validation errors detected: ")
    for path in ("trainingJobName", "roleArn", "outputDataConfig.s3OutputPath", "inputDataConfig"):
        assert f"at '{path}' failed to satisfy constraint" in answer["message"]


def test_boto3_names_an_operation_that_is_not_there(sagemaker: SageMaker) -> None:
    with pytest.raises(ClientError, match="does not implement ListWorkteams") as refused:
        sagemaker.control.list_workteams()
    assert refused.value.response["Error"]["Code"] == "UnknownOperationException"


def test_an_ordered_fault_meets_the_next_calls_only(sagemaker: SageMaker) -> None:
    fault = {"target": "ListModels", "error": "ThrottlingException", "message": "Rate exceeded", "times": 2}
    assert sagemaker.own_path("POST", "/_faults", fault) == 200
    for _ in range(2):
        with pytest.raises(ClientError, match="Rate exceeded") as refused:
            sagemaker.control.list_models()
        assert refused.value.response["Error"]["Code"] == "ThrottlingException"
    sagemaker.control.list_models()


def test_a_fault_of_the_runtime(sagemaker: SageMaker, serving: str) -> None:
    for error, message, status in (("ModelNotReadyException", "warming up", 429), ("ModelError", "broken", 424)):
        fault = {"target": "InvokeEndpoint", "error": error, "message": message, "status": status}
        sagemaker.own_path("POST", "/_faults", fault)
        with pytest.raises(ClientError, match=message) as refused:
            sagemaker.scores(serving, np.zeros((1, 2)))
        assert refused.value.response["Error"]["Code"] == error
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert sagemaker.scores(serving, np.zeros((1, 2)))


def test_faults_of_jobs_and_endpoints(sagemaker: SageMaker, artifact: str, normal_rows: np.ndarray) -> None:
    prefix = sagemaker.put(normal_rows)
    sagemaker.own_path("POST", "/_faults", {"target": "TrainingJob", "message": "InternalServerError: out of luck"})
    job = sagemaker.train(prefix)
    assert (job["TrainingJobStatus"], job["FailureReason"]) == ("Failed", "InternalServerError: out of luck")
    assert sagemaker.train(prefix)["TrainingJobStatus"] == "Completed"

    config, other = sagemaker.config(sagemaker.model(artifact)), sagemaker.config(sagemaker.model(artifact))
    fault = {"target": "Endpoint", "message": "no capacity"}
    sagemaker.own_path("POST", "/_faults", fault)
    failed = sagemaker.control.describe_endpoint(EndpointName=sagemaker.endpoint(config))
    assert (failed["EndpointStatus"], failed["FailureReason"]) == ("Failed", "no capacity")
    name = sagemaker.endpoint(config)
    assert sagemaker.control.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService"
    sagemaker.own_path("POST", "/_faults", fault)
    sagemaker.control.update_endpoint(EndpointName=name, EndpointConfigName=other)
    assert sagemaker.settled(name)["EndpointStatus"] == "Failed"


def test_faults_are_cleared_and_checked(sagemaker: SageMaker) -> None:
    sagemaker.own_path("POST", "/_faults", {"target": "ListModels", "times": 50})
    assert sagemaker.own_path("DELETE", "/_faults") == 200
    sagemaker.control.list_models()
    for wrong in ({}, {"target": "Nothing"}, {"target": "ListModels", "times": 0}, {"target": "ListModels", "x": 1}):
        assert sagemaker.own_path("POST", "/_faults", wrong) == 400


def run(s3_url: str | None, port: int = 0) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    if s3_url is not None:
        environment["AWS_ENDPOINT_URL"] = s3_url
    command = [sys.executable, "-m", "local.sagemaker", "--port", str(port)]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_new_process_serves_an_artifact_of_an_older_one(
    sagemaker: SageMaker, s3_url: str, artifact: str, serving: str
) -> None:
    process = run(s3_url)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip().removeprefix("SageMaker engine listening on ")
        other = connect(url, s3_url)
        name = other.endpoint(other.config(other.model(artifact)))
        rows = np.array([[0.0, 1.0], [7.0, 7.0]])
        assert other.scores(name, rows) == sagemaker.scores(serving, rows)
        second = run(s3_url, int(url.rsplit(":", 1)[1]))
        _, complaint = second.communicate(timeout=20)
        assert second.returncode == 1
        assert "Cannot listen on 127.0.0.1" in complaint
        assert "Address already in use" in complaint
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_without_a_local_s3_the_engine_does_not_start() -> None:
    process = run(None)
    _, complaint = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "AWS_ENDPOINT_URL" in complaint


def test_only_this_machine_can_reach_the_engine(sagemaker: SageMaker) -> None:
    port = int(sagemaker.url.rsplit(":", 1)[1])
    with socket.socket() as probe:
        probe.settimeout(1)
        assert probe.connect_ex(("127.0.0.2", port)) != 0
