"""InvokeEndpoint: rows in, anomaly scores out, within the limits of the endpoint's kind.

Requests are `text/csv`, `application/json`, `application/jsonlines` or RecordIO-protobuf; responses are the same, but
never CSV.
"""

import contextlib
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message

import numpy as np

from local.sagemaker import forest, multi_model, recordio, tables
from local.sagemaker.endpoints import Endpoints, Variant
from local.sagemaker.errors import ApiError, DataError, model_error
from local.sagemaker.shapes import service
from local.sagemaker.store import Store

SERVERLESS_PAYLOAD = 4 * 1024 * 1024
INSTANCE_PAYLOAD: int = service("sagemaker-runtime").shape_for("BodyBlob").metadata["max"]
INVOCATION_SECONDS = 60.0
ACCEPTED = ("application/json", "application/jsonlines", recordio.MEDIA_TYPE)

READERS: dict[str, Callable[[bytes], np.ndarray]] = {
    "text/csv": tables.from_csv,
    "application/json": tables.from_json,
    "application/jsonlines": tables.from_jsonlines,
    recordio.MEDIA_TYPE: recordio.to_rows,
}


@dataclass(frozen=True)
class Response:
    body: bytes
    content_type: str
    variant: str


class _TooSlow(Exception):
    """The invocation took longer than a container may."""


class Runtime:
    """Scores the rows of an invocation with the endpoint's forest."""

    def __init__(self, endpoints: Endpoints, store: Store, region: str, account: str) -> None:
        self._endpoints, self._store = endpoints, store
        self._region, self._account = region, account

    def invoke(self, endpoint: str, headers: Message, body: bytes) -> Response:
        """Raises ApiError: ValidationError, ThrottlingException, ModelNotReadyException or ModelError."""
        variant = self._endpoints.variant(endpoint, headers.get("X-Amzn-SageMaker-Target-Variant"))
        target = headers.get(multi_model.TARGET_MODEL)
        artifact = multi_model.artifact(endpoint, variant.model_data_url, target, self._store)
        limit = INSTANCE_PAYLOAD if variant.max_concurrency is None else SERVERLESS_PAYLOAD
        if len(body) > limit:
            raise ApiError("ValidationError", f"Request {uuid.uuid4()} has oversize body.")
        if self._endpoints.is_asynchronous(endpoint):
            raise ApiError("ValidationError", f"Endpoint {endpoint} takes asynchronous invocations only.")
        with variant.slot():
            response = self.answer(endpoint, variant, headers, body, limit, INVOCATION_SECONDS, artifact)
        shadow, capture = self._endpoints.beside(endpoint)
        sampled = capture.sampled()

        def keep(given: Response) -> None:
            if sampled:
                asked = media_type(headers.get("Content-Type"), "application/octet-stream"), body
                named = headers.get("X-Amzn-SageMaker-Inference-Id")
                with contextlib.suppress(DataError):  # no capture is worth an answer
                    capture.write(endpoint, given.variant, asked, (given.content_type, given.body), named)

        keep(response)
        if shadow:
            self._replicate(endpoint, shadow, headers, body, limit, keep)
        return response

    def _replicate(
        self,
        endpoint: str,
        shadow: Variant,
        headers: Message,
        body: bytes,
        limit: int,
        keep: Callable[[Response], None],
    ) -> None:
        """The shadow's answer goes nowhere but into the capture, and what is wrong with it is nobody's error."""

        def answer() -> None:
            with contextlib.suppress(ApiError), shadow.slot():
                keep(self.answer(endpoint, shadow, headers, body, limit, INVOCATION_SECONDS))

        threading.Thread(target=answer, daemon=True).start()

    def answer(
        self,
        endpoint: str,
        variant: Variant,
        headers: Message,
        body: bytes,
        limit: int,
        seconds: float,
        artifact: str = "",
    ) -> Response:
        """The container's answer within its time, by the variant's own artifact or another.

        Raises ApiError: ModelNotReadyException or ModelError.
        """
        content_type = media_type(headers.get("Content-Type"), "application/octet-stream")
        accept = media_type(headers.get("Accept"), "application/json")
        if content_type not in READERS:
            raise self._model_error(
                endpoint, 415, f"Content-type {content_type} not supported; supported: {', '.join(READERS)}"
            )
        if accept not in ACCEPTED:
            raise self._model_error(
                endpoint, 406, f"Accept type {accept} not supported; supported: {', '.join(ACCEPTED)}"
            )
        artifact = artifact or variant.model_data_url
        answer = encode(self._score(endpoint, artifact, READERS[content_type], body, seconds), accept)
        if len(answer) > limit:
            raise self._model_error(endpoint, 500, f"response of {len(answer)} bytes exceeds {limit} bytes")
        return Response(answer, accept, variant.name)

    def _score(
        self, endpoint: str, artifact: str, read: Callable[[bytes], np.ndarray], body: bytes, seconds: float
    ) -> list[float]:
        deadline = time.monotonic() + seconds

        def in_time() -> None:
            if time.monotonic() > deadline:
                raise _TooSlow

        try:
            model = self._store.forest(artifact)
        except DataError as error:
            raise ApiError("ModelNotReadyException", f"The model cannot be loaded: {error}", 429) from None
        try:
            return forest.score(model, read(body), in_time)
        except DataError as error:
            raise self._model_error(endpoint, 400, f"unable to evaluate payload provided: {error}") from None
        except _TooSlow:
            waited = "Your invocation timed out while waiting for a response from container primary"
            raise self._model_error(endpoint, 0, waited) from None

    def _model_error(self, endpoint: str, status: int, message: str) -> ApiError:
        return model_error(endpoint, status, message, self._region, self._account)


def media_type(header: str | None, default: str) -> str:
    """What stands in front of the parameters of a Content-Type or Accept."""
    found = (header or "").split(";")[0].strip().lower()
    return default if found in ("", "*/*") else found


def encode(scores: list[float], accept: str) -> bytes:
    """The container's answer in one of the ACCEPTED types."""
    if accept == recordio.MEDIA_TYPE:
        return recordio.from_scores(scores)
    # As json.dumps would write them, in a quarter of the time: most scores occur several times.
    written = {score: f'{{"score": {score!r}}}' for score in set(scores)}
    records = [written[score] for score in scores]
    if accept == "application/jsonlines":
        return "".join(f"{record}\n" for record in records).encode()
    return f'{{"scores": [{", ".join(records)}]}}'.encode()
