"""Scores one part of the validation lines by the endpoint: CSV in, JSON out, one score a line in the same order."""

import functools
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from botocore.exceptions import ClientError

from suspicious_lines import arrow, datasets, store
from suspicious_lines.asynchronous import invoke_async
from suspicious_lines.aws import client, error_code, error_message
from suspicious_lines.errors import EndpointBusyError, ModelGoneError, ModelResponseError
from suspicious_lines.hosting_modes import host_of, mode_of
from suspicious_lines.layout import RunFiles, is_challengers, shared_artifact
from suspicious_lines.messages import Scored, ScoreRequest
from suspicious_lines.settings import BucketSettings

# Serverless endpoints take and give 4 MB. An answer holds about 30 bytes a line ({"score":1.2345678901234567},).
MOST_REQUEST_BYTES = 4_000_000
MOST_REQUEST_LINES = 100_000
_GONE = ("not found", "Failed to download model data")  # the endpoint, and a model that was one of several behind it
_BUSY_CODES = {"ThrottlingException", "ModelNotReadyException", "ServiceUnavailable", "InternalDependencyException"}

Send = Callable[[bytes], bytes]


def score_part(request: ScoreRequest, settings: BucketSettings) -> Scored:
    """Scores a part by the endpoint, or by that of the model on trial where it is that one's, and writes `line` and
    `score` beside it.

    Raises:
        EndpointBusyError: the endpoint is throttled or not awake.
        ModelGoneError: there is no such endpoint any more.
        ModelResponseError: the model failed, or its scores do not fit the lines.
    """
    files, bucket = RunFiles(request.run), settings.data_bucket
    features = store.get_bytes(bucket, files.features(request.part))
    endpoint_name = request.endpoint_name
    if is_challengers(request.part):
        from suspicious_lines.routing import challenger_of  # which would make every cold start longer

        endpoint_name = challenger_of(bucket, request.run).endpoint_name
    scores = score_features(features, sender(endpoint_name, bucket, files))
    write_scores(bucket, files, request.part, scores)
    return Scored(part=request.part, lines=len(scores))


def write_scores(bucket: str, files: RunFiles, part: str, scores: list[float]) -> None:
    """Writes `line` and `score` of a part, whose lines are in the order of `scores`.

    Raises:
        ModelResponseError: the counts differ.
    """
    lines = datasets.read_part(bucket, files.lines(part), columns=["line"])["line"]
    if len(lines) != len(scores):
        raise ModelResponseError(f"{part} has {len(lines)} lines and {len(scores)} scores")
    scored = pa.Table.from_arrays([lines, arrow.array(np.array(scores))], names=["line", "score"])
    datasets.write_part(scored, bucket, files.scores(part))


def score_features(features: bytes, send: Send) -> list[float]:
    """The scores of headerless CSV lines, sent in as few bodies as the payload limit allows.

    Raises:
        ModelResponseError: an answer is not JSON of scores, or has another count than its request.
    """
    scores: list[float] = []
    for body in bodies(features):
        answer = send(body)
        try:
            found = [float(entry["score"]) for entry in json.loads(answer)["scores"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ModelResponseError(f"the model answered {len(answer)} bytes that are not scores") from error
        sent = body.count(b"\n")
        if len(found) != sent:
            raise ModelResponseError(f"the model answered {len(found)} scores for {sent} lines")
        scores += found
    return scores


def bodies(
    features: bytes, most_bytes: int = MOST_REQUEST_BYTES, most_lines: int = MOST_REQUEST_LINES
) -> Iterator[bytes]:
    """Cuts CSV at line ends into bodies within the limits; every line goes into exactly one, in order."""
    if 0 < len(features) <= most_bytes and features.count(b"\n") <= most_lines:
        yield features  # as a part nearly always is: nothing to cut, nothing to copy
        return
    body: list[bytes] = []
    size = 0
    for line in features.splitlines(keepends=True):
        if body and (size + len(line) > most_bytes or len(body) == most_lines):
            yield b"".join(body)
            body, size = [], 0
        body.append(line)
        size += len(line)
    if body:
        yield b"".join(body)


def sender(endpoint_name: str, bucket: str, files: RunFiles) -> Send:
    """Sends bodies of CSV to an endpoint, in the way of its mode; `files`: of the run that asks.

    The function it returns raises EndpointBusyError, ModelGoneError or ModelResponseError as `score_part` does.
    """
    if mode_of(endpoint_name).queue:
        return functools.partial(invoke_async, endpoint_name, bucket, files)
    target: dict[str, Any] = {"TargetModel": shared_artifact(endpoint_name)} if mode_of(endpoint_name).shared else {}
    return functools.partial(_invoke, host_of(endpoint_name), **target)


def _invoke(endpoint_name: str, body: bytes, **target: str) -> bytes:
    try:
        answer = client("sagemaker-runtime").invoke_endpoint(
            EndpointName=endpoint_name, **target, ContentType="text/csv", Accept="application/json", Body=body
        )
    except ClientError as error:
        code = error_code(error)
        if code in _BUSY_CODES:
            raise EndpointBusyError(f"{endpoint_name}: {code}") from error
        if code == "ValidationError" and any(words in error_message(error) for words in _GONE):
            name = target.get("TargetModel", endpoint_name)
            raise ModelGoneError(f"{name} does not exist any more") from error
        if code == "ModelError" and not 400 <= int(str(error.response.get("OriginalStatusCode", 400))) < 500:
            raise EndpointBusyError(f"{endpoint_name}: {error_message(error)}") from error  # the platform's fault
        if code == "ModelError":
            raise ModelResponseError(f"{endpoint_name}: {error_message(error)}") from error
        raise
    return answer["Body"].read()
