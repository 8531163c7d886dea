"""The commands of the local cloud: up, drop, demo, invoke."""

import argparse
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from botocore.exceptions import BotoCoreError, ClientError

from .follow import NotStartedError, find_execution, follow
from .invoke import UnknownFunctionError, invoke

if TYPE_CHECKING:
    from .cloud import Cloud

_HOME = Path(".local")


def main() -> int:
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs with it ignored
    os.environ.pop("AWS_PROFILE", None)  # a profile of the user's own has no part in this
    try:
        return options.run(options)
    except KeyboardInterrupt:
        return 130
    except (RuntimeError, ValueError, OSError, BotoCoreError, ClientError) as error:
        # Errors whose message is for the user: CloudError, DeployError, a missing file, a cloud that ended.
        print(f"local: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="start the local cloud and keep it running until Ctrl-C")
    up.add_argument("--port", type=int, default=4566, help="of AWS (default: 4566)")
    up.add_argument("--engine-port", type=int, default=4567, help="of SageMaker (default: 4567)")
    up.set_defaults(run=_up)

    drop = commands.add_parser("drop", help="upload a file to the running cloud and follow what it starts")
    drop.add_argument("file", type=Path)
    drop.add_argument("--prefix", default="incoming/", help="of the key in the data bucket (default: incoming/)")
    drop.set_defaults(run=_drop)

    demo = commands.add_parser("demo", help="the whole job on the sample data, from upload to e-mail")
    demo.set_defaults(run=_demo)

    one = commands.add_parser("invoke", help="run one function in this process, against the running cloud")
    one.add_argument("function", help="its folder below functions/, e.g. preprocess")
    one.add_argument("--event", type=Path, help="a JSON file (default: events/FUNCTION.json)")
    one.set_defaults(run=_invoke)

    for command in (up, drop, one):
        command.add_argument("--home", type=Path, default=_HOME, help="where its files are (default: .local)")
    return parser


def _terminated(*_: Any) -> NoReturn:
    sys.exit(143)


def _up(options: argparse.Namespace) -> int:
    from .cloud import LAPTOP_PARAMETERS, Cloud

    with Cloud(options.home, options.port, options.engine_port, LAPTOP_PARAMETERS) as cloud:
        try:
            _describe(cloud, options.home)
            threading.Event().wait()
        except KeyboardInterrupt:
            print("\nstopping")
    return 0


def _describe(cloud: "Cloud", home: Path) -> None:
    print(f"AWS        {cloud.endpoint_url}")
    print(f"SageMaker  {cloud.engine_url}")
    for name, value in sorted(cloud.outputs.items()):
        print(f"  {name} = {value}")
    print(f"e-mails    {cloud.outbox}")
    print(f"all of it  {home / 'outputs.json'}")
    print("Ctrl-C stops everything.", flush=True)


def _drop(options: argparse.Namespace) -> int:
    import boto3

    described = _running(options.home)
    outputs = described["outputs"]
    session = boto3.Session("test", "test", region_name="us-east-1")
    s3 = session.client("s3", endpoint_url=described["endpoint_url"])
    sfn = session.client("stepfunctions", endpoint_url=described["endpoint_url"])
    bucket, key = outputs["DataBucketName"], options.prefix + options.file.name
    machines = [value for name, value in outputs.items() if name.endswith("StateMachineArn")]
    try:
        with options.file.open("rb") as body:
            version = s3.put_object(Bucket=bucket, Key=key, Body=body).get("VersionId")
        print(f"{options.file} -> s3://{bucket}/{key}")
        outcome = follow(sfn, find_execution(sfn, machines, bucket, key, version))
    except NotStartedError as error:
        print(f"{error} Is {options.prefix} a prefix that a workflow listens to?", file=sys.stderr)
        return 1
    print(f"results: s3://{bucket}/runs/{outcome.name}/")
    return 0 if outcome.status == "SUCCEEDED" else 1


def _demo(options: argparse.Namespace) -> int:
    from . import demo

    return demo.main()


def _invoke(options: argparse.Namespace) -> int:
    try:
        return invoke(options.function, options.event, options.home)
    except UnknownFunctionError as error:
        print(error, file=sys.stderr)
        return 2


def _running(home: Path) -> dict[str, Any]:
    """What a running `up` wrote."""
    try:
        described = json.loads((home / "outputs.json").read_text())
        socket.create_connection(("127.0.0.1", int(described["endpoint_url"].rsplit(":", 1)[1])), timeout=5).close()
    except (FileNotFoundError, ConnectionRefusedError):
        raise RuntimeError(f"No local cloud is running in {home}: start one first (make up).") from None
    return described


if __name__ == "__main__":
    sys.exit(main())
