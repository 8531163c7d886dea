"""The calls to AWS that a process makes: written down, and broken where a test ordered it.

Nothing is installed unless LOCAL_CALLS names a folder. There, calls.jsonl gains a line for each try of each call,
history.jsonl that and one for what needs a permission though no call shows it, and order.json, while it exists, says
which call fails how (`Order`). Retries happen as always, but botocore and functions wait a hundredth of their time for
them. The file imports nothing of this package: functions' processes load it by itself.
"""

import contextlib
import contextvars
import dataclasses
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

FOLDER = "LOCAL_CALLS"
STATES, RULES = "StepFunctions", "EventBridge"  # the callers of what state machines call and rules start
SLOW_SECONDS = 0.5
_WAIT_SCALE = 0.01
_sleep = time.sleep
# What names the thing that a call is about. No other parameter is written down: some hold invoice text.
_NAMES = (
    "Bucket", "Key", "Prefix", "VersionId", "TableName", "TopicArn", "QueueUrl", "FunctionName", "TrainingJobName",
    "ModelName", "EndpointName", "EndpointConfigName", "RoleArn", "ExecutionRoleArn", "ResourceArn", "executionArn",
    "stateMachineArn", "StackName", "ProcessingJobName", "TransformJobName", "ModelPackageGroupName",
    "ModelPackageName", "ModelPackageArn", "ExperimentName", "TrialName", "TrialComponentName", "CopySource",
)  # fmt: skip
# The same of what lies deeper in a request: where SageMaker reads and writes, in what it runs, and each once.
_DEEPER_NAMES = ("S3Uri", "S3OutputPath", "ModelDataUrl", "TrainingImage", "Image", "ImageUri", "FeatureGroupName")
# Remarks: S3 has no such object; a link to the object was signed; a rule starts an execution.
MISSING, SIGNED, BY_RULE = "missing", "signed", "by rule"

# kind: what a caller sees; "done" where AWS has done what was asked all the same.
KINDS = {
    "throttle": "AWS refuses: too many requests",
    "server-error": "AWS answers 503",
    "timeout": "done, but no answer comes",
    "reset": "the connection breaks before AWS reads the request",
    "slow": "done, and the answer takes its time",
    "denied": "AWS refuses: access denied",
    "crash": "done, and the process dies before it reads the answer",
    "truncated": "done, and the answer breaks off",
    "miscounted": "done, and one score is missing (InvokeEndpoint)",
}
# (code, HTTP status): of S3, and of the other services.
_CODES = {
    "throttle": (("SlowDown", 503), ("ThrottlingException", 400)),
    "server-error": (("InternalError", 500), ("ServiceUnavailable", 503)),
    "denied": (("AccessDenied", 403), ("AccessDeniedException", 400)),
}


@dataclasses.dataclass(frozen=True)
class Order:
    """Which call fails, how, and how often: a call of `caller` to `operation`, whose names match `where` (regular
    expressions by name of parameter)."""

    kind: str
    caller: str
    service: str
    operation: str
    where: dict[str, str] = dataclasses.field(default_factory=dict)
    times: int = 1

    def meets(self, caller: str, service: str, operation: str, names: dict[str, str]) -> bool:
        return (self.caller, self.service, self.operation) == (caller, service, operation) and all(
            re.fullmatch(pattern, names.get(name, "")) for name, pattern in self.where.items()
        )


