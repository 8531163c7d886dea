"""InvokeEndpoint: formats, order, limits, throttling and scores that mean something."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from local.sagemaker import runtime

from .clients import BUCKET, SageMaker, csv_of

ROWS = np.array([[0.0, 0.0], [9.0, -9.0], [0.1, 0.2]])
CSV, JSON, JSONLINES = "text/csv", "application/json", "application/jsonlines"


def invoke(sagemaker: SageMaker, endpoint: str, body: bytes, content_type: str = CSV, **more: str) -> bytes:
    answer = sagemaker.runtime.invoke_endpoint(EndpointName=endpoint, Body=body, ContentType=content_type, **more)
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert answer["ContentType"] == more.get("Accept", JSON)
    return answer["Body"].read()


def refusal(sagemaker: SageMaker, endpoint: str, body: bytes, content_type: str = CSV, **more: str) -> Any:
    with pytest.raises(ClientError) as refused:
        sagemaker.runtime.invoke_endpoint(EndpointName=endpoint, Body=body, ContentType=content_type, **more)
    return refused.value.response


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (CSV, csv_of(ROWS)),
        ("text/csv; charset=utf-8", csv_of(ROWS) + b"\n"),
        (CSV, csv_of(ROWS).replace(b"\n", b"\r\n")),
        (JSON, json.dumps({"instances": [{"features": row} for row in ROWS.tolist()]}).encode()),
        (
            JSON,
            json.dumps({"instances": [{"data": {"features": {"values": row}}} for row in ROWS.tolist()]}).encode(),
        ),
        (JSONLINES, "\n".join(json.dumps({"features": row}) for row in ROWS.tolist()).encode()),
        (JSONLINES, "\n".join(json.dumps({"data": {"features": {"values": r}}}) for r in ROWS.tolist()).encode()),
    ],
)
def test_every_format_gives_the_same_scores_in_order(
    sagemaker: SageMaker, serving: str, content_type: str, body: bytes
) -> None:
    expected = sagemaker.scores(serving, ROWS)
    assert expected[1] > expected[0]
    assert json.loads(invoke(sagemaker, serving, body, content_type)) == {"scores": [{"score": s} for s in expected]}
    lines = invoke(sagemaker, serving, body, content_type, Accept=JSONLINES).splitlines()
    assert [json.loads(line) for line in lines] == [{"score": score} for score in expected]


def test_planted_outliers_score_above_the_normal_rows(
    sagemaker: SageMaker, serving: str, normal_rows: np.ndarray
) -> None:
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    outliers = 8 * np.column_stack([np.cos(angle), np.sin(angle)])
    scores = np.array(sagemaker.scores(serving, np.vstack([normal_rows, outliers])))
    normal, planted = scores[:-20], scores[-20:]
    assert planted.min() > np.quantile(normal, 0.995)
    # SageMaker's scale: common rows well under 1, rare ones above.
    assert 0.4 < np.median(normal) < 1.2
    assert 1.2 < planted.min() <= planted.max() < 6


@pytest.mark.parametrize(
    ("content_type", "body", "reason"),
    [
        (CSV, b"1,2,3", "the rows have 3 features, the model was trained with 2"),
        (CSV, b"1,2\n1,nan", "line 2, column 2 is 'nan', which is not a finite number"),
        (CSV, b"1,2\n1,", "line 2, column 2 is empty"),
        (CSV, b"1,Partner", "line 1, column 2 is 'Partner'"),
        (CSV, b"a,b\n1,2", "looks like a header row"),
        (CSV, b"", "there are no rows"),
        (JSON, b"[1,2]", 'the body has no list \\"instances\\"'.replace("\\", "")),
        (JSON, b'{"instances": []}', "there are no rows"),
        (JSON, b'{"instances": [{"features": [1, "2"]}]}', "instance 1 holds a feature that is not a finite number"),
        (JSON, b'{"instances": [{"features": [1, true]}]}', "instance 1 holds a feature that is not a finite number"),
        (JSON, b'{"instances": [{"features": [1, NaN]}]}', "instance 1 holds a feature that is not a finite number"),
        (JSON, b'{"instances": [{"features": [1, 2]}, {"features": [1]}]}', "instance 2 has 1 features"),
        (JSON, b'{"instances": [{"values": [1, 2]}]}', 'instance 1 has no list "features"'),
        (JSONLINES, b'{"features": [1, 2]}\n{', "line 2 is not JSON"),
    ],
)
def test_rows_the_model_cannot_read(
    sagemaker: SageMaker, serving: str, content_type: str, body: bytes, reason: str
) -> None:
    answer = refusal(sagemaker, serving, body, content_type)
    assert answer["Error"]["Code"] == "ModelError"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert answer["OriginalStatusCode"] == 400
    assert answer["OriginalMessage"].startswith("unable to evaluate payload provided: ")
    assert reason in answer["OriginalMessage"]
    assert answer["Error"]["Message"].startswith("Received client error (400) from primary with message ")
    assert answer["LogStreamArn"].endswith(f"/aws/sagemaker/Endpoints/{serving}")


@pytest.mark.parametrize("content_type", ["application/x-image", "text/plain", "application/octet-stream"])
def test_content_types_that_are_not_read(sagemaker: SageMaker, serving: str, content_type: str) -> None:
    answer = refusal(sagemaker, serving, b"0,0", content_type)
    assert (answer["Error"]["Code"], answer["OriginalStatusCode"]) == ("ModelError", 415)
    assert f"Content-type {content_type} not supported" in answer["OriginalMessage"]


def test_answers_are_never_csv(sagemaker: SageMaker, serving: str) -> None:
    answer = refusal(sagemaker, serving, b"0,0", Accept=CSV)
    assert (answer["Error"]["Code"], answer["OriginalStatusCode"]) == ("ModelError", 406)


def test_requests_to_what_is_not_there(sagemaker: SageMaker, serving: str) -> None:
    answer = refusal(sagemaker, "nobody", b"0,0")
    assert answer["Error"]["Code"] == "ValidationError"
    assert answer["Error"]["Message"] == "Endpoint nobody of account 000000000000 not found."
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert "not a multi-model endpoint" in refusal(sagemaker, serving, b"0,0", TargetModel="x")["Error"]["Message"]


def test_a_serverless_request_has_at_most_4_mib_and_an_instance_request_6(
    sagemaker: SageMaker, serving: str, artifact: str
) -> None:
    wide = b"0." + b"0" * (runtime.SERVERLESS_PAYLOAD - 4) + b",0"
    assert len(wide) == runtime.SERVERLESS_PAYLOAD
    assert json.loads(invoke(sagemaker, serving, wide))["scores"]
    answer = refusal(sagemaker, serving, b"0" + wide)
    assert answer["Error"]["Code"] == "ValidationError"
    assert "has oversize body" in answer["Error"]["Message"]

    instances: dict[str, Any] = {"ServerlessConfig": None, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    on_instances = sagemaker.endpoint(sagemaker.config(sagemaker.model(artifact), **instances))
    assert json.loads(invoke(sagemaker, on_instances, b"0" + wide))["scores"]
    too_wide = b"0." + b"0" * runtime.INSTANCE_PAYLOAD + b",0"
    assert refusal(sagemaker, on_instances, too_wide)["Error"]["Code"] == "ValidationError"


def test_a_serverless_response_has_a_limit_too(
    sagemaker: SageMaker, serving: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "SERVERLESS_PAYLOAD", 2000)
    answer = refusal(sagemaker, serving, b"0,0\n" * 200)
    assert (answer["Error"]["Code"], answer["OriginalStatusCode"]) == ("ModelError", 500)
    assert "exceeds 2000 bytes" in answer["OriginalMessage"]


def test_an_invocation_that_takes_too_long(sagemaker: SageMaker, serving: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "INVOCATION_SECONDS", 0.01)
    answer = refusal(sagemaker, serving, b"".join(b"%d,0\n" % row for row in range(20_000)))  # equal ones take no time
    assert (answer["Error"]["Code"], answer["OriginalStatusCode"]) == ("ModelError", 0)
    assert "timed out" in answer["OriginalMessage"]


def test_more_clients_than_max_concurrency_are_throttled(
    sagemaker: SageMaker, artifact: str, normal_rows: np.ndarray
) -> None:
    body = csv_of(np.vstack([normal_rows] * 3))

    def outcomes(endpoint: str) -> list[str]:
        def call(_: int) -> str:
            try:
                return f"{len(json.loads(invoke(sagemaker, endpoint, body))['scores'])} scores"
            except ClientError as error:
                answer = error.response
                return f"{answer['ResponseMetadata']['HTTPStatusCode']} {answer['Error']['Code']}"

        with ThreadPoolExecutor(6) as clients:
            return list(clients.map(call, range(6)))

    narrow = sagemaker.endpoint(sagemaker.config(sagemaker.model(artifact), concurrency=2))
    answers = outcomes(narrow)
    assert answers.count("15000 scores") >= 2
    assert answers.count("400 ThrottlingException") >= 1
    assert len(set(answers)) == 2
    # The slots are free again, and with room enough nobody is refused.
    assert len(sagemaker.scores(narrow, ROWS)) == 3
    wide = sagemaker.endpoint(sagemaker.config(sagemaker.model(artifact), concurrency=6))
    assert outcomes(wide) == ["15000 scores"] * 6


def test_an_endpoint_serves_from_its_artifact_and_not_from_memory(
    sagemaker: SageMaker, normal_rows: np.ndarray
) -> None:
    artifact = sagemaker.train(sagemaker.put(normal_rows))["ModelArtifacts"]["S3ModelArtifacts"]
    endpoint = sagemaker.endpoint(sagemaker.config(sagemaker.model(artifact)))
    before = sagemaker.scores(endpoint, ROWS)
    assert sagemaker.own_path("DELETE", "/_forests") == 200
    assert sagemaker.scores(endpoint, ROWS) == before
    sagemaker.own_path("DELETE", "/_forests")
    sagemaker.s3.delete_object(Bucket=BUCKET, Key=artifact.removeprefix(f"s3://{BUCKET}/"))
    answer = refusal(sagemaker, endpoint, b"0,0")
    assert answer["Error"]["Code"] == "ModelNotReadyException"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 429
