import io
import json

import numpy as np
import pyarrow as pa
import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from frames import BUCKET
from suspicious_lines import datasets, scoring, store
from suspicious_lines.errors import EndpointBusyError, ModelGoneError, ModelResponseError
from suspicious_lines.hosting_modes import host_of
from suspicious_lines.layout import RunFiles, resource_name
from suspicious_lines.scoring import bodies, score_features


def echo(body: bytes) -> bytes:
    """A model whose score of a line is the line's own number."""
    return json.dumps({"scores": [{"score": float(line)} for line in body.split()]}).encode()


@given(st.lists(st.integers(0, 10**6)), st.integers(1, 40), st.integers(1, 7))
def test_bodies_hold_every_line_once_in_order_within_the_limits(numbers, most_bytes, most_lines):
    features = b"".join(b"%d\n" % number for number in numbers)
    cut = list(bodies(features, most_bytes, most_lines))
    assert b"".join(cut) == features
    for body in cut:
        lines = body.count(b"\n")
        assert lines <= most_lines
        assert len(body) <= most_bytes or lines == 1


def test_scores_come_back_in_the_order_of_the_lines():
    features = b"".join(b"%d\n" % number for number in range(1000))
    assert score_features(features, echo) == [float(number) for number in range(1000)]


@pytest.mark.parametrize(
    "answer",
    [b'{"scores":[{"score":1.0}]}', b'{"scores":[]}', b"<html>", b'{"scores":[{"other":1}]}', b'{"scores":null}', b""],
)
def test_an_answer_that_does_not_fit_its_request_is_an_error(answer):
    with pytest.raises(ModelResponseError):
        score_features(b"1\n2\n", lambda body: answer)


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        ("ThrottlingException", EndpointBusyError),
        ("ModelNotReadyException", EndpointBusyError),
        ("ModelError", ModelResponseError),
        ("ValidationError", ClientError),
        ("Endpoint not found", ModelGoneError),
    ],
)
def test_endpoint_errors_are_told_apart(monkeypatch, code, raised):
    class Failing:
        def invoke_endpoint(self, **request):
            gone = code == "Endpoint not found"
            error = {"Code": "ValidationError" if gone else code, "Message": "Endpoint x not found" if gone else None}
            raise ClientError({"Error": error}, "InvokeEndpoint")

    monkeypatch.setattr(scoring, "client", lambda service: Failing())
    with pytest.raises(raised):
        scoring._invoke("endpoint", b"1\n")


def test_a_model_that_shares_an_endpoint_is_asked_for_by_its_name(monkeypatch):
    name = resource_name("suspicious-lines", "run", mark="mm")
    asked = []

    class Runtime:
        def invoke_endpoint(self, **request):
            asked.append(request)
            message = "Failed to download model data(bucket: b, key: k). Please ensure that there is an object"
            raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "InvokeEndpoint")

    monkeypatch.setattr(scoring, "client", lambda service: Runtime())
    with pytest.raises(ModelGoneError, match=f"{name}.tar.gz does not exist any more"):
        scoring.sender(name, "bucket", RunFiles("run"))(b"1\n")
    assert (asked[0]["EndpointName"], asked[0]["TargetModel"]) == (host_of(name), f"{name}.tar.gz")


class Runtime:
    """An endpoint whose score of a line is the line's own number."""

    def __init__(self):
        self.requests = []

    def invoke_endpoint(self, **request):
        self.requests.append(request)
        return {"Body": io.BytesIO(echo(request["Body"]))}


def test_score_lines_writes_a_score_beside_every_line(cloud, load_handler, context, monkeypatch):
    runtime = Runtime()
    monkeypatch.setattr(scoring, "client", lambda service: runtime)
    store.put(BUCKET, "runs/run/features/validation/part-00003.csv", b"5\n7\n6\n", "text/csv")
    lines = pa.table({"line": np.array([11, 2, 30]), "firm_name": ["a", "b", "c"]})
    datasets.write_part(lines, BUCKET, "runs/run/lines/validation/part-00003.parquet")
    event = {"run": "run", "part": "validation/part-00003", "endpoint_name": "endpoint"}
    assert load_handler("score_lines")(event, context) == {"part": "validation/part-00003", "lines": 3}
    scores = datasets.read_part(BUCKET, "runs/run/scores/validation/part-00003.parquet", ["line", "score"])
    assert scores.to_pydict() == {"line": [11, 2, 30], "score": [5.0, 7.0, 6.0]}
    (request,) = runtime.requests
    assert (request["ContentType"], request["Accept"]) == ("text/csv", "application/json")


def test_score_lines_refuses_features_that_are_not_those_of_the_lines(cloud, load_handler, context, monkeypatch):
    monkeypatch.setattr(scoring, "client", lambda service: Runtime())
    store.put(BUCKET, "runs/run/features/validation/part-00000.csv", b"5\n7\n", "text/csv")
    datasets.write_part(pa.table({"line": [1]}), BUCKET, "runs/run/lines/validation/part-00000.parquet")
    with pytest.raises(ModelResponseError, match="1 lines and 2 scores"):
        load_handler("score_lines")(
            {"run": "run", "part": "validation/part-00000", "endpoint_name": "endpoint"}, context
        )
