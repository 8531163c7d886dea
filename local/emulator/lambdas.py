"""Runs Lambda functions: takes the emulator's place of execution and answers in Lambda's own error shapes."""

import contextvars
import hashlib
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ministack import app
from ministack.services import lambda_svc

from . import authority, calls
from .environments import Deployment, Environment, Pool, unpack
from .runtime_api import Invocation, Signal

_RESPONSE_LIMIT = 6_291_556  # bytes; https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_REQUEST_LIMIT = 6_291_456
_ASYNC_REQUEST_LIMIT = 1_048_576
_FUNCTION_ARN = re.compile(r"arn:aws:lambda:[^\"]+")


class Lambdas:
    """The warm pools of all the functions.

    Args:
        root: where code is unpacked.
        environment: variables that every function gets: endpoints, credentials, region.
    """

    def __init__(self, root: Path, environment: dict[str, str]) -> None:
        shutil.rmtree(root, ignore_errors=True)  # of an emulator that was killed
        self._root = root
        self._environment = environment
        self._pools: dict[str, tuple[str, Pool]] = {}
        self._prepared: set[str] = set()
        self._lock = threading.Lock()

    def execute(self, func: dict, event: dict, request_id: str) -> dict:
        """Run one invocation. Answers as ministack's executors do: body, error, function_error, log."""
        config = func.get("config") or func
        pool = self._pool(func, config)
        payload = json.dumps(event).encode()
        with pool.lease() as environment:
            run = _Run(environment, config, request_id)
            body, error_type = run.invoke(payload)
        result: dict[str, Any] = {"body": body, "log": run.tail}
        if error_type:
            result |= {"error": True, "function_error": "Unhandled"}
        return result

    def prepare(self, definition: str) -> None:
        """Start the functions that a state machine names in the background: while one works or the machine waits, the
        next ones start. Lambda, too, starts environments ahead of need. Once for each definition."""
        with self._lock:
            if definition in self._prepared:
                return
            self._prepared.add(definition)
        threading.Thread(target=contextvars.copy_context().run, args=(self._prepare, definition), daemon=True).start()

    def _prepare(self, definition: str) -> None:
        machine = json.loads(definition)
        for arn in dict.fromkeys(functions_in_order(machine["States"], machine["StartAt"], set())):
            func, config, _ = lambda_svc._get_func_record_for_ref(arn)
            if func and config:
                record = lambda_svc._execution_record_for_config(func, config)
                self._pool(record, record.get("config") or record).prepare()

    def _pool(self, func: dict, config: dict) -> Pool:
        """The pool of this deployment; a pool of an earlier deployment of the same function is retired."""
        layers = [lambda_svc._resolve_layer_zip(layer) or b"" for layer in config.get("Layers") or []]
        variables = (config.get("Environment") or {}).get("Variables") or {}
        parts = [config["CodeSha256"], config["Handler"], config.get("Timeout"), config.get("MemorySize"), variables]
        parts += [config.get("LoggingConfig"), [hashlib.sha256(layer).hexdigest() for layer in layers]]
        key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
        name = f"{config['FunctionName']}:{config.get('Version', '$LATEST')}"
        with self._lock:
            known, pool = self._pools.get(name, ("", None))
            if pool is not None and known == key:
                return pool
            root = self._root / f"{config['FunctionName']}-{key}"
            if not root.exists():
                unpack(root, func["code_zip"], [layer for layer in layers if layer])
            own = authority.credentials(config["Role"], config["FunctionName"]) if app.AUTH else {}
            new = Pool(Deployment(config, root, {**self._environment, **own, **variables}))
            self._pools[name] = (key, new)
        if pool is not None:
            threading.Thread(target=pool.retire, daemon=True).start()
        return new

    def close(self) -> None:
        for _, pool in self._pools.values():
            pool.retire()
        shutil.rmtree(self._root, ignore_errors=True)


