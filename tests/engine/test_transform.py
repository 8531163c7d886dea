"""Transform jobs: what they write, how they cut, and what they refuse at once or fail for later."""

import json
import uuid
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from local.sagemaker import transform

from .clients import BUCKET, SageMaker, csv_of, wait_for

ROWS = np.random.default_rng(5).normal(size=(200, 2)).round(3)
LINES, JSON = "application/jsonlines", "application/json"


@pytest.fixture(scope="module")
def model(sagemaker: SageMaker, artifact: str) -> str:
    return sagemaker.model(artifact)


def job_request(model: str, prefix: str, **changes: Any) -> dict[str, Any]:
    """CSV in, JSON Lines out; `changes` replace members, those of TransformInput and TransformOutput by their names."""
    request: dict[str, Any] = {
        "TransformJobName": f"job-{uuid.uuid4().hex}",
        "ModelName": model,
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": prefix}},
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        "TransformOutput": {
            "S3OutputPath": f"s3://{BUCKET}/out/{uuid.uuid4().hex}",
            "Accept": LINES,
            "AssembleWith": "Line",
        },
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }
    for name, value in changes.items():
        place = {"Accept": "TransformOutput", "AssembleWith": "TransformOutput"}.get(name)
        place = "TransformInput" if name in ("ContentType", "SplitType", "CompressionType", "DataSource") else place
        (request[place] if place else request)[name] = value
    return request


def ended(sagemaker: SageMaker, name: str) -> dict[str, Any]:
    def description() -> dict[str, Any] | None:
        found = sagemaker.control.describe_transform_job(TransformJobName=name)
        return found if found["TransformJobStatus"] in ("Completed", "Failed", "Stopped") else None

    return wait_for(description)


def transformed(sagemaker: SageMaker, request: dict[str, Any]) -> dict[str, Any]:
    sagemaker.control.create_transform_job(**request)
    return ended(sagemaker, request["TransformJobName"])


def outputs(sagemaker: SageMaker, request: dict[str, Any]) -> dict[str, bytes]:
    """Name below the output path -> body."""
    folder = request["TransformOutput"]["S3OutputPath"].removeprefix(f"s3://{BUCKET}/") + "/"
    found = sagemaker.s3.list_objects_v2(Bucket=BUCKET, Prefix=folder).get("Contents", [])
    return {
        each["Key"].removeprefix(folder): sagemaker.s3.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read()
        for each in found
    }


def scores(body: bytes) -> list[float]:
    return [json.loads(line)["score"] for line in body.splitlines()]


def test_each_object_becomes_an_out_object_of_its_scores_in_order(
    sagemaker: SageMaker, model: str, serving: str
) -> None:
    prefix = sagemaker.put(ROWS)
    key = prefix.removeprefix(f"s3://{BUCKET}/")
    sagemaker.s3.put_object(Bucket=BUCKET, Key=f"{key}more/part-1.csv", Body=csv_of(ROWS[:3]) + b"\n")
    request = job_request(model, prefix, Tags=[{"Key": "run", "Value": "7"}])
    job = transformed(sagemaker, request)
    name = request["TransformJobName"]
    assert job["TransformJobArn"] == f"arn:aws:sagemaker:us-east-1:000000000000:transform-job/{name}"
    assert sagemaker.control.list_tags(ResourceArn=job["TransformJobArn"])["Tags"] == [{"Key": "run", "Value": "7"}]
    assert job["TransformJobStatus"] == "Completed"
    assert "FailureReason" not in job
    assert job["CreationTime"] <= job["TransformStartTime"] <= job["TransformEndTime"]
    for echoed in ("ModelName", "TransformInput", "TransformOutput", "TransformResources"):
        assert job[echoed] == request[echoed]
    written = outputs(sagemaker, request)
    assert set(written) == {"part-0.csv.out", "more/part-1.csv.out"}
    assert scores(written["part-0.csv.out"]) == sagemaker.scores(serving, ROWS)
    assert scores(written["more/part-1.csv.out"]) == sagemaker.scores(serving, ROWS[:3])


def test_a_prefix_that_is_an_object_gives_its_name(sagemaker: SageMaker, model: str) -> None:
    request = job_request(model, sagemaker.put(ROWS) + "part-0.csv")
    transformed(sagemaker, request)
    assert set(outputs(sagemaker, request)) == {"part-0.csv.out"}