class Calls:
    """The folder of calls and the order, shared by all the processes of one local cloud."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def order(self, *orders: Order) -> None:
        """Replaces the orders that stand, if some do."""
        self.cancel()
        draft = self._folder / "draft.json"
        draft.write_text(json.dumps([dataclasses.asdict(order) for order in orders]))
        draft.rename(self._folder / "order.json")

    def cancel(self) -> int:
        """Takes the orders back; returns how often they were met."""
        (self._folder / "order.json").unlink(missing_ok=True)
        met = self.met()
        for mark in self._folder.glob("met-*"):
            mark.unlink()
        return met

    def met(self) -> int:
        """How often the orders that stand were met so far."""
        return len(list(self._folder.glob("met-*")))

    def take(self) -> list[dict[str, Any]]:
        """The calls written down so far, the oldest first; they are forgotten."""
        log, taken = self._folder / "calls.jsonl", self._folder / "taken.jsonl"
        with contextlib.suppress(FileNotFoundError):
            log.rename(taken)
            return [json.loads(line) for line in taken.read_text().splitlines()]
        return []

    def history(self) -> list[dict[str, Any]]:
        """All calls, whoever took them, and what was remarked, the oldest first."""
        with contextlib.suppress(FileNotFoundError):
            return [json.loads(line) for line in (self._folder / "history.jsonl").read_text().splitlines()]
        return []

    def remark(self, remark: str, service: str, operation: str, caller: str, names: dict[str, str]) -> None:
        line = {"caller": caller, "service": service, "operation": operation, "names": names, "remark": remark}
        self._write("history.jsonl", line)

    def meet(self, caller: str, service: str, operation: str, names: dict[str, str], machine: str = "") -> str | None:
        """How this call is to fail, which uses the order up by one; and writes the call down, with the state machine's
        name where one calls."""
        kind = None
        with contextlib.suppress(FileNotFoundError):
            orders = [Order(**each) for each in json.loads((self._folder / "order.json").read_text())]
            met = [place for place, order in enumerate(orders) if order.meets(caller, service, operation, names)]
            kind = next((orders[place].kind for place in met if self._uses_up(place, orders[place].times)), None)
        call = {"caller": caller, "service": service, "operation": operation, "names": names, "fault": kind}
        if machine:
            call["machine"] = machine
        self._write("calls.jsonl", call)
        self._write("history.jsonl", call)
        return kind

    def _write(self, name: str, line: dict[str, Any]) -> None:
        with (self._folder / name).open("a") as log:  # one write below the size of a page stays whole
            log.write(json.dumps(line) + "\n")

    def _uses_up(self, place: int, times: int) -> bool:
        for number in range(times):
            with contextlib.suppress(FileExistsError):
                (self._folder / f"met-{place}-{number}").touch(exist_ok=False)
                return True
        return False


def installed() -> Calls | None:
    """The calls' folder, where this process was given one."""
    return Calls(Path(os.environ[FOLDER])) if os.environ.get(FOLDER) else None


def names_in(given: dict[str, Any]) -> dict[str, str]:
    """What names the thing that a request is about; several of one name, as training channels have, behind another."""
    names = {name: given[name] for name in _NAMES if isinstance(given.get(name), str)}
    if given.get("Tags"):
        names["Tags"] = " ".join(sorted(tag["Key"] for tag in given["Tags"]))
    if alarms := [*given.get("AlarmNames", []), *([given["AlarmName"]] if "AlarmName" in given else [])]:
        names["AlarmNames"] = " ".join(alarms)
    if isinstance(given.get("Delete"), dict):
        names["Keys"] = json.dumps([found["Key"] for found in given["Delete"]["Objects"]])
    for name in _DEEPER_NAMES:
        if found := list(_deeper(given, name)):
            names[name] = " ".join(dict.fromkeys(found))
    return names


def _deeper(node: Any, name: str) -> Iterator[str]:
    if isinstance(node, list):
        for child in node:
            yield from _deeper(child, name)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == name and isinstance(value, str):
                yield value
            else:
                yield from _deeper(value, name)