class _Run:
    """One invocation in one environment: its outcome, its log lines."""

    def __init__(self, environment: Environment, config: dict, request_id: str) -> None:
        self._environment = environment
        self._config = config
        self._id = request_id
        self._init_ms, environment.init_ms = environment.init_ms, None
        self.tail = ""

    def invoke(self, payload: bytes) -> tuple[Any, str | None]:
        """The body to answer with, and the error's type when it is one."""
        environment, log = self._environment, self._environment.log
        lines = environment.take_lines()
        lines.append((_now_ms(), log.start(self._id)))
        started = time.monotonic()
        if environment.alive:
            timeout = int(self._config.get("Timeout", 3))
            environment.invoke(
                Invocation(
                    self._id,
                    payload,
                    self._config["FunctionArn"],
                    _now_ms() + timeout * 1000,
                    lambda_svc._xray_trace_id_for_invocation(self._config),
                )
            )
        body, error_type, status = self._outcome(started)
        duration_ms = (time.monotonic() - started) * 1000
        memory = environment.peak_memory_mb()
        lines += environment.take_lines()
        if status == "timeout":
            stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            seconds = int(self._config.get("Timeout", 3))
            lines.append((_now_ms(), f"{stamp} {self._id} Task timed out after {seconds:.2f} seconds"))
        report = {
            "duration_ms": duration_ms,
            "init_ms": self._init_ms,
            "memory_mb": memory,
            "status": status,
            "error_type": error_type,
        }
        lines += [(_now_ms(), line) for line in log.end(self._id, report)]
        log.write(lines)
        self.tail = "\n".join(message for _, message in lines)
        return body, error_type

    def _outcome(self, started: float) -> tuple[Any, str | None, str]:
        """(body, error type, the REPORT line's status)."""
        timeout = int(self._config.get("Timeout", 3))
        while True:
            signal = self._environment.wait(started + timeout - time.monotonic()) or Signal("timeout")
            kind = signal.kind
            if kind == "ready" or (kind in ("response", "error") and signal.request_id != self._id):
                continue
            if kind == "response":
                return self._response(signal.body)
            if kind == "error":
                error = json.loads(signal.body)
                return error, error["errorType"], "error"
            # From here on the environment is of no further use.
            self._environment.alive = False
            if kind == "init_error":
                error = json.loads(signal.body)
                return error, error["errorType"], "error"
            if kind == "exit":
                return self._fault("Runtime.ExitError", self._environment.exit_reason(), "error")
            seconds = timeout if kind == "timeout" else 10
            return self._fault("Sandbox.Timedout", f"Task timed out after {seconds:.2f} seconds", "timeout")

    def _response(self, body: bytes) -> tuple[Any, str | None, str]:
        if len(body) <= _RESPONSE_LIMIT:
            return body, None, "success"
        message = f"Response payload size exceeded maximum allowed payload size ({_RESPONSE_LIMIT} bytes)."
        kind = "Function.ResponseSizeTooLarge"
        return {"errorMessage": message, "errorType": kind}, kind, "error"

    def _fault(self, kind: str, words: str, status: str) -> tuple[Any, str | None, str]:
        return {"errorMessage": f"RequestId: {self._id} Error: {words}", "errorType": kind}, kind, status


def functions_in_order(states: dict[str, Any], name: str | None, seen: set[str]) -> Iterator[str]:
    """The ARNs in the states that follow one another from `name`, what a Choice takes by default first."""
    if name is None or name in seen:
        return
    seen.add(name)
    state = states[name]
    yield from _FUNCTION_ARN.findall(json.dumps(state))
    for following in (state.get("Default"), *(rule["Next"] for rule in state.get("Choices", [])), state.get("Next")):
        yield from functions_in_order(states, following, seen)


def request_too_large(headers: dict[str, str]) -> tuple[int, dict[str, str], bytes] | None:
    """Lambda's refusal of a request above its payload limit, or None."""
    size = int(headers.get("content-length") or 0)
    asynchronous = headers.get("x-amz-invocation-type") == "Event"
    limit = _ASYNC_REQUEST_LIMIT if asynchronous else _REQUEST_LIMIT
    if size <= limit:
        return None
    if asynchronous:
        code, message = "RequestTooLargeException", f"{size} byte payload is too large for the Event invocation type"
        message += f" (limit {limit} bytes)"
    else:
        code = "RequestEntityTooLargeException"
        message = f"Request must be smaller than {limit} bytes for the InvokeFunction operation"
    error = {"Message": message, "Type": "User"}
    headers = {"Content-Type": "application/json", "x-amzn-errortype": code}
    return 413, headers, json.dumps(error).encode()


def function_environment(endpoint_url: str) -> dict[str, str]:
    """Endpoints, credentials and region for functions; SageMaker's and the calls' folder are this process's."""
    variables = {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    named = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("AWS_ENDPOINT_URL_") or name == calls.FOLDER
    }
    return variables | named


def _now_ms() -> int:
    return int(time.time() * 1000)