@pytest.mark.parametrize(("strategy", "requests"), [("MultiRecord", 2), ("SingleRecord", 40_000), (None, 2)])
def test_objects_are_cut_at_line_ends_below_the_payload_limit(strategy: str | None, requests: int) -> None:
    body = b"0.123456789012,0.123456789012,9\n" * 40_000
    request = job_request("m", "s3://b/p", MaxPayloadInMB=1) | ({"BatchStrategy": strategy} if strategy else {})
    payloads = list(transform._payloads(body, request))
    assert len(payloads) == requests
    assert b"".join(payloads) == body
    assert all(payload.endswith(b"\n") and len(payload) <= 1024 * 1024 for payload in payloads)


def test_answers_of_several_requests_are_assembled(sagemaker: SageMaker, model: str, serving: str) -> None:
    expected = sagemaker.scores(serving, ROWS[:3])
    prefix = sagemaker.put(ROWS[:3])
    lines = job_request(model, prefix, BatchStrategy="SingleRecord")
    assert transformed(sagemaker, lines)["TransformJobStatus"] == "Completed"
    assert scores(outputs(sagemaker, lines)["part-0.csv.out"]) == expected
    # JSON of one request each: AssembleWith Line puts one document on a line, without it they follow each other.
    for assembled, separator in (({}, "\n"), ({"AssembleWith": "None"}, "")):
        request = job_request(model, prefix, BatchStrategy="SingleRecord", Accept=JSON, **assembled)
        transformed(sagemaker, request)
        documents = [json.dumps({"scores": [{"score": score}]}) + separator for score in expected]
        assert outputs(sagemaker, request)["part-0.csv.out"].decode() == "".join(documents)


def test_json_lines_are_joined_to_their_answers(sagemaker: SageMaker, model: str, serving: str) -> None:
    records = [{"features": row, "line": number} for number, row in enumerate(ROWS[:5].tolist())]
    prefix = sagemaker.put("".join(json.dumps(record) + "\n" for record in records).encode())
    request = job_request(model, prefix, ContentType=LINES, DataProcessing={"JoinSource": "Input"})
    assert transformed(sagemaker, request)["TransformJobStatus"] == "Completed"
    joined = [json.loads(line) for line in outputs(sagemaker, request)["part-0.csv.out"].splitlines()]
    expected = sagemaker.scores(serving, ROWS[:5])
    pairs = zip(records, expected, strict=True)
    assert joined == [record | {"SageMakerOutput": {"score": score}} for record, score in pairs]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"TransformJobName": "has_underscore"}, "Member must satisfy regular expression pattern"),
        ({"ModelName": "nobody"}, 'Could not find model "arn:aws:sagemaker:us-east-1:000000000000:model/nobody"'),
        ({"TransformResources": {"InstanceType": "ml.p3.2xlarge", "InstanceCount": 1}}, "does not support GPU"),
        ({"DataProcessing": {"JoinSource": "Input"}}, "not text/csv and application/jsonlines"),
        (
            {"DataProcessing": {"JoinSource": "Input"}, "ContentType": JSON, "Accept": JSON},
            "application/jsonlines with",
        ),
        ({"DataProcessing": {"OutputFilter": "$.score"}}, "does not filter"),
        ({"MaxPayloadInMB": 101}, "must not exceed 100 MB"),
        ({"MaxPayloadInMB": 6, "MaxConcurrentTransforms": 17}, "must not exceed 100 MB"),
        ({"BatchStrategy": "MultiRecord", "SplitType": "None"}, "BatchStrategy can be given only with a SplitType"),
        ({"SplitType": "RecordIO"}, "SplitType None or Line only"),
        ({"CompressionType": "Gzip"}, "uncompressed data"),
        (
            {"DataSource": {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": "s3://b/m"}}},
            "transforms S3Prefix data only",
        ),
    ],
)
def test_bad_requests_are_refused_at_once(
    sagemaker: SageMaker, model: str, changes: dict[str, Any], reason: str
) -> None:
    request = job_request(model, sagemaker.put(ROWS[:2]), **changes)
    with pytest.raises(ClientError) as refused:
        sagemaker.control.create_transform_job(**request)
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert reason in refused.value.response["Error"]["Message"]


