"""Training jobs: data and hyperparameters in, a forest's artifact out, in the steps that Describe shows."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from local.sagemaker import forest
from local.sagemaker.errors import AlgorithmError, ApiError, DataError, invalid
from local.sagemaker.hyperparameters import Channel, Hyperparameters, parse_channels, parse_hyperparameters
from local.sagemaker.images import require_cpu, require_rcf
from local.sagemaker.jobs import DEFAULT_RUNTIME, Job, Jobs, echoed, now

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


@dataclass
class TrainingJob(Job):
    """A job with its secondary statuses and, once it has scored a test channel, metrics."""

    transitions: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)

    @property
    def artifact(self) -> str:
        folder = self.request["OutputDataConfig"]["S3OutputPath"].rstrip("/")
        return f"{folder}/{self.request['TrainingJobName']}/output/model.tar.gz"

    def enter(self, secondary: str, message: str | None = None) -> None:
        if self.ended is not None:
            return
        super().enter(secondary, message)
        if self.transitions:
            self.transitions[-1]["EndTime"] = self.modified
        shown = message or MESSAGES[secondary]
        self.transitions.append({"Status": secondary, "StartTime": self.modified, "StatusMessage": shown})

    def end(self, status: str, secondary: str, failure: str | None = None) -> None:
        super().end(status, secondary, failure)
        self.transitions[-1]["EndTime"] = self.ended


class TrainingJobs(Jobs[TrainingJob]):
    """The four operations on training jobs."""

    resource, title = "TrainingJob", "training job"

    def _new(self, request: dict[str, Any], arn: str) -> TrainingJob:
        return TrainingJob(request, arn, now())

    def _resources(self, request: dict[str, Any]) -> dict[str, Any]:
        return request["ResourceConfig"]

    def _unknown(self, name: str) -> ApiError:
        return invalid("Requested resource not found.")

    def _refuse(self, request: dict[str, Any]) -> None:
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

    def _work(self, job: TrainingJob) -> None:
        self._enter(job, "Downloading")
        settings = parse_hyperparameters(job.request.get("HyperParameters", {}))
        channels = parse_channels(job.request["InputDataConfig"])
        rows = self._read(channels["train"], settings.feature_dim, job)
        self._enter(job, "Training")
        trained = forest.train(rows, settings.num_trees, settings.num_samples_per_tree, job.check)
        if "test" in channels:
            labelled = self._read(channels["test"], settings.feature_dim + 1, job)
            job.metrics = _evaluate(forest.score(trained, labelled[:, 1:], job.check), labelled[:, 0], settings)
        self._enter(job, "Uploading")
        self._store.write(job.artifact, forest.pack(trained))

    def _read(self, channel: Channel, columns: int, job: TrainingJob) -> np.ndarray:
        unable = f"Unable to read data channel '{channel.name}'."
        parts = []
        for uri in self._store.manifest(channel.uri) if channel.by_manifest else self._store.uris(channel.uri):
            job.check()
            try:
                rows = channel.read(self._store.read(uri))
            except DataError as error:
                raise AlgorithmError(f"{unable} {uri}: {error}") from None
            if rows.shape[1] != columns:
                labels = " after the label column" if channel.name == "test" else ""
                raise AlgorithmError(
                    f"{unable} {uri} has {rows.shape[1]} columns, "
                    f"feature_dim asks for {columns - (channel.name == 'test')}{labels}"
                )
            parts.append(rows)
        if channel.name == "test" and not np.isin(np.concatenate(parts)[:, 0], (0, 1)).all():
            raise AlgorithmError(f"{unable} The first column holds labels other than 0 and 1")
        return np.concatenate(parts)

    def _enter(self, job: TrainingJob, secondary: str) -> None:
        with self._lock:
            job.check()
            job.enter(secondary)

    def _description(self, job: TrainingJob) -> dict[str, Any]:
        answer = echoed(job) | self._summary(job)
        answer |= {
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


def _evaluate(scores: list[float], labels: np.ndarray, settings: Hyperparameters) -> list[dict[str, Any]]:
    """`test:f1`, by the container's own cutoff: three standard deviations above the mean score."""
    if "precision_recall_fscore" not in settings.eval_metrics:
        return []
    anomalous = np.array(scores) > np.mean(scores) + 3 * np.std(scores)
    hits = int((anomalous & (labels == 1)).sum())
    flagged_and_labelled = int(anomalous.sum() + labels.sum())
    f1 = 2 * hits / flagged_and_labelled if flagged_and_labelled else 0.0
    return [{"MetricName": "test:f1", "Value": f1, "Timestamp": now()}]
