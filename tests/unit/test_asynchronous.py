import json

import pytest
from botocore.exceptions import ClientError

from frames import BUCKET
from suspicious_lines import asynchronous, scoring, store
from suspicious_lines.asynchronous import invoke_async
from suspicious_lines.errors import EndpointBusyError, ModelGoneError, ModelResponseError
from suspicious_lines.layout import RunFiles, resource_name

NAME = resource_name("suspicious-lines", "model", mark="as")
FILES = RunFiles("run")


class Runtime:
    """Accepts what is queued, and answers it where `answer` or `failure` is given."""

    def __init__(self):
        self.sent, self.answer, self.failure, self.error = [], None, None, None

    def invoke_endpoint_async(self, **request):
        if self.error:
            raise ClientError({"Error": self.error}, "InvokeEndpointAsync")
        self.sent.append(request)
        places = {
            "OutputLocation": f"s3://{BUCKET}/runs/model/async/answers/{len(self.sent)}.out",
            "FailureLocation": f"s3://{BUCKET}/runs/model/async/failures/{len(self.sent)}-error.out",
        }
        for body, place in ((self.answer, "OutputLocation"), (self.failure, "FailureLocation")):
            if body:
                store.put(BUCKET, places[place].removeprefix(f"s3://{BUCKET}/"), body, "text/plain")
        return places


@pytest.fixture
def runtime(cloud, monkeypatch):
    fake, stock = Runtime(), asynchronous.client
    monkeypatch.setattr(asynchronous, "client", lambda name: fake if name == "sagemaker-runtime" else stock(name))
    monkeypatch.setattr(asynchronous, "FIRST_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(asynchronous, "WAIT_SECONDS", 0.05)
    return fake


def test_the_body_goes_to_s3_and_the_answer_comes_from_there(runtime):
    runtime.answer = b'{"scores": [{"score": 1.5}]}'
    assert invoke_async(NAME, BUCKET, FILES, b"1,2\n") == runtime.answer
    (sent,) = runtime.sent
    assert sent["EndpointName"] == NAME
    assert sent["InputLocation"].startswith(f"s3://{BUCKET}/runs/run/async/")
    assert store.get_bytes(BUCKET, sent["InputLocation"].removeprefix(f"s3://{BUCKET}/")) == b"1,2\n"


def test_scores_come_by_the_queue_where_the_models_name_says_so(runtime):
    runtime.answer = b'{"scores": [{"score": 1.5}]}'
    assert scoring.score_features(b"1,2\n", scoring.sender(NAME, BUCKET, FILES)) == [1.5]


class BrokenOffError(Exception):
    """The function ended while it waited."""


def test_what_was_sent_before_a_try_broke_off_is_waited_for_and_not_sent_again(runtime, monkeypatch):
    def end(seconds):
        raise BrokenOffError

    with monkeypatch.context() as patch:
        patch.setattr(asynchronous.time, "sleep", end)
        with pytest.raises(BrokenOffError):
            invoke_async(NAME, BUCKET, FILES, b"1,2\n")
    store.put(BUCKET, "runs/model/async/answers/1.out", b"late", "text/plain")
    assert invoke_async(NAME, BUCKET, FILES, b"1,2\n") == b"late"
    assert len(runtime.sent) == 1
    # Another body and another model are other questions.
    runtime.answer = b"new"
    assert invoke_async(NAME, BUCKET, FILES, b"3,4\n") == b"new"
    assert invoke_async(resource_name("suspicious-lines", "other", mark="as"), BUCKET, FILES, b"1,2\n") == b"new"
    assert len(runtime.sent) == 3


def test_an_endpoint_that_does_not_answer_is_asked_again_and_may_be_gone(runtime):
    with pytest.raises(EndpointBusyError, match="has not answered"):
        invoke_async(NAME, BUCKET, FILES, b"1,2\n")
    runtime.error = {"Code": "ValidationError", "Message": "Endpoint x of account 0 not found."}
    with pytest.raises(ModelGoneError):
        invoke_async(NAME, BUCKET, FILES, b"1,2\n")


def test_a_failure_is_told_in_words_and_the_next_try_asks_again(runtime):
    runtime.failure = b"Received server error (500) from primary"
    with pytest.raises(ModelResponseError, match="Received server error"):
        invoke_async(NAME, BUCKET, FILES, b"1,2\n")
    runtime.failure, runtime.answer = None, json.dumps({"scores": []}).encode()
    assert invoke_async(NAME, BUCKET, FILES, b"1,2\n") == runtime.answer
    assert len(runtime.sent) == 2


@pytest.mark.parametrize(
    ("code", "message", "error"),
    [
        ("ValidationError", "Endpoint x of account 0 not found.", ModelGoneError),
        ("ThrottlingException", "", EndpointBusyError),
        ("ServiceUnavailable", "", EndpointBusyError),
        ("ValidationError", "InputLocation", ClientError),
    ],
)
def test_what_the_endpoint_refuses(runtime, code, message, error):
    runtime.error = {"Code": code, "Message": message}
    with pytest.raises(error):
        invoke_async(NAME, BUCKET, FILES, b"1,2\n")
