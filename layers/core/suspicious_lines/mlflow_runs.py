"""Runs in MLflow, by the REST API of a tracking server: what the trial components have, under the same names.

https://mlflow.org/docs/latest/api_reference/rest-api.html. docs/decisions/0013 says why not by MLflow's library.
"""

import functools
import hashlib
import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session

from suspicious_lines import store
from suspicious_lines.aws import session
from suspicious_lines.errors import TrackingFailedError
from suspicious_lines.layout import RunFiles

if TYPE_CHECKING:
    from suspicious_lines.tracking import RunRecord

RUN_TAG = "suspicious-lines.run"
SECONDS = 20
# A server that SageMaker manages is reached by its region's address, and told by a header.
# https://github.com/aws/sagemaker-mlflow
_MANAGED = re.compile(r"arn:[^:]+:sagemaker:([^:]+):\d+:mlflow-tracking-server/.+")
_MANAGED_URL, _MANAGED_HEADER = "https://{region}.experiments.sagemaker.aws", "x-mlflow-sm-tracking-server-arn"


def write_run(record: "RunRecord", experiment: str, uri: str, bucket: str) -> str:
    """Writes a run into MLflow; returns its id there. To write it again changes nothing: MLflow takes equal parameters
    and points as the same.

    Raises:
        TrackingFailedError: the server did not take something.
    """
    server = Server(uri)
    run_id = _run_id(record, experiment, server, bucket)
    at = _milliseconds(record.ended_at)
    files = {f"input.{name}": uri for name, uri in record.inputs.items()}
    files |= {f"output.{name}": uri for name, uri in record.outputs.items()}
    server.call(
        "runs/log-batch",
        run_id=run_id,
        params=[{"key": name, "value": _text(value)} for name, value in record.parameters.items()],
        metrics=[{"key": name, "value": value, "timestamp": at, "step": 0} for name, value in record.metrics.items()],
        tags=[{"key": name, "value": value} for name, value in files.items()],
    )
    server.call("runs/update", run_id=run_id, status="FINISHED", end_time=at)
    return run_id


def _run_id(record: "RunRecord", experiment: str, server: "Server", bucket: str) -> str:
    """The run in MLflow, made where there is none. MLflow chooses ids and would make a second run for a second event at
    the same time: the first one to note its own in the bucket has made it, and the other's is deleted."""
    key = RunFiles(record.run).mlflow
    if noted := store.get_with_etag(bucket, key):
        return json.loads(noted[0])["run_id"]
    experiment_id = _experiment_id(experiment, server)
    wanted = f"tags.`{RUN_TAG}` = '{record.run}'"
    found = server.call("runs/search", experiment_ids=[experiment_id], filter=wanted, max_results=1).get("runs")
    if not found:  # else an earlier try broke off before it noted it
        started = _milliseconds(record.started_at)
        tags = [{"key": RUN_TAG, "value": record.run}]
        made = server.call(
            "runs/create", experiment_id=experiment_id, start_time=started, run_name=record.name, tags=tags
        )
        found = [made["run"]]
    run_id = found[0]["info"]["run_id"]
    if store.replace(bucket, key, store.json_text({"run_id": run_id}), None):
        return run_id
    first = store.get_json(bucket, key)["run_id"]
    if first != run_id:
        server.call("runs/delete", run_id=run_id)
    return first


def _experiment_id(experiment: str, server: "Server") -> str:
    def find() -> list[dict[str, Any]]:
        return server.call("experiments/search", filter=f"name = '{experiment}'", max_results=1).get("experiments", [])

    if found := find():
        return found[0]["experiment_id"]
    try:
        return server.call("experiments/create", name=experiment)["experiment_id"]
    except TrackingFailedError:
        if found := find():  # somebody else has just made it
            return found[0]["experiment_id"]
        raise


class Server:
    """A tracking server, at an address or managed by SageMaker, where requests are signed in the function's name."""

    def __init__(self, uri: str) -> None:
        managed = _MANAGED.fullmatch(uri)
        self._region = managed[1] if managed else ""
        self._url = _MANAGED_URL.format(region=self._region) if managed else uri.rstrip("/")
        self._headers = {"Content-Type": "application/json"} | ({_MANAGED_HEADER: uri} if managed else {})

    def call(self, operation: str, **body: Any) -> dict[str, Any]:
        """Raises TrackingFailedError where the server refuses, fails or answers something else than JSON."""
        data = json.dumps(body).encode()
        request = AWSRequest("POST", f"{self._url}/api/2.0/mlflow/{operation}", self._headers, data)
        if self._region:
            request.headers["X-Amz-Content-SHA256"] = hashlib.sha256(data).hexdigest()
            credentials = session().get_credentials()
            assert credentials is not None  # a function has its role's
            SigV4Auth(credentials, "sagemaker-mlflow", self._region).add_auth(request)
        answer = _http().send(request.prepare())
        text = answer.content.decode(errors="replace")
        if answer.status_code != 200:
            raise TrackingFailedError(f"MLflow's {operation} answered {answer.status_code}: {text[:300]}")
        try:
            return json.loads(text or "{}")
        except ValueError as error:
            raise TrackingFailedError(f"MLflow's {operation} answered something else than JSON") from error


@functools.cache
def _http() -> URLLib3Session:
    return URLLib3Session(timeout=SECONDS)


def _milliseconds(when: datetime) -> int:
    return round(when.timestamp() * 1000)


def _text(value: str | float) -> str:
    """MLflow's parameters are texts: 50 and not 50.0."""
    return value if isinstance(value, str) else str(int(value)) if value == int(value) else str(value)
