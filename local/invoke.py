"""Runs one function in this process with Lambda's own runtime client, so that `breakpoint()` opens in the terminal.

The event is unmarshalled, the answer marshalled and an exception shaped as on Lambda; only the timeout is not enforced.
"""

import json
import os
import sys
import time
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


class UnknownFunctionError(ValueError):
    """There is no such function, or no environment for it."""


def invoke(function: str, event: Path | None, home: Path) -> int:
    """Run `functions/<function>/app.py`, print its answer, and return the exit status.

    Args:
        function: the name of its folder, e.g. `preprocess`.
        event: a JSON file; by default `events/<function>.json`.
        home: of a running `local up`, whose env.json has the function's environment.
    """
    code = ROOT / "functions" / function
    if not (code / "app.py").is_file():
        known = sorted(path.parent.name for path in ROOT.glob("functions/*/app.py"))
        raise UnknownFunctionError(f"There is no function {function}. There are: {', '.join(known)}.")
    event = event or ROOT / "events" / f"{function}.json"
    os.environ |= _environment(function, home)
    sys.path[:0] = [str(code), str(ROOT / "layers" / "core")]
    # Imported here because it reads the environment.
    from awslambdaric import bootstrap

    bootstrap._setup_logging(None, None, _Terminal())
    answer = _Answer()
    handler = bootstrap._get_handler("app.handler")
    bootstrap.handle_event_request(
        answer,
        handler,
        invoke_id=str(uuid.uuid4()),
        event_body=event.read_bytes(),
        content_type="application/json",
        client_context_json=None,
        cognito_identity_json=None,
        invoked_function_arn=f"arn:aws:lambda:us-east-1:000000000000:function:{function}",
        epoch_deadline_time_in_ms=int(time.time() * 1000) + 900_000,
        tenant_id=None,
        log_sink=_Terminal(),
    )
    print(json.dumps(json.loads(answer.body), indent=2, ensure_ascii=False))
    return 1 if answer.failed else 0


def _environment(function: str, home: Path) -> dict[str, str]:
    logical_id = "".join(word.capitalize() for word in function.split("_")) + "Function"
    path = home / "env.json"
    if not path.is_file():
        raise UnknownFunctionError(f"{path} is missing: start the local cloud first (make up).")
    functions = json.loads(path.read_text())
    if logical_id not in functions:
        raise UnknownFunctionError(f"{path} has no {logical_id}; start the local cloud again (make up).")
    own = {
        "AWS_LAMBDA_FUNCTION_NAME": function,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "POWERTOOLS_TRACE_DISABLED": "true",
    }
    return functions[logical_id] | own


class _Answer:
    """Takes what the runtime client would post to Lambda."""

    def __init__(self) -> None:
        from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller

        self.marshaller = LambdaMarshaller()
        self.body: Any = "null"
        self.failed = False

    def post_invocation_result(self, invoke_id: str, result: Any, content_type: str, invocation_id: Any = None) -> None:
        self.body = result

    def post_invocation_error(self, invoke_id: str, error: str, xray_fault: str, invocation_id: Any = None) -> None:
        self.body, self.failed = error, True


class _Terminal:
    """The log, on stderr: the answer alone goes to stdout."""

    def log(self, message: str, frame_type: Any = None) -> None:
        sys.stderr.write(message)

    def log_error(self, lines: list[str]) -> None:
        sys.stderr.write("\n".join(lines) + "\n")