@pytest.mark.parametrize(
    ("data", "changes", "reason"),
    [
        (csv_of(ROWS), {"Accept": "text/csv"}, "Accept type text/csv not supported"),
        (csv_of(ROWS), {"ContentType": "text/plain"}, "Content-type text/plain not supported"),
        (csv_of(ROWS), {"MaxPayloadInMB": 0}, "no chunked payloads"),
        (b"1,2\n3,nan\n", {}, "part-0.csv: line 2, column 2 is 'nan'"),
        (b"1,2,3\n", {}, "the rows have 3 features, the model was trained with 2"),
        (b"0," + b"1" * 1_100_000, {"MaxPayloadInMB": 1}, "Too much data for max payload size"),
        (b"0,1\n" * 300_000, {"MaxPayloadInMB": 1, "SplitType": "None"}, "Too much data for max payload size"),
        (b"", {}, "No S3 objects found under S3 URL"),
    ],
)
def test_bad_data_fails_the_job_and_leaves_nothing(
    sagemaker: SageMaker, model: str, data: bytes, changes: dict[str, Any], reason: str
) -> None:
    request = job_request(model, sagemaker.put(data), **changes)
    job = transformed(sagemaker, request)
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: ")
    assert reason in job["FailureReason"]
    assert outputs(sagemaker, request) == {}


def test_a_job_outlives_its_model(sagemaker: SageMaker, artifact: str) -> None:
    model = sagemaker.model(artifact)
    request = job_request(model, sagemaker.put(np.tile(ROWS, (50, 1))))
    sagemaker.control.create_transform_job(**request)
    sagemaker.control.delete_model(ModelName=model)
    assert ended(sagemaker, request["TransformJobName"])["TransformJobStatus"] == "Completed"


def test_a_running_job_is_stopped_and_writes_nothing(sagemaker: SageMaker, model: str) -> None:
    request = job_request(model, sagemaker.put(np.tile(ROWS, (2_000, 1))))
    name = request["TransformJobName"]
    sagemaker.control.create_transform_job(**request)
    with pytest.raises(sagemaker.control.exceptions.ResourceInUse, match="Transform job names must be unique"):
        sagemaker.control.create_transform_job(**request)
    assert sagemaker.control.describe_transform_job(TransformJobName=name)["TransformJobStatus"] == "InProgress"
    sagemaker.control.stop_transform_job(TransformJobName=name)
    assert ended(sagemaker, name)["TransformJobStatus"] == "Stopped"
    assert outputs(sagemaker, request) == {}
    with pytest.raises(ClientError, match="the transform job is in status Stopped"):
        sagemaker.control.stop_transform_job(TransformJobName=name)


def test_faults_quota_unknown_jobs_and_the_list(sagemaker: SageMaker, model: str) -> None:
    prefix = sagemaker.put(ROWS[:5])
    mark = prefix.split("/")[-2]
    sagemaker.own_path("POST", "/_faults", {"target": "TransformJob", "message": "InternalServerError: out of luck"})
    failed = transformed(sagemaker, job_request(model, prefix, TransformJobName=f"a-{mark}"))
    assert (failed["TransformJobStatus"], failed["FailureReason"]) == ("Failed", "InternalServerError: out of luck")
    transformed(sagemaker, job_request(model, prefix, TransformJobName=f"b-{mark}"))
    listed = sagemaker.control.list_transform_jobs(NameContains=mark)["TransformJobSummaries"]
    assert [job["TransformJobName"] for job in listed] == [f"b-{mark}", f"a-{mark}"]
    (summary,) = sagemaker.control.list_transform_jobs(NameContains=mark, StatusEquals="Failed")[
        "TransformJobSummaries"
    ]
    assert summary["FailureReason"] == "InternalServerError: out of luck"

    fleet = {"InstanceType": "ml.m5.large", "InstanceCount": 21}
    with pytest.raises(
        sagemaker.control.exceptions.ResourceLimitExceeded, match=r"ml\.m5\.large for transform job usage"
    ):
        sagemaker.control.create_transform_job(**job_request(model, prefix, TransformResources=fleet))
    for call in (sagemaker.control.describe_transform_job, sagemaker.control.stop_transform_job):
        with pytest.raises(ClientError, match="Could not find requested job with name: nobody"):
            call(TransformJobName="nobody")
