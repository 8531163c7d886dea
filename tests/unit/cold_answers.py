"""Calls handlers in processes of their own, and tells whether they have imported pandas once they have answered.

    python cold_answers.py < CALLS

A call is the function, its event, and the folder with what is in the bucket. For each there is a line of JSON: what the
function answered, or the name of its error, and which of pandas and awswrangler it has imported.
"""

import importlib
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

from moto import mock_aws

from suspicious_lines import datasets, observability  # noqa: F401 (imported once for all of them)
from suspicious_lines.aws import client

ROOT = Path(__file__).parents[2]
CONTEXT = SimpleNamespace(function_name="f", memory_limit_in_mb=1, invoked_function_arn="f", aws_request_id="r")


def answer(function: str, event: dict, folder: str) -> tuple[object, list[str]]:
    for path in filter(Path.is_file, Path(folder).rglob("*")):
        s3.put_object(Bucket=os.environ["DATA_BUCKET"], Key=str(path.relative_to(folder)), Body=path.read_bytes())
    sys.path.insert(0, str(ROOT / "functions" / function))
    try:
        found = importlib.import_module("app").handler(event, CONTEXT)
    except Exception as error:
        found = type(error).__name__
    return found, [name for name in ("pandas", "awswrangler") if name in sys.modules]


with mock_aws():
    s3 = client("s3")
    s3.create_bucket(Bucket=os.environ["DATA_BUCKET"])
    for call in json.load(sys.stdin):
        if not os.fork():
            print(json.dumps(answer(*call)), flush=True)
            os._exit(0)
        os.wait()
