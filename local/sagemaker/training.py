"""Training jobs: created at once, run in a thread each, watched by Describe, ended by Stop or their time limit."""

import math
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from local.sagemaker import forest, tables
from local.sagemaker.errors import AlgorithmError, ApiError, DataError, invalid
from local.sagemaker.faults import Faults
from local.sagemaker.hyperparameters import Hyperparameters, parse_channels, parse_hyperparameters
from local.sagemaker.images import require_cpu, require_rcf
from local.sagemaker.listing import page
from local.sagemaker.store import Store

INSTANCE_QUOTA = 20
DEFAULT_RUNTIME = 86_400
LONGEST_REASON = 1024
NOT_DESCRIBED = ("Tags", "SessionChainingConfig")  # the only members of CreateTrainingJob that Describe leaves out
MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading the training image",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}


class _Ended(Exception):
    """The job must end here, as the secondary status in its argument."""


@dataclass
class TrainingJob:
    """One job; `request` is CreateTrainingJob's input, times are epoch seconds."""

    request: dict[str, Any]
    arn: str
    created: float
    status: str = "InProgress"
    transitions: list[dict[str, Any]] = field(default_factory=list)
    failure: str | None = None
    metrics: list[dict[str, Any]] = field(default_factory=list)
    started: float | None = None
    ended: float | None = None
    stop_requested: threading.Event = field(default_factory=threading.Event)

    @property
    def artifact(self) -> str:
        folder = self.request["OutputDataConfig"]["S3OutputPath"].rstrip("/")
        return f"{folder}/{self.request['TrainingJobName']}/output/model.tar.gz"

    @property
    def instances(self) -> int:
        return self.request["ResourceConfig"]["InstanceCount"]

    def enter(self, secondary: str, message: str | None = None) -> None:
        """Move to a secondary status; an ended job stays ended."""
        if self.ended is not None:
            return
        now = _now()
        if self.transitions:
            self.transitions[-1]["EndTime"] = now
        shown = message or MESSAGES[secondary]
        self.transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": shown})

    def end(self, status: str, secondary: str, failure: str | None = None) -> None:
        self.enter(secondary, failure)
        now = _now()
        self.transitions[-1]["EndTime"] = now
        self.status, self.ended = status, now
        self.failure = failure[:LONGEST_REASON] if failure is not None else None

    def check(self) -> None:
        """Called between steps of work: _Ended once the job was stopped or ran too long."""
        if self.stop_requested.is_set():
            raise _Ended("Stopped")
        limit = self.request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", DEFAULT_RUNTIME)
        if self.started is not None and time.time() - self.started > limit:
            raise _Ended("MaxRuntimeExceeded")


