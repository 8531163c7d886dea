"""What nobody needs any more: endpoints, models and jobs without a run, and files of old runs."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from suspicious_lines import executions, store
from suspicious_lines.aws import client
from suspicious_lines.errors import EndpointBusyError
from suspicious_lines.hosting import delete_endpoint, hosted_names
from suspicious_lines.hosting_modes import host_of
from suspicious_lines.jobs import in_progress, run_of, stop
from suspicious_lines.layout import RUNS_PREFIX, is_resource_name, resource_name, told_key
from suspicious_lines.model_messages import LiveModel, ModelVersion
from suspicious_lines.notifications import Note, counted, publish
from suspicious_lines.promotion import live_models
from suspicious_lines.registering import expire_package
from suspicious_lines.score_messages import ModelInUse
from suspicious_lines.settings import family_names
from suspicious_lines.upkeep_messages import Cleared
from suspicious_lines.upkeep_settings import OrphanSettings

WORK_SECONDS = 780
LISTED = 100
TOLD_BY = "orphans"  # in place of a run: any invocation may have told


def delete_orphans(settings: OrphanSettings) -> Cleared:
    """Deletes what this stack made and neither a live or former model nor a run needs, and says so by e-mail.

    What is younger than `sweep_minutes` is left alone: its execution may not be listed yet. What there is no time for
    is left for the next day. What is deleted is noted before, so that the next try tells what one that broke off did.
    """
    deadline = time.monotonic() + WORK_SECONDS
    prefix, now = settings.resource_prefix, datetime.now(UTC)
    untold = _Untold(settings)
    # In this order: a run that ends meanwhile is found among the executions, or its model is found live.
    before = now - timedelta(minutes=settings.sweep_minutes)
    found, jobs = names_hosted(prefix, before), in_progress(prefix, before)
    sweeps = _sweeps(settings)
    running = _running(settings) | sweeps
    live = live_models(settings.data_bucket, family_names(settings.families))
    needed = running | {model.run for model in _models(live)}
    kept = {name for run in needed for name in hosted_names(prefix, run)}
    kept |= {name for model in _models(live) for name in (model.endpoint_name, host_of(model.endpoint_name))}
    kept |= {name for version in _versions(live) for name in version.beside}
    kept |= {host_of(name) for run in running for name in hosted_names(prefix, run)}  # they may just have made it
    # A candidate's name has a digest of its own, which only its sweep knows; it begins as the sweep's does.
    begun = tuple(resource_name(prefix, sweep).rpartition("-")[0] + "-" for sweep in sweeps)
    kept |= {name for name in found if name.startswith(begun)}
    for job in jobs:
        if run_of(job) not in running:
            untold.add("hosted", f"{job.kind.title} {job.name}")
            stop(job.kind, job.name)
    for name in sorted(found.keys() - kept):
        if time.monotonic() < deadline:
            untold.add("hosted", *found[name])
            if not deleted(name):
                untold.drop("hosted", *found[name])
    for run, keys in _old_runs(settings, now, needed):
        if time.monotonic() > deadline:
            break
        if run in {model.run for model in _models(live_models(settings.data_bucket, family_names(settings.families)))}:
            continue  # approved, rolled back to or put on trial since this began
        untold.add("runs", run)
        if settings.model_package_group:
            days = settings.run_retention_days
            why = f"Nothing was written to its run for RunRetentionDays ({days}): the run's files are deleted."
            expire_package(settings.model_package_group, run, why)
        store.delete_all(settings.data_bucket, keys)
    return untold.tell()


def _versions(live: list[LiveModel]) -> list[ModelVersion]:
    return [version for one in live for version in (one, *one.former)]


def _models(live: list[LiveModel]) -> list[ModelInUse]:
    """The live models, the former ones and the one on trial: all whose files are needed."""
    return [*_versions(live), *(one.challenger for one in live if one.challenger)]


def names_hosted(prefix: str, before: datetime) -> dict[str, list[str]]:
    """This stack's endpoints, endpoint configurations and models that were all made before a time: by name, in words
    which of them there are."""
    made: dict[str, datetime] = {}
    words: dict[str, list[str]] = {}
    for what, operation, result, field in (
        ("endpoint", "list_endpoints", "Endpoints", "EndpointName"),
        ("endpoint configuration", "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"),
        ("model", "list_models", "Models", "ModelName"),
    ):
        for found in _listed(operation, result, prefix):
            name, at = found[field], found["CreationTime"]
            made[name] = max(at, made.get(name, at))
            words.setdefault(name, []).append(f"{what} {name}")
    return {name: words[name] for name, at in made.items() if at <= before and is_resource_name(prefix, name)}


def deleted(name: str) -> bool:
    """Deletes the endpoint, configuration and model of a name. False where the endpoint is changing, and is left for
    another time."""
    try:
        delete_endpoint(name)
    except EndpointBusyError:
        return False
    return True


def _listed(operation: str, result: str, prefix: str) -> Iterator[dict[str, Any]]:
    pages = client("sagemaker").get_paginator(operation).paginate(NameContains=f"{prefix}-", MaxResults=100)
    for page in pages:
        yield from page[result]


def _running(settings: OrphanSettings) -> set[str]:
    machines = [settings.train_state_machine_arn, settings.score_state_machine_arn, settings.review_state_machine_arn]
    return {run for machine in machines for run in executions.running(machine)}


def _sweeps(settings: OrphanSettings) -> set[str]:
    """Those that have not ended. Sweeps are no runs, but their jobs have their tag."""
    machine = settings.sweep_state_machine_arn
    return set(executions.running(machine)) if machine else set()


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


class _Untold:
    """What was deleted and not told yet, by this try and by those that broke off before they could. It is kept in the
    bucket: what is deleted cannot be found again. `hosted` and `runs` are Cleared's."""

    def __init__(self, settings: OrphanSettings) -> None:
        self._settings, self._key = settings, told_key(TOLD_BY, "untold")
        noted = store.get_with_etag(settings.data_bucket, self._key)
        self._lines: dict[str, list[str]] = {"hosted": [], "runs": []} | (json.loads(noted[0]) if noted else {})

    def add(self, kind: str, *lines: str) -> None:
        self._replace(kind, [*self._lines[kind], *(line for line in lines if line not in self._lines[kind])])

    def drop(self, kind: str, *lines: str) -> None:
        self._replace(kind, [line for line in self._lines[kind] if line not in lines])

    def _replace(self, kind: str, lines: list[str]) -> None:
        if lines != self._lines[kind]:
            self._lines[kind] = lines
            store.put_json(self._settings.data_bucket, self._key, self._lines)

    def tell(self) -> Cleared:
        hosted, runs = self._lines["hosted"], self._lines["runs"]
        if hosted or runs:
            _tell(hosted, runs, self._settings)
            store.put_json(self._settings.data_bucket, self._key, {})
        return Cleared(hosted=hosted, runs=runs)


def _tell(hosted: list[str], runs: list[str], settings: OrphanSettings) -> None:
    text = []
    if hosted:
        text += ["A run that broke off left these, and neither a run nor a kept model needs them. They were deleted,"]
        text += ["jobs stopped:", *_first(hosted)]
    if runs:
        text += [
            f"Nothing was written to these runs for RunRetentionDays ({settings.run_retention_days}), and no kept model"
        ]
        text += ["needs their files. They were deleted:", *_first(runs)]
    what = [counted(len(hosted), "leftover")] * bool(hosted) + [f"files of {counted(len(runs), 'run')}"] * bool(runs)
    told = "\n".join(text)
    note = Note(settings.data_bucket, TOLD_BY, "deleted").of(told)
    publish(note, settings.operators_topic_arn, f"Deleted: {' and '.join(what)}", told)


def _first(names: list[str]) -> list[str]:
    more = [f"and {len(names) - LISTED} more, which are in the log of DeleteOrphans"] if len(names) > LISTED else []
    return [f"* {name}" for name in names[:LISTED]] + more + [""]
