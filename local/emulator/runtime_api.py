"""Lambda's Runtime API (version 2018-06-01) on a loopback port, for one execution environment.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import queue
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PREFIX = "/2018-06-01/runtime"


@dataclass(frozen=True)
class Invocation:
    """One event on its way to a handler. `deadline` is in milliseconds since the epoch."""

    request_id: str
    event: bytes
    function_arn: str
    deadline: int
    trace_id: str | None


@dataclass(frozen=True)
class Signal:
    """What became of the environment: ready, response, error, init_error or exit, with the body it carries."""

    kind: str
    body: bytes = b""
    request_id: str = ""


class RuntimeApi:
    """Hands invocations to the runtime client and puts what it answers into `signals`."""

    def __init__(self) -> None:
        self.signals: queue.SimpleQueue[Signal] = queue.SimpleQueue()
        self._invocations: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, name="runtime-api", daemon=True).start()

    def send(self, invocation: Invocation) -> None:
        self._invocations.put(invocation)

    def next(self) -> Invocation | None:
        self.signals.put(Signal("ready"))
        return self._invocations.get()

    def close(self) -> None:
        self._invocations.put(None)
        threading.Thread(target=self._server.shutdown, daemon=True).start()
        self._server.server_close()


def _handler_for(api: RuntimeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            if self.path != f"{_PREFIX}/invocation/next":
                return self._answer(404)
            invocation = api.next()
            if invocation is None:
                return self._answer(500)
            headers = {
                "Content-Type": "application/json",
                "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                "Lambda-Runtime-Deadline-Ms": str(invocation.deadline),
                "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
            }
            if invocation.trace_id:
                headers["Lambda-Runtime-Trace-Id"] = invocation.trace_id
            self._answer(200, invocation.event, headers)
            return None

        def do_POST(self) -> None:
            body = self._body()
            if self.path == f"{_PREFIX}/init/error":
                api.signals.put(Signal("init_error", body))
                return self._answer(202, b'{"status":"OK"}')
            *_, request_id, kind = self.path.split("/")
            if kind not in ("response", "error"):
                return self._answer(404)
            self._answer(202, b'{"status":"OK"}')
            api.signals.put(Signal(kind, body, request_id))
            return None

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {"Content-Type": "application/json"}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
