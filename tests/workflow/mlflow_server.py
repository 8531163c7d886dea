"""A real tracking server of MLflow (in .venv-mlflow), on 127.0.0.1 with SQLite, and what it is asked."""

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PYTHON = Path(__file__).parents[2] / ".venv-mlflow/bin/python"
SECONDS = 60


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, log = f"http://127.0.0.1:{port}", folder / "mlflow.log"
    command = [str(PYTHON), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--gunicorn-opts", "--log-level warning"]  # the smaller of its two servers
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--artifacts-destination", str(folder)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MLFLOW_"))}
    environment |= {"HOME": str(folder), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=output, stderr=output, start_new_session=True
        )
    try:
        deadline = time.monotonic() + SECONDS
        while not _answers(f"{url}/health"):
            waits = server.poll() is None and time.monotonic() < deadline
            assert waits, log.read_text(errors="replace")[-3000:]
            time.sleep(0.1)
        yield url
    finally:
        os.killpg(server.pid, 15)
        server.wait()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=1).close()
    except OSError:
        return False
    return True


def ask(url: str, operation: str, **body: Any) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{url}/api/2.0/mlflow/{operation}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)
