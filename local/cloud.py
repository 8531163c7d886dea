"""Starts the whole local cloud (the embedded AWS and the SageMaker engine), deploys the stack, and stops it again."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import boto3

from .emulator.deploy import deploy

ROOT = Path(__file__).resolve().parent.parent
STACK = "suspicious-lines"
# How a laptop's deployment differs from AWS's: nothing takes minutes there, and the addresses lead to the outbox.
LAPTOP_PARAMETERS = {
    "PollSeconds": "1",
    "ReviewersEmail": "reviewers@example.com",
    "OperatorsEmail": "operators@example.com",
}
_START_SECONDS = 60
_LOGS = ("emulator.log", "sagemaker.log")


class CloudError(RuntimeError):
    """The local cloud cannot start; the message says what to do about it."""


class Cloud:
    """The local cloud, as a context manager; everything it writes is below `home`.

    Args:
        home: gets outputs.json, env.json, outbox/ and logs/.
        port: of the embedded AWS. 0 takes any free one; so for `engine_port`, SageMaker's.
        parameters: of the stack.
        template: the SAM template to deploy.
        engine: the module that serves SageMaker, with its arguments.
        enforce: judge every call of functions and state machines by their roles' policies.

    Raises:
        CloudError: a port is taken, or a process ended or did not answer.
        DeployError: the stack failed.
    """

    def __init__(
        self,
        home: Path,
        port: int = 4566,
        engine_port: int = 4567,
        parameters: dict[str, str] | None = None,
        template: Path = ROOT / "template.yaml",
        engine: tuple[str, ...] = ("local.sagemaker",),
        enforce: bool = False,
    ) -> None:
        self._home = home.resolve()
        self._port = port or _free_port()
        self._engine_port = engine_port or _free_port()
        self._parameters = parameters or {}
        self._template = template
        self._engine = engine
        self._enforce = enforce
        self._processes: list[subprocess.Popen] = []
        self._session: Any = None
        self.endpoint_url = f"http://127.0.0.1:{self._port}"
        self.engine_url = f"http://127.0.0.1:{self._engine_port}"
        self.outbox = self._home / "outbox"
        self.outputs: dict[str, str] = {}

    def __enter__(self) -> "Cloud":
        for port, name in ((self._port, "AWS"), (self._engine_port, "SageMaker")):
            _require_free(port, name)
        logs = self._home / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self.outbox.mkdir(exist_ok=True)
        try:
            emulator = ["local.emulator", "--port", str(self._port), "--home", str(self._home / "emulator")]
            emulator += ["--outbox", str(self.outbox)]
            self._start(emulator, logs / _LOGS[0])
            self._start([*self._engine, "--port", str(self._engine_port)], logs / _LOGS[1])
            self._session = boto3.Session("test", "test", region_name="us-east-1")
            s3, cloudformation = self.client("s3"), self.client("cloudformation")
            self._wait_for(self._port, logs)
            self.outputs = deploy(self._template, STACK, self._parameters, s3, cloudformation)
            self._wait_for(self._engine_port, logs)
            self._write_files()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def client(self, name: str) -> Any:
        """A boto3 client of any service; SageMaker's and Application Auto Scaling's go to the engine."""
        ours = name.startswith("sagemaker") or name == "application-autoscaling"
        url = self.engine_url if ours else self.endpoint_url
        return self._session.client(name, endpoint_url=url)

    def resources(self) -> Iterator[dict[str, Any]]:
        """What CloudFormation knows of each resource of the stack and of the stacks nested in it."""
        cloudformation, stacks = self.client("cloudformation"), [STACK]
        while stacks:
            for resource in cloudformation.describe_stack_resources(StackName=stacks.pop())["StackResources"]:
                if resource["ResourceType"] == "AWS::CloudFormation::Stack":
                    stacks.append(resource["PhysicalResourceId"])
                else:
                    yield resource

    def close(self) -> None:
        """Stop both processes and all that they started."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=2)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdin:
                process.stdin.close()
        self._processes = []

    def _start(self, arguments: list[str], log: Path) -> None:
        """Start a module in a session of its own that ends with this process, whatever ends this process."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "local.emulator.lifeline", *arguments],
                cwd=ROOT,
                env=_without_aws(os.environ) | self._endpoints() | self._enforcement(),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)

    def _wait_for(self, port: int, logs: Path) -> None:
        """Return when something answers HTTP on the port; raise as soon as a process has ended."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and all(process.poll() is None for process in self._processes):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_ministack/health", timeout=1).close()
                return
            except urllib.error.HTTPError:
                return  # an answer, if only that there is no such page
            except OSError:
                time.sleep(0.03)
        ended = [log for log, process in zip(_LOGS, self._processes, strict=True) if process.poll() is not None]
        texts = [f"{logs / log} ends with:\n" + _tail(logs / log) for log in ended or _LOGS]
        raise CloudError("A process of the local cloud did not start. " + "\n".join(texts))

    def _endpoints(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ENDPOINT_URL_SAGEMAKER": self.engine_url,
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": self.engine_url,
            "AWS_ENDPOINT_URL_SAGEMAKER_FEATURESTORE_RUNTIME": self.engine_url,
            "AWS_ENDPOINT_URL_SAGEMAKER_METRICS": self.engine_url,
            "AWS_ENDPOINT_URL_APPLICATION_AUTO_SCALING": self.engine_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "PYTHONUNBUFFERED": "1",
        }

    def _enforcement(self) -> dict[str, str]:
        """ministack's switch, and where the engine asks who may what."""
        return {"AUTH": "true", "LOCAL_IAM": f"{self.endpoint_url}/_local/denial"} if self._enforce else {}

    def _write_files(self) -> None:
        """outputs.json for people and scripts; env.json as `sam local invoke --env-vars` reads it."""
        described = {
            "endpoint_url": self.endpoint_url,
            "engine_url": self.engine_url,
            "outputs": self.outputs,
            "outbox": str(self.outbox),
        }
        (self._home / "outputs.json").write_text(json.dumps(described, indent=2) + "\n")
        own = self._endpoints()
        del own["PYTHONUNBUFFERED"]
        functions = {}
        lambdas = self.client("lambda")
        for resource in self.resources():
            if resource["ResourceType"] == "AWS::Lambda::Function":
                config = lambdas.get_function_configuration(FunctionName=resource["PhysicalResourceId"])
                functions[resource["LogicalResourceId"]] = config.get("Environment", {}).get("Variables", {}) | own
        (self._home / "env.json").write_text(json.dumps(functions, indent=2) + "\n")


def _without_aws(environment: Mapping[str, str]) -> dict[str, str]:
    """The user's own AWS settings (a profile, a session token) have no place in the local cloud."""
    return {name: value for name, value in environment.items() if not name.startswith("AWS_")}


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _require_free(port: int, name: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise CloudError(
                f"Port {port}, where the local {name} listens, is in use. Stop what uses it "
                f"(another `make up`? `lsof -i :{port}` names it) and start again."
            ) from error
