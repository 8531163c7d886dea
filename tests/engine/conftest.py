"""An S3 (with SNS, SQS and CloudWatch beside it) and an engine for the tests, both real servers on 127.0.0.1."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from local.sagemaker import Engine, EngineServer, serve

from .clients import BUCKET, REGION, SageMaker, client, connect, wait_for


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "BIND_HOST": "127.0.0.1",
        "IOT_MTLS_ENABLED": "0",
        "SERVICES": "s3,sns,sqs,logs,monitoring,glue",
        "GATEWAY_PORT": str(port),
        "LOG_LEVEL": "ERROR",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "ministack"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: process.poll() is None and _listens(port))
        client("s3", url).create_bucket(Bucket=BUCKET)
        yield url
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def engine(s3_url: str) -> Iterator[EngineServer]:
    others = {name: client(name, s3_url) for name in ("sns", "cloudwatch", "glue")}
    server = serve(Engine(client("s3", s3_url), REGION, **others), 0)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def sagemaker(engine: EngineServer, s3_url: str) -> SageMaker:
    return connect(engine.url, s3_url)


@pytest.fixture(scope="session")
def sns(s3_url: str) -> Any:
    return client("sns", s3_url)


@pytest.fixture(scope="session")
def sqs(s3_url: str) -> Any:
    return client("sqs", s3_url)


@pytest.fixture(scope="session")
def cloudwatch(s3_url: str) -> Any:
    return client("cloudwatch", s3_url)


@pytest.fixture(scope="session")
def scaling(engine: EngineServer) -> Any:
    """Application Auto Scaling, which the engine serves too."""
    return client("application-autoscaling", engine.url)


@pytest.fixture(autouse=True)
def no_faults_left(sagemaker: SageMaker) -> Iterator[None]:
    yield
    sagemaker.own_path("DELETE", "/_faults")


@pytest.fixture(scope="session")
def normal_rows() -> np.ndarray:
    """5,000 rows of two features around the origin."""
    return np.random.default_rng(1).normal(size=(5000, 2))


@pytest.fixture(scope="session")
def artifact(sagemaker: SageMaker, normal_rows: np.ndarray) -> str:
    """The model.tar.gz of a small job over `normal_rows`."""
    return sagemaker.train(sagemaker.put(normal_rows))["ModelArtifacts"]["S3ModelArtifacts"]


@pytest.fixture(scope="session")
def serving(sagemaker: SageMaker, artifact: str) -> str:
    """A serverless endpoint of `artifact`."""
    return sagemaker.endpoint(sagemaker.config(sagemaker.model(artifact)))
