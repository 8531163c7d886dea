"""The process of the embedded AWS: `python -m local.emulator --port 4566 --home DIR --outbox DIR`."""

import argparse
import asyncio
import os
import tempfile
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m local.emulator", description="Serve AWS on 127.0.0.1, without Docker."
    )
    parser.add_argument("--port", type=int, default=4566)
    parser.add_argument("--home", type=Path, default=Path(".local/emulator"), help="where all its files go")
    parser.add_argument("--outbox", type=Path, default=Path(".local/outbox"), help="where e-mails go, as .eml files")
    options = parser.parse_args()
    home = options.home.resolve()
    _set_environment(home, options.port)
    asyncio.run(_serve(home, options.port, options.outbox.resolve()))


def _set_environment(home: Path, port: int) -> None:
    """ministack reads its settings when it is imported."""
    scratch = home / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(scratch)
    endpoint = f"http://127.0.0.1:{port}"
    os.environ |= {
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": f"unix://{scratch}/no-docker.sock",  # never a container, even where Docker runs
        "LAMBDA_EXECUTOR": "local",
        "LAMBDA_ACCOUNT_CONCURRENCY": "1000",  # AWS's default; the pools queue what the machine cannot run
        "STATE_DIR": str(home / "state"),
        "TMPDIR": str(scratch),
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        os.environ.pop(name, None)


async def _serve(home: Path, port: int, outbox: Path) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from ministack.app import app

    from . import authority, calls, patches
    from .lambdas import Lambdas, function_environment
    from .states.integrations import machine

    lambdas = Lambdas(home / "functions", function_environment(f"http://127.0.0.1:{port}"))
    patches.apply(lambdas.execute, lambdas.prepare, outbox)
    calls.install(calls.STATES, lambda: machine.get().name)
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 0
    try:
        await serve(authority.answering(app), config)
    finally:
        lambdas.close()


if __name__ == "__main__":
    main()
