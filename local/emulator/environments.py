"""Execution environments of Lambda functions: one process each, kept warm, a bounded number a function."""

import contextlib
import io
import os
import queue
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .function_logs import FunctionLog
from .runtime_api import Invocation, RuntimeApi, Signal

_WORKER = Path(__file__).with_name("worker.py")
_INIT_SECONDS = 60  # Lambda allows 10; a busy laptop imports pandas more slowly than Lambda does
# Beyond the cores of the machine more environments only make each other slower. Further invocations wait.
_PER_FUNCTION = max(2, os.cpu_count() or 2)


@dataclass(frozen=True)
class Deployment:
    """A function as deployed: its configuration, its code and what its environments are given."""

    config: dict[str, Any]
    root: Path  # holds task/ (the code) and opt/ (the layers)
    environment: dict[str, str]


def unpack(root: Path, code: bytes, layers: list[bytes]) -> None:
    """Extract the code into root/task and the layers, in order, into root/opt, as Lambda mounts them."""
    staging = root.with_name(f"{root.name}.{uuid.uuid4().hex}")
    for name, archives in (("task", [code]), ("opt", layers)):
        (staging / name).mkdir(parents=True)
        for archive in archives:
            zipfile.ZipFile(io.BytesIO(archive)).extractall(staging / name)
    try:
        staging.rename(root)
    except OSError:  # another thread was first
        shutil.rmtree(staging, ignore_errors=True)


class Environment:
    """One process of the runtime client, from its start to its end."""

    def __init__(self, deployment: Deployment) -> None:
        self.id = uuid.uuid4().hex
        self.log = FunctionLog(deployment.config, self.id)
        self.api = RuntimeApi()
        self.alive = True
        self.init_ms: float | None = None  # until the first invocation has reported it
        self._scratch = deployment.root.parent / f"tmp-{self.id}"
        self._scratch.mkdir()
        self._lines: list[tuple[int, str]] = []
        self._rest = b""
        self._reading = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, str(_WORKER)],
            cwd=deployment.root / "task",
            env=_process_environment(deployment, self),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._stdin, self._output = self._process.stdin, self._process.stdout.fileno()
        os.set_blocking(self._output, False)
        threading.Thread(target=self._watch, name=f"lambda-{self._process.pid}", daemon=True).start()

    def _watch(self) -> None:
        """Keep the output pipe empty, and report the process's end."""
        poll = select.poll()
        poll.register(self._output, select.POLLIN)
        while True:
            poll.poll()
            if not self._read():
                break
        self._process.wait()
        self.api.signals.put(Signal("exit"))

    def _read(self) -> bool:
        """Take what is in the pipe. False at its end."""
        with self._reading:
            while True:
                try:
                    chunk = os.read(self._output, 65536)
                except BlockingIOError:
                    return True
                except OSError:
                    return False
                if not chunk:
                    return False
                *whole, self._rest = (self._rest + chunk).split(b"\n")
                now = int(time.time() * 1000)
                # The runtime client separates the lines of one traceback by \r to keep them one log event.
                self._lines += [(now, line.decode("utf-8", "replace").replace("\r", "\n")) for line in whole]

    def take_lines(self) -> list[tuple[int, str]]:
        """What was printed since the last call, in order."""
        self._read()
        with self._reading:
            lines, self._lines = self._lines, []
            if self._rest and not self.alive:
                lines.append((int(time.time() * 1000), self._rest.decode("utf-8", "replace")))
                self._rest = b""
        return lines

    def wait(self, seconds: float) -> Signal | None:
        """The next thing that happens in the environment; None when nothing does in time."""
        try:
            return self.api.signals.get(timeout=max(seconds, 0))
        except queue.Empty:
            return None

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def invoke(self, invocation: Invocation) -> None:
        self.api.send(invocation)

    def exit_reason(self) -> str:
        """How the process ended, in the words of Lambda's Runtime.ExitError."""
        code = self._process.wait()
        if code < 0:
            name = signal.Signals(-code).name
            return f"Runtime exited with error: signal: {_SIGNAL_WORDS.get(name, name)}"
        if code == 0:
            return "Runtime exited without providing a reason"
        return f"Runtime exited with error: exit status {code}"

    def peak_memory_mb(self) -> int:
        """The most resident memory the process has had, in MB; what Lambda reports as Max Memory Used."""
        pid = self._process.pid
        try:
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) // 1024
        except OSError:  # no /proc, or the process is gone: what ps still knows
            shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)
            return int(shown.stdout.strip() or 0) // 1024
        return 0

    def kill(self) -> None:
        self.alive = False
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        self.api.close()
        with contextlib.suppress(OSError):
            self._stdin.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def scratch(self) -> Path:
        return self._scratch


