"""Processing jobs: the process, its folders, its message, its end, and what is refused at once."""

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .clients import BUCKET, ROLE, SageMaker, wait_for

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.6.0-cpu-py312-ubuntu22.04-sagemaker"
DATA = "/opt/ml/processing"
COPY = b"""
import json, os, pathlib, sys
source, target, message = map(pathlib.Path, sys.argv[1:])
names = sorted(path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file())
told = {"names": names, "greeting": os.environ["GREETING"], "path": os.environ["PLACE"] == str(source)}
(target / "deep").mkdir()
(target / "deep" / "told.json").write_text(json.dumps(told))
message.write_text("x" * 2000)
"""


def job_request(code: str, **changes: Any) -> dict[str, Any]:
    return {
        "ProcessingJobName": f"job-{uuid.uuid4().hex}",
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 10}
        },
        "AppSpecification": {"ImageUri": IMAGE, "ContainerEntrypoint": ["python3", "-c", code]},
        "RoleArn": ROLE,
    } | changes


def s3_input(uri: str, path: str = f"{DATA}/in", **changes: Any) -> dict[str, Any]:
    source = {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix", "S3InputMode": "File"} | changes
    return {"InputName": "in", "S3Input": source}


def s3_output(uri: str, path: str = f"{DATA}/out", mode: str = "EndOfJob") -> dict[str, Any]:
    output = {"S3Uri": uri, "LocalPath": path, "S3UploadMode": mode}
    return {"Outputs": [{"OutputName": "out", "S3Output": output}]}


def ended(sagemaker: SageMaker, name: str) -> dict[str, Any]:
    def description() -> dict[str, Any] | None:
        found = sagemaker.control.describe_processing_job(ProcessingJobName=name)
        return found if found["ProcessingJobStatus"] in ("Completed", "Failed", "Stopped") else None

    return wait_for(description)


def processed(sagemaker: SageMaker, request: dict[str, Any]) -> dict[str, Any]:
    sagemaker.control.create_processing_job(**request)
    return ended(sagemaker, request["ProcessingJobName"])


def keys(sagemaker: SageMaker, folder: str) -> list[str]:
    found = sagemaker.s3.list_objects_v2(Bucket=BUCKET, Prefix=folder).get("Contents", [])
    return [each["Key"].removeprefix(folder) for each in found]


def test_a_job_finds_no_variable_that_it_was_not_given(sagemaker, monkeypatch):
    monkeypatch.setenv("FEATURE_GROUP", "of-the-engine")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    code = "import os, sys; sys.exit('FEATURE_GROUP' in os.environ or 'AWS_REGION' not in os.environ)"
    assert processed(sagemaker, job_request(code))["ProcessingJobStatus"] == "Completed"


def test_the_entrypoint_gets_its_inputs_and_its_outputs_are_uploaded(sagemaker: SageMaker) -> None:
    prefix, code = sagemaker.put(b"1,2\n"), sagemaker.put(COPY)
    folder = f"processed/{uuid.uuid4().hex}/"
    arguments = [f"{DATA}/in", f"{DATA}/out", "/opt/ml/output/message"]
    request = job_request(
        "",
        ProcessingInputs=[s3_input(prefix), s3_input(code, f"{DATA}/code") | {"InputName": "code"}],
        ProcessingOutputConfig=s3_output(f"s3://{BUCKET}/{folder}"),
        Environment={"GREETING": "hello", "PLACE": f"{DATA}/in"},
        Tags=[{"Key": "run", "Value": "7"}],
    )
    entrypoint = ["python3", f"{DATA}/code/part-0.csv"]
    request["AppSpecification"] = {
        "ImageUri": IMAGE,
        "ContainerEntrypoint": entrypoint,
        "ContainerArguments": arguments,
    }
    job = processed(sagemaker, request)
    assert job["ProcessingJobStatus"] == "Completed", job
    assert job["ProcessingJobArn"].endswith(f":processing-job/{request['ProcessingJobName']}")
    assert sagemaker.control.list_tags(ResourceArn=job["ProcessingJobArn"])["Tags"] == [{"Key": "run", "Value": "7"}]
    assert job["CreationTime"] <= job["ProcessingStartTime"] <= job["ProcessingEndTime"]
    assert job["ExitMessage"] == "x" * 1024
    for echoed in ("ProcessingInputs", "ProcessingOutputConfig", "AppSpecification", "Environment", "RoleArn"):
        assert job[echoed] == request[echoed]
    assert keys(sagemaker, folder) == ["deep/told.json"]
    told = json.loads(sagemaker.s3.get_object(Bucket=BUCKET, Key=f"{folder}deep/told.json")["Body"].read())
    assert told == {"names": ["part-0.csv"], "greeting": "hello", "path": True}


def test_the_process_reaches_the_same_s3(sagemaker: SageMaker, s3_url: str) -> None:
    code = f"import boto3; boto3.client('s3').put_object(Bucket={BUCKET!r}, Key='by-the-job', Body=b'')"
    region = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": s3_url}
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    job = processed(sagemaker, job_request(code, Environment=region | credentials))
    assert job["ProcessingJobStatus"] == "Completed"
    assert keys(sagemaker, "by-the-job") == [""]


def test_another_exit_code_fails_the_job_with_the_message(sagemaker: SageMaker) -> None:
    folder = f"processed/{uuid.uuid4().hex}/"
    code = f"open('{DATA}/out/half', 'w'); open('/opt/ml/output/message', 'w').write('why'); raise SystemExit(3)"
    request = job_request(code, ProcessingOutputConfig=s3_output(f"s3://{BUCKET}/{folder}"))
    job = processed(sagemaker, request)
    assert (job["ProcessingJobStatus"], job["ExitMessage"]) == ("Failed", "why")
    assert job["FailureReason"] == "AlgorithmError: , exit code: 3"
    assert keys(sagemaker, folder) == []


def test_an_input_that_is_not_there_fails_the_job(sagemaker: SageMaker) -> None:
    request = job_request("0", ProcessingInputs=[s3_input(f"s3://{BUCKET}/nothing-here/")])
    job = processed(sagemaker, request)
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: No S3 objects found under S3 URL")


def test_a_job_is_stopped_and_one_that_runs_too_long_ends(sagemaker: SageMaker) -> None:
    # Nothing but SIGKILL ends the first; the second goes at once.
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    stopped = job_request(stubborn)
    late = job_request("import time; time.sleep(60)", StoppingCondition={"MaxRuntimeInSeconds": 1})
    for request in (stopped, late):
        sagemaker.control.create_processing_job(**request)
    sagemaker.control.stop_processing_job(ProcessingJobName=stopped["ProcessingJobName"])
    with pytest.raises(ClientError, match="the processing job is in status Stopping"):
        sagemaker.control.stop_processing_job(ProcessingJobName=stopped["ProcessingJobName"])
    for request in (stopped, late):
        assert ended(sagemaker, request["ProcessingJobName"])["ProcessingJobStatus"] == "Stopped"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ProcessingJobName": "has_underscore"}, "Member must satisfy regular expression pattern"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "greater than or equal to 1"),
        (
            {"AppSpecification": {"ImageUri": "public.ecr.aws/lambda/python:3.13"}},
            "in a private ECR registry of us-east-1",
        ),
        ({"AppSpecification": {"ImageUri": IMAGE}}, "begins with python or python3 only"),
        (
            {"AppSpecification": {"ImageUri": IMAGE, "ContainerEntrypoint": ["sh"]}},
            "begins with python or python3 only",
        ),
        ({"ProcessingInputs": [s3_input("s3://b/x", "/etc")]}, "LocalPath must be an absolute path below"),
        ({"ProcessingInputs": [s3_input("s3://b/x", f"{DATA}/../../x")]}, "LocalPath must be an absolute path below"),
        ({"ProcessingInputs": [s3_input("s3://b/x", S3InputMode="Pipe")]}, "S3Prefix in File mode only"),
        ({"ProcessingOutputConfig": s3_output("s3://b/x", mode="Continuous")}, "S3Output at EndOfJob only"),
        ({"ProcessingOutputConfig": s3_output("s3://b/x", "/tmp")}, "LocalPath must be an absolute path below"),
    ],
)
def test_bad_requests_are_refused_at_once(sagemaker: SageMaker, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ClientError) as refused:
        sagemaker.control.create_processing_job(**(job_request("0") | changes))
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert reason in refused.value.response["Error"]["Message"]


def test_faults_names_unknown_jobs_and_the_list(sagemaker: SageMaker) -> None:
    mark = uuid.uuid4().hex
    sagemaker.own_path("POST", "/_faults", {"target": "ProcessingJob", "message": "InternalServerError: out of luck"})
    failed = processed(sagemaker, job_request("0", ProcessingJobName=f"a-{mark}"))
    assert (failed["ProcessingJobStatus"], failed["FailureReason"]) == ("Failed", "InternalServerError: out of luck")
    processed(sagemaker, job_request("0", ProcessingJobName=f"b-{mark}"))
    listed = sagemaker.control.list_processing_jobs(NameContains=mark)["ProcessingJobSummaries"]
    assert [job["ProcessingJobStatus"] for job in listed] == ["Completed", "Failed"]
    with pytest.raises(sagemaker.control.exceptions.ResourceInUse, match="Processing job names must be unique"):
        sagemaker.control.create_processing_job(**job_request("0", ProcessingJobName=f"a-{mark}"))
    for call in (sagemaker.control.describe_processing_job, sagemaker.control.stop_processing_job):
        with pytest.raises(ClientError, match="Could not find requested job with name: nobody"):
            call(ProcessingJobName="nobody")