def install(caller: str, machine: Callable[[], str] = lambda: "") -> None:
    """Writes down and breaks the calls that boto3 makes in this process, in the name of `caller`; `machine` tells which
    state machine calls."""
    calls = installed()
    if calls is None:
        return
    import botocore.client
    import botocore.endpoint

    module: Any = botocore.endpoint
    client: Any = botocore.client.BaseClient
    endpoint: Any = module.Endpoint
    stock_call, stock_try, stock_send = client._make_api_call, endpoint._do_get_response, endpoint._send
    stock_sign = client._emit_api_params
    parameters: contextvars.ContextVar[dict[str, Any]] = contextvars.ContextVar("parameters")
    fault: contextvars.ContextVar[str | None] = contextvars.ContextVar("fault", default=None)

    def call(self: Any, operation: str, given: dict[str, Any]) -> Any:
        parameters.set(given)
        return stock_call(self, operation, given)

    def attempt(self: Any, request: Any, operation: Any, context: Any) -> Any:
        names = names_in(parameters.get())
        service = operation.service_model.service_name
        kind = calls.meet(caller, service, operation.name, names, machine())
        fault.set(kind)
        if kind in _CODES:
            return _refusal(*_CODES[kind][0 if service == "s3" else 1], request.url)
        answer = _answer(kind, request, lambda: stock_try(self, request, operation, context))
        if service == "s3" and answer[0] and answer[0][0].status_code == 404:
            calls.remark(MISSING, service, operation.name, caller, names)
        return answer

    def sign(self: Any, api_params: dict[str, Any], operation_model: Any, context: Any, **rest: Any) -> Any:
        if context.get("is_presign_request"):
            calls.remark(SIGNED, "s3", operation_model.name, caller, names_in(api_params))
        return stock_sign(self, api_params, operation_model, context, **rest)

    def send(self: Any, request: Any) -> Any:
        response = stock_send(self, request)
        return _spoilt(fault.get(), response) if response.status_code == 200 else response

    client._make_api_call, client._emit_api_params = call, sign
    endpoint._do_get_response, endpoint._send = attempt, send
    # A function's process is the function's alone: awswrangler waits there too, and our own code for an endpoint.
    waiting: Any = SimpleNamespace() if caller == STATES else time
    waiting.sleep = lambda seconds: _sleep(seconds * _WAIT_SCALE)
    module.time = waiting


def _refusal(code: str, status: int, url: str) -> Any:
    from botocore.awsrequest import AWSResponse, HeadersDict

    metadata = {"HTTPStatusCode": status, "HTTPHeaders": {}, "RequestId": "injected"}
    parsed = {"Error": {"Code": code, "Message": "injected"}, "ResponseMetadata": metadata}
    empty: Any = HeadersDict()
    return (AWSResponse(url, status, empty, _Body(b"")), parsed), None


def _answer(kind: str | None, request: Any, attempt: Callable[[], Any]) -> Any:
    """What botocore makes of one try: (response and its parsed form, error)."""
    from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

    if kind == "reset":
        return None, ConnectionClosedError(endpoint_url=request.url)
    answer = attempt()
    if kind == "slow":
        _sleep(SLOW_SECONDS)
    elif kind == "timeout":
        return None, ReadTimeoutError(endpoint_url=request.url)
    elif kind == "truncated" and not request.stream_output:  # botocore reads such a body itself, as one with the answer
        return None, ConnectionClosedError(endpoint_url=request.url)
    elif kind == "crash":
        os._exit(1)
    return answer


def _spoilt(kind: str | None, response: Any) -> Any:
    """The response with a body that ends early, or that has a score less."""
    if kind == "truncated":
        whole = response.content
        response.raw, response._content = _Body(whole[: len(whole) // 2]), None
    elif kind == "miscounted":
        answer = json.loads(response.content)
        body = json.dumps({**answer, "scores": answer["scores"][:-1]}).encode()
        response.raw, response._content = _Body(body), None
        response.headers["Content-Length"] = str(len(body))
    return response


class _Body:
    """The little of urllib3's response that botocore reads of a body."""

    def __init__(self, body: bytes) -> None:
        self._rest = body

    def read(self, amount: int | None = None, **_: Any) -> bytes:
        amount = len(self._rest) if amount is None else amount
        chunk, self._rest = self._rest[:amount], self._rest[amount:]
        return chunk

    def readinto(self, buffer: Any) -> int:
        chunk = self.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def stream(self, *_: Any, **__: Any) -> Any:
        yield self.read()

    def close(self) -> None:
        pass
