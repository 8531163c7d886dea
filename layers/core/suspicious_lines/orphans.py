"""What nobody needs any more: endpoints, models and jobs without a run, and files of old runs."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from suspicious_lines import executions, store
from suspicious_lines.aws import client
from suspicious_lines.errors import EndpointBusyError
from suspicious_lines.hosting import delete_endpoint
from suspicious_lines.jobs import Job, in_progress, run_of, stop
from suspicious_lines.layout import RUNS_PREFIX, is_resource_name, resource_name
from suspicious_lines.notifications import Note, counted, publish
from suspicious_lines.promotion import find_live_model
from suspicious_lines.upkeep_messages import Cleared, UpkeepRequest
from suspicious_lines.upkeep_settings import OrphanSettings

WORK_SECONDS = 780
LISTED = 100


def delete_orphans(request: UpkeepRequest, settings: OrphanSettings) -> Cleared:
    """Deletes what this stack made and neither a live or former model nor a run needs, and says so by e-mail.

    What is younger than `sweep_minutes` is left alone: its execution may not be listed yet. What there is no time for
    is left for the next day.

    Raises:
        AwsRefusedError, AwsUnavailableError: also then people are told what was deleted before.
    """
    deadline = time.monotonic() + WORK_SECONDS
    prefix, now = settings.resource_prefix, datetime.now(UTC)
    hosted: list[str] = []
    runs: list[str] = []
    # In this order: a run that ends meanwhile is found among the executions, or its model is found live.
    before = now - timedelta(minutes=settings.sweep_minutes)
    found, jobs = names_hosted(prefix, before), in_progress(prefix, before)
    running = _running(settings)
    live = find_live_model(settings.data_bucket)
    models = [live, *live.former] if live else []
    needed = running | {model.run for model in models}
    kept = {resource_name(prefix, run) for run in needed} | {model.endpoint_name for model in models}
    try:
        for job in jobs:
            if run_of(job) not in running:
                hosted += stopped(job)
        for name in sorted(found - kept):
            if time.monotonic() < deadline:
                hosted += deleted(name)
        for run, keys in _old_runs(settings, now, needed):
            if time.monotonic() > deadline:
                break
            store.delete_all(settings.data_bucket, keys)
            runs.append(run)
    finally:
        _tell(hosted, runs, Note(settings.data_bucket, request.run, "deleted"), settings)
    return Cleared(hosted=hosted, runs=runs)


def names_hosted(prefix: str, before: datetime) -> set[str]:
    """The names of this stack's endpoints, endpoint configurations and models that were all made before a time."""
    made: dict[str, datetime] = {}
    for operation, result, field in (
        ("list_endpoints", "Endpoints", "EndpointName"),
        ("list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"),
        ("list_models", "Models", "ModelName"),
    ):
        for found in _listed(operation, result, prefix):
            made[found[field]] = max(found["CreationTime"], made.get(found[field], found["CreationTime"]))
    return {name for name, at in made.items() if at <= before and is_resource_name(prefix, name)}


def stopped(job: Job) -> list[str]:
    """Stops a job; what was stopped, in words."""
    return [f"{what} {job.name}" for what in stop(job.kind, job.name)]


def deleted(name: str) -> list[str]:
    """Deletes the endpoint, configuration and model of a name; which there were, in words. An endpoint that is changing
    is left for another time."""
    try:
        return [f"{what} {name}" for what in delete_endpoint(name)]
    except EndpointBusyError:
        return []


def _listed(operation: str, result: str, prefix: str) -> Iterator[dict[str, Any]]:
    pages = client("sagemaker").get_paginator(operation).paginate(NameContains=f"{prefix}-", MaxResults=100)
    for page in pages:
        yield from page[result]


def _running(settings: OrphanSettings) -> set[str]:
    machines = (settings.train_state_machine_arn, settings.score_state_machine_arn, settings.review_state_machine_arn)
    return {run for machine in machines for run in executions.running(machine)}


def _old_runs(settings: OrphanSettings, now: datetime, needed: set[str]) -> Iterator[tuple[str, list[str]]]:
    """Runs of which nothing was written for `run_retention_days`, with the keys of their files.

    Not a lifecycle rule: the live model and the former ones need their runs' files however old those are.
    """
    if not settings.run_retention_days:
        return
    before = now - timedelta(days=settings.run_retention_days)
    pages = client("s3").get_paginator("list_objects_v2").paginate(Bucket=settings.data_bucket, Prefix=RUNS_PREFIX)
    objects = (found for page in pages for found in page.get("Contents", []))
    for run, group in groupby(objects, key=lambda found: found["Key"].split("/")[1]):
        files = list(group)
        if run and run not in needed and max(found["LastModified"] for found in files) <= before:
            yield run, [found["Key"] for found in files]


def _tell(hosted: list[str], runs: list[str], note: Note, settings: OrphanSettings) -> None:
    text = []
    if hosted:
        text += ["A run that broke off left these, and neither a run nor a kept model needs them. They were deleted,"]
        text += ["jobs stopped:", *_first(hosted)]
    if runs:
        text += [
            f"Nothing was written to these runs for RunRetentionDays ({settings.run_retention_days}), and no kept model"
        ]
        text += ["needs their files. They were deleted:", *_first(runs)]
    if text:
        what = [counted(len(hosted), "leftover")] * bool(hosted) + [f"files of {counted(len(runs), 'run')}"] * bool(
            runs
        )
        told = "\n".join(text)
        publish(note.of(told), settings.operators_topic_arn, f"Deleted: {' and '.join(what)}", told)


def _first(names: list[str]) -> list[str]:
    more = [f"and {len(names) - LISTED} more, which are in the log of DeleteOrphans"] if len(names) > LISTED else []
    return [f"* {name}" for name in names[:LISTED]] + more + [""]