_SIGNAL_WORDS = {"SIGKILL": "killed", "SIGSEGV": "segmentation fault", "SIGABRT": "aborted", "SIGTERM": "terminated"}


def _process_environment(deployment: Deployment, environment: Environment) -> dict[str, str]:
    """What Lambda puts into the environment (its documented variables) and what makes it work here."""
    config = deployment.config
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    layers = deployment.root / "opt" / "python"
    logging_config = config.get("LoggingConfig") or {}
    variables = {
        "PATH": os.environ.get("PATH", ""),
        "LANG": "C.UTF-8",
        "TZ": ":UTC",
        # The emulator's answers to questions about X-Ray would only be noise: there is no daemon here.
        "POWERTOOLS_TRACE_DISABLED": "true",
        "AWS_XRAY_SDK_ENABLED": "false",
        **deployment.environment,
        "TMPDIR": str(environment.scratch),
        "HOME": str(environment.scratch),
        "PYTHONPATH": f"{layers}{os.pathsep}{layers}/lib/python{python}/site-packages",
        "_HANDLER": config["Handler"],
        "LAMBDA_TASK_ROOT": str(deployment.root / "task"),
        "AWS_LAMBDA_RUNTIME_API": environment.api.address,
        "AWS_LAMBDA_FUNCTION_NAME": config["FunctionName"],
        "AWS_LAMBDA_FUNCTION_VERSION": config.get("Version", "$LATEST"),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.get("MemorySize", 128)),
        "AWS_LAMBDA_LOG_GROUP_NAME": environment.log.group,
        "AWS_LAMBDA_LOG_STREAM_NAME": environment.log.stream,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{config.get('Runtime', 'python3.13')}",
    }
    if logging_config.get("LogFormat") == "JSON":
        variables["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        variables["AWS_LAMBDA_LOG_LEVEL"] = logging_config.get("ApplicationLogLevel", "INFO")
    return variables


class Pool:
    """The environments of one deployed function: at most `_PER_FUNCTION`, the most recently used first."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self._idle: list[Environment] = []
        self._free = threading.Semaphore(_PER_FUNCTION)
        self._lock = threading.Lock()
        self._preparing = threading.Lock()
        self._begun = False
        self._retired = False

    @contextlib.contextmanager
    def lease(self) -> Iterator[Environment]:
        """An environment for one invocation, started if none is idle."""
        with self._free:
            with self._preparing:
                environment, self._begun = self._take_idle(), True
            environment = environment or self._start()
            try:
                yield environment
            finally:
                self._give_back(environment)

    def prepare(self) -> None:
        """Start an environment ahead of the first invocation, which waits for it if it comes meanwhile."""
        with self._free, self._preparing:
            if not self._begun:
                self._begun = True
                self._give_back(self._start())

    def _start(self) -> Environment:
        environment = Environment(self.deployment)
        started = time.monotonic()
        first = environment.wait(_INIT_SECONDS)
        environment.init_ms = (time.monotonic() - started) * 1000
        if first is None or first.kind != "ready":
            environment.alive = False
            environment.api.signals.put(first or Signal("init_timeout"))
        return environment

    def _give_back(self, environment: Environment) -> None:
        with self._lock:
            keep = environment.alive and not self._retired
            if keep:
                self._idle.append(environment)
        if not keep:
            environment.kill()

    def _take_idle(self) -> Environment | None:
        """The idle environment used last; one that ended by itself meanwhile is dropped."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                environment = self._idle.pop()
            if not environment.has_ended():
                return environment
            environment.kill()

    def retire(self) -> None:
        """End idle environments now and busy ones when they finish: the function was deployed anew."""
        with self._lock:
            self._retired = True
            idle, self._idle = self._idle, []
        for environment in idle:
            environment.kill()
