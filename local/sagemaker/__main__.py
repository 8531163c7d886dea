"""`python -m local.sagemaker --port 4567`: the engine in the foreground, on the S3 that AWS_ENDPOINT_URL names."""

import argparse
import os
import signal
import sys
import threading
from typing import Any

import boto3
from botocore.config import Config

from local.sagemaker.engine import Engine
from local.sagemaker.server import serve


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.sagemaker", description=__doc__)
    parser.add_argument("--port", type=int, default=4567, help="0 takes any free port; the first line printed names it")
    port = parser.parse_args().port
    if not (os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")):
        print("Set AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_S3: the engine uses a local S3 only.", file=sys.stderr)
        return 2
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    s3 = boto3.client("s3", region_name=region, config=Config(max_pool_connections=50, s3={"addressing_style": "path"}))
    # Never AWS's own bus: told only where an endpoint is named that events go to.
    told = os.environ.get("AWS_ENDPOINT_URL_EVENTS") or os.environ.get("AWS_ENDPOINT_URL")
    make: Any = boto3.client
    events = make("events", region_name=region) if told else None
    try:
        sns, cloudwatch, glue = (make(name, region) for name in ("sns", "cloudwatch", "glue"))
        server = serve(Engine(s3, region, events, sns, cloudwatch, glue), port)
    except OSError as error:
        print(f"Cannot listen on 127.0.0.1:{port}: {error.strerror}. Is another engine running?", file=sys.stderr)
        return 1
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    print(f"SageMaker engine listening on {server.url}", flush=True)
    ended.wait()
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
