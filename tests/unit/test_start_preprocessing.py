import io
import json
import zipfile
from pathlib import Path

import boto3
import msgspec
from botocore.stub import Stubber

from frames import BUCKET
from suspicious_lines import batch_preprocessing, store
from suspicious_lines.large_messages import PreprocessingRequest
from suspicious_lines.large_settings import StartPreprocessingSettings
from suspicious_lines.layout import resource_name

EVENT = json.loads((Path(__file__).parents[2] / "events" / "start_preprocessing.json").read_text())
NAME = resource_name("suspicious-lines", "example")


def job() -> dict:
    request, settings = msgspec.convert(EVENT, PreprocessingRequest), StartPreprocessingSettings.from_environment()
    return batch_preprocessing.processing_job(request, settings, NAME, "code/0123.zip")


def test_the_job_satisfies_sagemakers_model_and_runs_the_functions_layers():
    client = boto3.client("sagemaker")
    with Stubber(client) as stubber:
        answer = {"ProcessingJobArn": "arn:aws:sagemaker:us-east-1:000000000000:processing-job/x"}
        stubber.add_response("create_processing_job", answer, job())
        client.create_processing_job(**job())
    (given,) = job()["ProcessingInputs"]
    assert given["S3Input"]["S3Uri"] == f"s3://{BUCKET}/code/0123.zip"
    archive = f"{given['S3Input']['LocalPath']}/0123.zip"
    specification = job()["AppSpecification"]
    assert specification["ContainerEntrypoint"] == ["python3", "-m", "suspicious_lines.batch_entrypoint"]
    assert specification["ContainerArguments"] == ["example", "/opt/ml/output/message", archive]
    assert job()["Environment"]["PYTHONPATH"] == archive
    assert "NetworkConfig" not in job()
    # Python 3.13 as the functions have: the layers hold modules compiled for it.
    assert "cpu-py313" in specification["ImageUri"]
    assert ".dkr.ecr.us-east-1." in specification["ImageUri"]
    assert job()["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"].startswith("arn:aws:kms:")


def test_the_job_knows_its_request_and_a_clean_up_the_job(cloud, load_handler, context):
    assert load_handler("start_preprocessing")(EVENT, context) == {"job_name": NAME, "poll_seconds": 20}
    assert cloud.sagemaker.describe_processing_job(ProcessingJobName=NAME)["ProcessingJobStatus"]
    note = store.get_json(BUCKET, "runs/example/preprocessing/request.json")
    assert (note["job_name"], note["work"], note["upload"]) == (NAME, "preprocess", EVENT["upload"])


def test_the_code_is_shipped_once_a_version_and_a_job_started_once(cloud, load_handler, context, monkeypatch):
    handler = load_handler("start_preprocessing")
    assert handler(EVENT, context) == handler(EVENT, context)
    (key,) = store.keys(BUCKET, "code/")
    names = zipfile.ZipFile(io.BytesIO(store.get_bytes(BUCKET, key))).namelist()
    assert {"suspicious_lines/batch_entrypoint.py", "suspicious_lines/rules.json"} <= set(names)
    versions = cloud.s3.list_object_versions(Bucket=BUCKET, Prefix="code/")["Versions"]
    assert len(versions) == 1
    monkeypatch.setenv("LAYERS", "arn:aws:lambda:us-east-1:000000000000:layer:core:2")
    load_handler("start_preprocessing")(EVENT, context)
    assert len(store.keys(BUCKET, "code/")) == 2


def test_a_run_that_begins_again_with_another_model_has_another_job(cloud, load_handler, context):
    handler = load_handler("start_preprocessing")
    first = handler(EVENT | {"work": "encode_lines"}, context)
    second = handler(EVENT | {"work": "encode_lines", "gone": "suspicious-lines-former"}, context)
    assert first["job_name"] != second["job_name"]
    assert len(second["job_name"]) <= 63
    assert store.get_json(BUCKET, "runs/example/preprocessing/request.json")["job_name"] == second["job_name"]


def test_an_instance_with_a_disk_of_its_own_gets_no_key(monkeypatch):
    monkeypatch.setenv("BATCH_INSTANCE_TYPE", "ml.m5d.xlarge")
    assert "VolumeKmsKeyId" not in job()["ProcessingResources"]["ClusterConfig"]


def test_in_a_network_the_job_is_in_it_and_still_reaches_s3_itself(monkeypatch):
    monkeypatch.setenv("TRAINING_SUBNET_IDS", "subnet-0a,subnet-0b")
    monkeypatch.setenv("TRAINING_GROUP_ID", "sg-0c")
    network = {"Subnets": ["subnet-0a", "subnet-0b"], "SecurityGroupIds": ["sg-0c"]}
    assert job()["NetworkConfig"] == {"VpcConfig": network}
