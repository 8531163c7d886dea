"""The processing and transform jobs of a run, for files too large for functions: their names, end and time."""

import json
from typing import Any

from suspicious_lines import store
from suspicious_lines.aws import client, found
from suspicious_lines.layout import RunFiles

# Kind -> the prefix of its operations and members.
_KINDS = {"processing job": "Processing", "transform job": "Transform"}


def stop_jobs(bucket: str, run: str) -> list[str]:
    """Stops what still runs of a run's jobs; returns which kinds there were to stop."""
    sagemaker = client("sagemaker")
    stopped = []
    for kind, job in _jobs(bucket, run):
        prefix = _KINDS[kind]
        if job[f"{prefix}JobStatus"] == "InProgress":
            stop = sagemaker.stop_processing_job if prefix == "Processing" else sagemaker.stop_transform_job
            stop(**{f"{prefix}JobName": job[f"{prefix}JobName"]})
            stopped.append(kind)
    return stopped


def batch_seconds(bucket: str, run: str) -> float:
    """What SageMaker bills for a run's jobs: from their start to their end."""
    seconds = 0.0
    for kind, job in _jobs(bucket, run):
        start, end = job.get(f"{_KINDS[kind]}StartTime"), job.get(f"{_KINDS[kind]}EndTime")
        if start and end:
            seconds += (end - start).total_seconds()
    return seconds


def _jobs(bucket: str, run: str) -> list[tuple[str, dict[str, Any]]]:
    """The last job of each kind that the run has noted, before it started it, as SageMaker describes it."""
    sagemaker, files = client("sagemaker"), RunFiles(run)
    noted = [
        ("processing job", files.preprocessing_job, sagemaker.describe_processing_job, "ProcessingJobName"),
        ("transform job", files.transform_job, sagemaker.describe_transform_job, "TransformJobName"),
    ]
    jobs = []
    for kind, key, describe, parameter in noted:
        if (note := store.get_with_etag(bucket, key)) and (
            job := found(describe, **{parameter: json.loads(note[0])["job_name"]})
        ):
            jobs.append((kind, job))
    return jobs
