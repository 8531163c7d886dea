"""InvokeEndpointAsync: requests wait in the endpoint's queue for an instance, and are answered in S3 and by SNS.

https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference.html
"""

import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from typing import Any

from local.sagemaker.endpoints import Endpoints
from local.sagemaker.errors import ApiError, DataError
from local.sagemaker.faults import Faults
from local.sagemaker.runtime import Runtime
from local.sagemaker.shapes import service
from local.sagemaker.store import Store

INVOKE_ASYNC = "InvokeEndpointAsync"
FAULT = "AsyncInvocation"  # what tests order: the model fails on a request from the queue
LARGEST_INPUT = 1024**3
DEFAULT_TTL_SECONDS, DEFAULT_INVOCATION_SECONDS = 6 * 3600, 900
AT_ONCE = 4  # of an instance, where the configuration leaves it to SageMaker
LOOK_SECONDS = 0.02
HEADER = "X-Amzn-SageMaker-"

Publish = Callable[[str, dict[str, Any]], None]


@dataclass
class Request:
    """One in the queue. `output` is AsyncInferenceConfig's OutputConfig when it was accepted."""

    endpoint: str
    headers: Message
    output: dict[str, Any]
    seconds: int
    expires: float
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    received: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def input(self) -> str:
        return str(self.headers[f"{HEADER}InputLocation"])

    @property
    def answer(self) -> str:
        return f"{self.output['S3OutputPath'].rstrip('/')}/{self.id}.out"

    @property
    def failure(self) -> str | None:
        path = self.output.get("S3FailurePath")
        return f"{path.rstrip('/')}/{self.id}-error.out" if path else None


class AsyncInference:
    """The queues of all endpoints."""

    def __init__(
        self, endpoints: Endpoints, runtime: Runtime, store: Store, faults: Faults, publish: Publish, region: str
    ) -> None:
        self._endpoints, self._runtime, self._store, self._faults = endpoints, runtime, store, faults
        self._publish, self._region = publish, region
        self._waiting: dict[str, int] = {}
        self._running: dict[str, int] = {}
        self._lock = threading.Lock()

    def invoke(self, endpoint: str, headers: Message) -> dict[str, str]:
        """Accepts a request; the answer's members. Raises ApiError (ValidationError)."""
        config = self._endpoints.configuration(endpoint)
        if "AsyncInferenceConfig" not in config:
            raise ApiError("ValidationError", f"Endpoint {endpoint} does not support asynchronous inference.")
        if not headers.get(f"{HEADER}InputLocation"):
            raise ApiError("ValidationError", "InputLocation must be the S3 location of the request's payload.")
        request = Request(
            endpoint,
            headers,
            config["AsyncInferenceConfig"]["OutputConfig"],
            _number(headers, "InvocationTimeoutSeconds", DEFAULT_INVOCATION_SECONDS),
            time.monotonic() + _number(headers, "RequestTTLSeconds", DEFAULT_TTL_SECONDS),
        )
        at_once = config["AsyncInferenceConfig"].get("ClientConfig", {}).get("MaxConcurrentInvocationsPerInstance")
        self._count(self._waiting, endpoint, 1)
        threading.Thread(target=self._serve, args=(request, at_once or AT_ONCE), daemon=True).start()
        answer = {"InferenceId": request.id, "OutputLocation": request.answer}
        return answer | ({"FailureLocation": request.failure} if request.failure else {})

    def backlog(self, endpoint: str) -> int:
        """How many requests wait or are worked on: ApproximateBacklogSize."""
        with self._lock:
            return self._waiting.get(endpoint, 0) + self._running.get(endpoint, 0)

    def _serve(self, request: Request, at_once: int) -> None:
        try:
            while not self._start(request.endpoint, at_once):
                if time.monotonic() > request.expires:
                    return self._fail(request, "The request was not served within RequestTTLSeconds.")
                time.sleep(LOOK_SECONDS)
        except ApiError:  # the endpoint is deleted, and its queue with it
            return None
        finally:
            self._count(self._waiting, request.endpoint, -1)
        try:
            self._answer(request)
        except (ApiError, DataError) as error:
            self._fail(request, str(error))
        finally:
            self._count(self._running, request.endpoint, -1)

    def _start(self, endpoint: str, at_once: int) -> bool:
        """Whether an instance takes the request now. ApiError when the endpoint is gone."""
        instances = self._endpoints.instances(endpoint)
        with self._lock:
            if self._running.get(endpoint, 0) >= instances * at_once:
                return False
            self._running[endpoint] = self._running.get(endpoint, 0) + 1
            return True

    def _answer(self, request: Request) -> None:
        if fault := self._faults.take(FAULT):
            raise DataError(fault.message)
        body = self._store.read(request.input)
        if len(body) > LARGEST_INPUT:
            raise DataError(f"{request.input} is larger than 1 GB")
        headers = Message()
        for name in ("Content-Type", "Accept"):
            if value := request.headers.get(HEADER + name):
                headers[name] = value
        variant = self._endpoints.variant(request.endpoint, None)
        response = self._runtime.answer(request.endpoint, variant, headers, body, LARGEST_INPUT, request.seconds)
        self._store.write(request.answer, response.body)
        told = {"contentType": response.content_type, "outputLocation": request.answer}
        self._tell(request, "SuccessTopic", {"invocationStatus": "Completed", "responseParameters": told})

    def _fail(self, request: Request, reason: str) -> None:
        if request.failure:
            self._store.write(request.failure, reason.encode())
        self._tell(request, "ErrorTopic", {"invocationStatus": "Failed", "failureReason": reason})

    def _tell(self, request: Request, topic: str, outcome: dict[str, Any]) -> None:
        arn = request.output.get("NotificationConfig", {}).get(topic)
        if arn:
            about = {"endpointName": request.endpoint, "inputLocation": request.input}
            told = {
                "awsRegion": self._region,
                "eventTime": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "receivedTime": request.received.isoformat(timespec="milliseconds"),
                "requestParameters": about,
                "inferenceId": request.id,
                "eventVersion": "1.0",
                "eventSource": "aws:sagemaker",
                "eventName": "InferenceResult",
            }
            self._publish(arn, told | outcome)

    def _count(self, counts: dict[str, int], endpoint: str, more: int) -> None:
        with self._lock:
            counts[endpoint] = counts.get(endpoint, 0) + more


def publisher(sns: Any) -> Publish:
    """Publishes to a topic of the SNS that the client reaches."""
    return lambda arn, message: sns.publish(TopicArn=arn, Message=json.dumps(message))


def _number(headers: Message, name: str, default: int) -> int:
    """A header within the bounds of the runtime's own model."""
    text = headers.get(HEADER + name)
    if text is None:
        return default
    shape = service("sagemaker-runtime").operation_model(INVOKE_ASYNC).input_shape
    assert shape is not None
    bounds = shape.members[name].metadata
    if not text.isdigit() or not bounds["min"] <= int(text) <= bounds["max"]:
        raise ApiError("ValidationError", f"{name} must be between {bounds['min']} and {bounds['max']}, not {text}.")
    return int(text)
