"""Scoring by an asynchronous endpoint: the body goes to S3 and into a queue, and so does what becomes of it."""

import hashlib
import json
import time
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from suspicious_lines import store
from suspicious_lines.aws import client, error_code, error_message
from suspicious_lines.errors import EndpointBusyError, ModelGoneError, ModelResponseError
from suspicious_lines.layout import RunFiles

# Below the 900 s of the functions that wait here. The first instance after none takes minutes to start.
WAIT_SECONDS = 720
FIRST_LOOK_SECONDS, LOOK_SECONDS = 0.2, 5.0
# What the queue and the model may take together is the state machine's to bound.
REQUEST_TTL_SECONDS, INVOCATION_SECONDS = 21_600, 60
LONGEST_REASON = 500


def invoke_async(endpoint_name: str, bucket: str, files: RunFiles, body: bytes) -> bytes:
    """The model's answer to a body of CSV. Where an earlier try broke off, its answer is waited for.

    Raises:
        EndpointBusyError: there was no answer in time; the next try sends the body again, because an endpoint that
            was deleted meanwhile says so only then.
        ModelGoneError: there is no such endpoint any more.
        ModelResponseError: the model failed; the next try sends the body again.
    """
    name = hashlib.sha256(endpoint_name.encode() + b"\n" + body).hexdigest()[:32]
    note = files.asynchronous(f"{name}.json")
    found = store.get_with_etag(bucket, note)
    places = (json.loads(found[0]) if found else {}) or _send(endpoint_name, bucket, files, name, body)
    deadline, pause = time.monotonic() + WAIT_SECONDS, FIRST_LOOK_SECONDS
    while True:
        if answer := _found(places["answer"]):
            return answer
        if failure := _found(places["failure"]):
            store.put_json(bucket, note, {})
            raise ModelResponseError(f"{endpoint_name}: {failure.decode(errors='replace')[:LONGEST_REASON]}")
        if time.monotonic() > deadline:
            store.put_json(bucket, note, {})
            raise EndpointBusyError(f"{endpoint_name} has not answered within {WAIT_SECONDS} seconds")
        time.sleep(pause)
        pause = min(2 * pause, LOOK_SECONDS)


def _send(endpoint_name: str, bucket: str, files: RunFiles, name: str, body: bytes) -> dict[str, str]:
    """Queues the body and notes where it will be answered."""
    key = files.asynchronous(f"{name}.csv")
    store.put(bucket, key, body, "text/csv")
    try:
        sent = client("sagemaker-runtime").invoke_endpoint_async(
            EndpointName=endpoint_name,
            ContentType="text/csv",
            Accept="application/json",
            InputLocation=f"s3://{bucket}/{key}",
            RequestTTLSeconds=REQUEST_TTL_SECONDS,
            InvocationTimeoutSeconds=INVOCATION_SECONDS,
        )
    except ClientError as error:
        if error_code(error) == "ValidationError" and "not found" in error_message(error):
            raise ModelGoneError(f"{endpoint_name} does not exist any more") from error
        if error_code(error) in {"ThrottlingException", "ServiceUnavailable"}:
            raise EndpointBusyError(f"{endpoint_name}: {error_code(error)}") from error
        raise
    places = {"answer": sent["OutputLocation"], "failure": sent["FailureLocation"]}
    store.put_json(bucket, files.asynchronous(f"{name}.json"), places)
    return places


def _found(uri: str) -> bytes | None:
    place = urlsplit(uri)
    found = store.get_with_etag(place.netloc, place.path.lstrip("/"))
    return found[0] if found else None
