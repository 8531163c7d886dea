"""The engine's one HTTP port: SageMaker's control plane and Application Auto Scaling (JSON 1.1), the runtimes of its
endpoints and of its feature store and the metrics of trial components (REST) and two paths for tests.

POST /_faults orders a fault, DELETE /_faults clears them all, DELETE /_forests empties the memory of loaded forests.
"""

import json
import re
import threading
import traceback
import uuid
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from local.sagemaker import authority, feature_store, scaling
from local.sagemaker.asynchronous import INVOKE_ASYNC
from local.sagemaker.engine import INVOKE, PUT_METRICS, Engine, Operation
from local.sagemaker.errors import ApiError
from local.sagemaker.runtime import Response

HOST = "127.0.0.1"
LARGEST_BODY = 64 * 1024 * 1024
STOP_POLL_SECONDS = 0.05
INVOCATION = re.compile(r"/endpoints/([^/]+)/invocations")
FEATURE_GROUP = re.compile(r"/FeatureGroup/([^/?]+)(\?.*)?")
ASYNC_INVOCATION = re.compile(r"/endpoints/([^/]+)/async-invocations")


class EngineServer:
    """A running engine: where it answers (`url`, `port`) and how it ends (`stop`)."""

    def __init__(self, http: ThreadingHTTPServer) -> None:
        self._http = http
        self.port: int = http.server_address[1]
        self.url = f"http://{HOST}:{self.port}"
        self._thread = threading.Thread(target=http.serve_forever, args=(STOP_POLL_SECONDS,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the port; jobs still running end with the process."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def serve(engine: Engine, port: int) -> EngineServer:
    """Starts an engine on 127.0.0.1; port 0 takes any free one. OSError when the port is in use."""
    handler = type("Handler", (_Handler,), {"engine": engine})
    return EngineServer(_Server((HOST, port), handler))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    engine: Engine
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one packet for headers and body: no 40 ms wait for a delayed acknowledgement

    def do_POST(self) -> None:
        body = self._body()
        if body is None:
            return
        if match := INVOCATION.fullmatch(self.path):
            self._runtime(unquote(match[1]), body)
        elif match := ASYNC_INVOCATION.fullmatch(self.path):
            self._runtime_async(unquote(match[1]))
        elif self.path == "/BatchWriteRecord":
            self._write_features("BatchWriteRecord", body, {})
        elif self.path == "/_faults":
            self._control(self.engine.order_fault, body)
        elif self.path == "/" and self.headers.get("X-Amz-Target", "").startswith("SageMaker."):
            operation = self.headers["X-Amz-Target"].removeprefix("SageMaker.")
            self._control(partial(self.engine.call, operation), body, operation)
        elif self.path == "/" and self.headers.get("X-Amz-Target", "").startswith(scaling.TARGET_PREFIX):
            operation = self.headers["X-Amz-Target"].removeprefix(scaling.TARGET_PREFIX)
            self._control(partial(self.engine.scale, operation), body, operation, scaling.SERVICE)
        else:
            self._unknown()

    def do_PUT(self) -> None:
        body = self._body()
        if body is None:
            return
        if match := FEATURE_GROUP.fullmatch(self.path):
            self._write_features("PutRecord", body, {"FeatureGroupName": unquote(match[1])})
        elif self.path == f"/{PUT_METRICS}":
            self._control(self.engine.put_metrics, body, PUT_METRICS, "sagemaker-metrics")
        else:
            self._unknown()

    def do_DELETE(self) -> None:
        if self._body() is None:
            return
        if match := FEATURE_GROUP.fullmatch(self.path):
            asked = parse_qs(urlsplit(self.path).query)
            named = {name: values if name == "TargetStores" else values[0] for name, values in asked.items()}
            self._write_features("DeleteRecord", b"", named | {"FeatureGroupName": unquote(match[1])})
        elif self.path == "/_faults":
            self.engine.clear_faults()
            self._send_json(200, {})
        elif self.path == "/_forests":
            self.engine.forget_forests()
            self._send_json(200, {})
        else:
            self._unknown()

    def do_GET(self) -> None:
        self._unknown()

    def log_message(self, format: str, *args: Any) -> None:
        """No line per request: a workflow polls every second."""

    def _control(self, operation: Operation, body: bytes, name: str = "", service: str = "sagemaker") -> None:
        try:
            try:
                request = json.loads(body or b"{}")
            except ValueError:
                raise ApiError("SerializationException", "The request body is not JSON.") from None
            if not isinstance(request, dict):
                raise ApiError("SerializationException", "The request body is not a JSON object.")
            if name:
                authority.require(self.headers, service, name, request)
            self._send_json(200, operation(request))
        except ApiError as error:
            self._send_json(error.status, {"__type": error.code, "message": error.message} | error.members)
        except ConnectionError:
            self.close_connection = True
        except Exception:  # the client gets AWS's answer to a bug, the terminal the bug
            traceback.print_exc()
            self._send_json(500, {"__type": "InternalFailure", "message": "The local engine failed; see its output."})

    def _runtime(self, endpoint: str, body: bytes) -> None:
        self._invoke(endpoint, INVOKE, lambda: self._send_scores(self.engine.invoke(endpoint, self.headers, body)))

    def _runtime_async(self, endpoint: str) -> None:
        self._invoke(endpoint, INVOKE_ASYNC, lambda: self._accept(self.engine.invoke_async(endpoint, self.headers)))

    def _write_features(self, operation: str, body: bytes, named: dict[str, Any]) -> None:
        """`named`: the members of the request that its path has."""
        try:
            request = json.loads(body or b"{}") | named
        except (ValueError, TypeError):
            self._send_json(400, {"Message": "The request body is not a JSON object."}, "ValidationError")
            return
        self._rest(
            feature_store.SERVICE, operation, request,
            lambda: self._send_json(200, self.engine.write_features(operation, request)),
        )  # fmt: skip

    def _invoke(self, endpoint: str, operation: str, answer: Callable[[], None]) -> None:
        self._rest("sagemaker-runtime", operation, {"EndpointName": endpoint}, answer)

    def _rest(self, service: str, operation: str, request: dict[str, Any], answer: Callable[[], None]) -> None:
        try:
            authority.require(self.headers, service, operation, request)
            answer()
        except ApiError as error:
            self._send_json(error.status, {"Message": error.message} | error.members, error.code)
        except ConnectionError:
            self.close_connection = True
        except Exception:
            traceback.print_exc()
            self._send_json(500, {"Message": "The local engine failed; see its output."}, "InternalFailure")

    def _unknown(self) -> None:
        message = f"{self.command} {self.path} is not an operation of SageMaker or of its runtime."
        self._send_json(404, {"__type": "UnknownOperationException", "message": message}, "UnknownOperationException")

    def _body(self) -> bytes | None:
        """The request's body; None when it was refused, with the answer sent."""
        length = self.headers.get("Content-Length", "0")
        if length.isdigit() and int(length) <= LARGEST_BODY and "Transfer-Encoding" not in self.headers:
            return self.rfile.read(int(length))
        self.close_connection = True
        self._send_json(413, {"__type": "ValidationError", "message": "The body is too large or has no length."})
        return None

    def _send_scores(self, response: Response) -> None:
        headers = {"Content-Type": response.content_type, "x-Amzn-Invoked-Production-Variant": response.variant}
        self._send(200, headers, response.body)

    def _accept(self, accepted: dict[str, str]) -> None:
        headers = {"Content-Type": "application/json"}
        headers |= {f"X-Amzn-SageMaker-{name}": place for name, place in accepted.items() if name != "InferenceId"}
        self._send(202, headers, json.dumps({"InferenceId": accepted["InferenceId"]}).encode())

    def _send_json(self, status: int, body: dict[str, Any], error_type: str | None = None) -> None:
        headers = {"Content-Type": "application/x-amz-json-1.1"}
        if error_type is not None:
            headers["x-amzn-ErrorType"] = error_type
        self._send(status, headers, json.dumps(body).encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
