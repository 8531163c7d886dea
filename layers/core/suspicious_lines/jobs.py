"""SageMaker's jobs of runs: training jobs, and for files too large for functions processing and transform jobs."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from suspicious_lines import store
from suspicious_lines.aws import client, found
from suspicious_lines.layout import RUN_TAG, RunFiles, is_resource_name


class Kind(NamedTuple):
    """How SageMaker calls a kind of job, and what its operations' and its members' names begin with."""

    title: str
    resource: str

    @property
    def operation(self) -> str:
        return self.title.replace(" ", "_")


TRAINING = Kind("training job", "TrainingJob")
PROCESSING = Kind("processing job", "ProcessingJob")
TRANSFORM = Kind("transform job", "TransformJob")


class Job(NamedTuple):
    kind: Kind
    name: str
    arn: str


def stop(kind: Kind, name: str) -> list[str]:
    """Stops a job that has not ended; which kinds of job were stopped: this one, or none."""
    job = _describe(kind, name)
    if not job or job[f"{kind.resource}Status"] != "InProgress":
        return []
    getattr(client("sagemaker"), f"stop_{kind.operation}")(**{f"{kind.resource}Name": name})
    return [kind.title]


def in_progress(prefix: str, before: datetime) -> list[Job]:
    """A stack's jobs that were made before a time and have not ended."""
    return [
        Job(kind, name, summary[f"{kind.resource}Arn"])
        for kind in (TRAINING, PROCESSING, TRANSFORM)
        for summary in _listed(kind, prefix)
        if summary["CreationTime"] <= before and is_resource_name(prefix, name := summary[f"{kind.resource}Name"])
    ]


def run_of(job: Job) -> str | None:
    """The run that made a job, by its tag."""
    tags = client("sagemaker").list_tags(ResourceArn=job.arn)["Tags"]
    return next((tag["Value"] for tag in tags if tag["Key"] == RUN_TAG), None)


def stop_batch(bucket: str, run: str) -> list[str]:
    """Stops what still runs of a run's processing and transform jobs; returns which kinds there were to stop."""
    return [title for kind, name in _noted(bucket, run) for title in stop(kind, name)]


def batch_seconds(bucket: str, run: str) -> float:
    """What SageMaker bills for a run's processing and transform jobs: from their start to their end."""
    seconds = 0.0
    for kind, name in _noted(bucket, run):
        job = _describe(kind, name) or {}
        prefix = kind.resource.removesuffix("Job")
        start, end = job.get(f"{prefix}StartTime"), job.get(f"{prefix}EndTime")
        if start and end:
            seconds += (end - start).total_seconds()
    return seconds


def _describe(kind: Kind, name: str) -> dict[str, Any] | None:
    return found(getattr(client("sagemaker"), f"describe_{kind.operation}"), **{f"{kind.resource}Name": name})


def _listed(kind: Kind, prefix: str) -> Iterator[dict[str, Any]]:
    paginator = client("sagemaker").get_paginator(f"list_{kind.operation}s")
    for page in paginator.paginate(NameContains=f"{prefix}-", StatusEquals="InProgress", MaxResults=100):
        yield from page[f"{kind.resource}Summaries"]


def _noted(bucket: str, run: str) -> Iterator[tuple[Kind, str]]:
    """The last job of each kind that the run has noted before it started it; perhaps it never did. And those before it
    that scored the run's lines by another model."""
    files = RunFiles(run)
    for kind, key in ((PROCESSING, files.preprocessing_job), (TRANSFORM, files.transform_job)):
        if note := store.get_with_etag(bucket, key):
            noted = json.loads(note[0])
            yield from ((kind, name) for name in [*noted.get("before", []), noted["job_name"]])
