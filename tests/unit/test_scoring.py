import json

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from suspicious_lines import scoring
from suspicious_lines.errors import EndpointBusyError, ModelResponseError
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
    ],
)
def test_endpoint_errors_are_told_apart(monkeypatch, code, raised):
    class Runtime:
        def invoke_endpoint(self, **request):
            raise ClientError({"Error": {"Code": code, "Message": ""}}, "InvokeEndpoint")

    monkeypatch.setattr(scoring, "client", lambda service: Runtime())
    with pytest.raises(raised):
        scoring._invoke("endpoint", b"1\n")