class TrainingJobs:
    """The four operations on training jobs."""

    def __init__(self, store: Store, faults: Faults, region: str, account: str) -> None:
        self._store, self._faults, self._region, self._account = store, faults, region, account
        self._jobs: dict[str, TrainingJob] = {}
        self._lock = threading.RLock()

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        self._refuse_unsupported(request)
        name = request["TrainingJobName"]
        arn = f"arn:aws:sagemaker:{self._region}:{self._account}:training-job/{name.lower()}"
        with self._lock:
            if name in self._jobs:
                raise ApiError(
                    "ResourceInUse",
                    "Training job names must be unique within an AWS account and region, "
                    f"and a training job with this name already exists ({arn})",
                )
            self._refuse_over_quota(request["ResourceConfig"])
            job = self._jobs[name] = TrainingJob(request, arn, _now())
            job.enter("Starting")
        threading.Thread(target=self._run, args=(job,), name=f"train {name}", daemon=True).start()
        return {"TrainingJobArn": arn}

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            return self._description(self._find(request))

    def stop(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            job = self._find(request)
            if job.status != "InProgress":
                raise invalid(f"The request was rejected because the training job is in status {job.status}.")
            job.status = "Stopping"
            job.enter("Stopping")
            job.stop_requested.set()
        return {}

    def list_page(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            summaries = [_summary(job) for job in self._jobs.values()]
        return page(summaries, request, "TrainingJob", "TrainingJobSummaries", "Ascending")

    def _find(self, request: dict[str, Any]) -> TrainingJob:
        if request["TrainingJobName"] not in self._jobs:
            raise invalid("Requested resource not found.")
        return self._jobs[request["TrainingJobName"]]

    def _refuse_unsupported(self, request: dict[str, Any]) -> None:
        for needed in ("AlgorithmSpecification", "ResourceConfig", "InputDataConfig"):
            if needed not in request:
                raise invalid(f"{needed} is required for a training job with a built-in algorithm.")
        resources = request["ResourceConfig"]
        if "InstanceType" not in resources or "InstanceCount" not in resources:
            raise invalid("ResourceConfig needs InstanceType and InstanceCount.")
        require_rcf(request["AlgorithmSpecification"].get("TrainingImage"), self._region)
        if request["AlgorithmSpecification"].get("MetricDefinitions"):
            raise invalid("You can't override the metric definitions for Amazon SageMaker algorithms.")
        require_cpu(resources["InstanceType"])
        for channel in request["InputDataConfig"]:
            if uri := channel["DataSource"].get("S3DataSource", {}).get("S3Uri"):
                self._require_objects(uri, request["RoleArn"])

    def _require_objects(self, uri: str, role: str) -> None:
        try:
            found, reason = self._store.uris(uri), ""
        except DataError as error:
            found, reason = [], f" Error message from S3: {error}"
        if not found:
            raise invalid(
                f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket '
                f"exists in the selected region ({self._region}), that objects exist under that S3 prefix, and that "
                f'the role "{role}" has "s3:ListBucket" permissions on the bucket.{reason}'
            )

    def _refuse_over_quota(self, resources: dict[str, Any]) -> None:
        used = sum(job.instances for job in self._jobs.values() if job.ended is None)
        if used + resources["InstanceCount"] > INSTANCE_QUOTA:
            raise ApiError(
                "ResourceLimitExceeded",
                f"The account-level service limit '{resources['InstanceType']} for training job usage' is "
                f"{INSTANCE_QUOTA} Instances, with current utilization of {used} Instances and a request delta of "
                f"{resources['InstanceCount']} Instances. "
                "Please contact AWS support to request an increase for this limit.",
            )

    def _run(self, job: TrainingJob) -> None:
        try:
            self._train(job)
        except _Ended as ended:
            self._finish(job, "Stopped", str(ended))
        except (AlgorithmError, DataError) as error:
            self._finish(job, "Failed", "Failed", f"ClientError: {error}")
        except Exception:  # a job must end, whatever went wrong in it
            traceback.print_exc()
            reason = "InternalServerError: We encountered an internal error. Please try again."
            self._finish(job, "Failed", "Failed", reason)

    def _train(self, job: TrainingJob) -> None:
        self._enter(job, "Downloading")
        job.started = _now()
        if fault := self._faults.take("TrainingJob"):
            self._finish(job, "Failed", "Failed", fault.message)
            return
        settings = parse_hyperparameters(job.request.get("HyperParameters", {}))
        channels = parse_channels(job.request["InputDataConfig"])
        rows = self._read(channels["train"], "train", settings.feature_dim, job)
        self._enter(job, "Training")
        trained = forest.train(rows, settings.num_trees, settings.num_samples_per_tree, job.check)
        if "test" in channels:
            labelled = self._read(channels["test"], "test", settings.feature_dim + 1, job)
            job.metrics = _evaluate(forest.score(trained, labelled[:, 1:], job.check), labelled[:, 0], settings)
        self._enter(job, "Uploading")
        self._store.write(job.artifact, forest.pack(trained))
        self._finish(job, "Completed", "Completed")

    def _read(self, prefix: str, channel: str, columns: int, job: TrainingJob) -> np.ndarray:
        parts = []
        for uri in self._store.uris(prefix):
            job.check()
            try:
                rows = tables.from_csv(self._store.read(uri))
            except DataError as error:
                raise AlgorithmError(f"Unable to read data channel '{channel}'. {uri}: {error}") from None
            if rows.shape[1] != columns:
                labels = " after the label column" if channel == "test" else ""
                raise AlgorithmError(
                    f"Unable to read data channel '{channel}'. {uri} has {rows.shape[1]} columns, "
                    f"feature_dim asks for {columns - (channel == 'test')}{labels}"
                )
            parts.append(rows)
        if channel == "test" and not np.isin(np.concatenate(parts)[:, 0], (0, 1)).all():
            raise AlgorithmError("Unable to read data channel 'test'. The first column holds labels other than 0 and 1")
        return np.concatenate(parts)

    def _enter(self, job: TrainingJob, secondary: str) -> None:
        with self._lock:
            job.check()
            job.enter(secondary)

    def _finish(self, job: TrainingJob, status: str, secondary: str, failure: str | None = None) -> None:
        with self._lock:
            if job.stop_requested.is_set() and status == "Completed":
                status = secondary = "Stopped"  # a stop during the upload still wins
            job.end(status, secondary, failure)

    def _description(self, job: TrainingJob) -> dict[str, Any]:
        answer = {name: value for name, value in job.request.items() if name not in NOT_DESCRIBED}
        answer |= _summary(job) | {
            "SecondaryStatus": job.transitions[-1]["Status"],
            "SecondaryStatusTransitions": [dict(transition) for transition in job.transitions],
            "StoppingCondition": {"MaxRuntimeInSeconds": DEFAULT_RUNTIME} | job.request.get("StoppingCondition", {}),
        }
        answer |= dict(_optional(job))
        return answer


def _optional(job: TrainingJob) -> Iterator[tuple[str, Any]]:
    if job.started is not None:
        yield "TrainingStartTime", job.started
    if job.started is not None and job.ended is not None:
        seconds = max(1, math.ceil(job.ended - job.started))
        yield "TrainingTimeInSeconds", seconds
        yield "BillableTimeInSeconds", seconds
    if job.failure is not None:
        yield "FailureReason", job.failure
    if job.metrics:
        yield "FinalMetricDataList", job.metrics
    if job.status == "Completed":
        yield "ModelArtifacts", {"S3ModelArtifacts": job.artifact}


def _summary(job: TrainingJob) -> dict[str, Any]:
    summary = {
        "TrainingJobName": job.request["TrainingJobName"],
        "TrainingJobArn": job.arn,
        "CreationTime": job.created,
        "LastModifiedTime": job.ended or job.transitions[-1]["StartTime"],
        "TrainingJobStatus": job.status,
    }
    return summary if job.ended is None else summary | {"TrainingEndTime": job.ended}


def _evaluate(scores: list[float], labels: np.ndarray, settings: Hyperparameters) -> list[dict[str, Any]]:
    """`test:f1`, by the container's own cutoff: three standard deviations above the mean score."""
    if "precision_recall_fscore" not in settings.eval_metrics:
        return []
    anomalous = np.array(scores) > np.mean(scores) + 3 * np.std(scores)
    hits = int((anomalous & (labels == 1)).sum())
    flagged_and_labelled = int(anomalous.sum() + labels.sum())
    f1 = 2 * hits / flagged_and_labelled if flagged_and_labelled else 0.0
    return [{"MetricName": "test:f1", "Value": f1, "Timestamp": _now()}]


def _now() -> float:
    return round(time.time(), 3)
