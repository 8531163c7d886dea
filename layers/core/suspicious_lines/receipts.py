"""The receipt of a run: what went in, what came out, how long it took, what it cost, how it ended."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from suspicious_lines import store
from suspicious_lines.aws import client, found
from suspicious_lines.costs import Cost, estimate, inference_second
from suspicious_lines.documents import Count, Document
from suspicious_lines.errors import AwsUnavailableError, RunEndedError
from suspicious_lines.feature_messages import Stored
from suspicious_lines.hosting_modes import mode_of
from suspicious_lines.jobs import batch_seconds
from suspicious_lines.layout import RunFiles, resource_name
from suspicious_lines.messages import ChosenThreshold, Decision, ReceiptRequest, Upload
from suspicious_lines.settings import ReceiptSettings, WriteReceiptSettings


class Timings(Document):
    """Seconds by state (all its visits together), and the transitions, from the execution's history."""

    started_at: datetime
    seconds: Annotated[float, Meta(ge=0)]
    states: dict[str, float]
    transitions: Count


class Receipt(Document, forbid_unknown_fields=True):
    """The document receipt.json; what a run did not reach is null."""

    run: str
    execution_arn: str
    status: Literal["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]
    input: Upload | None
    family: Annotated[str, Meta(description="of the upload; empty, of none")] = ""
    sha256: str | None = None
    counts: dict[str, int] | None = None
    model: dict[str, str] | None = None
    threshold: ChosenThreshold | None = None
    promotion: Annotated[Decision | None, Meta(description="what became of the model that the run trained")] = None
    stored: Annotated[
        Stored | None, Meta(description="what the feature store gave to the training, where it is read")
    ] = None
    timings: Timings
    estimated_cost: Cost
    error: str | None = None
    cause: str | None = None
    deleted: Annotated[list[str] | None, Meta(description="what the clean-up of a failed run deleted")] = None


def write_receipt(request: ReceiptRequest, settings: WriteReceiptSettings) -> Receipt:
    """Writes the receipt of a run that succeeded, the last object of the run, or finds it written by an earlier try.

    Raises:
        RunEndedError: the run was reported as failed.
    """
    timings = read_timings(request.execution_arn)
    receipt = Receipt(
        run=request.run,
        execution_arn=request.execution_arn,
        status="SUCCEEDED",
        input=request.upload,
        family=request.family,
        sha256=request.sha256,
        counts=request.counts,
        model=_model(request),
        threshold=request.threshold,
        promotion=request.promotion,
        stored=_stored(request, settings),
        timings=timings,
        estimated_cost=estimate(
            timings.states, timings.transitions, training_seconds(resource_name(settings.resource_prefix, request.run)),
            settings.training_instance_type, _inference_second(request, settings),
            batch_seconds(settings.data_bucket, request.run), settings.batch_instance_type,
        ),
    )  # fmt: skip
    body = store.json_text(receipt)
    if store.replace(settings.data_bucket, RunFiles(request.run).receipt, body, None):
        return receipt
    earlier = find_receipt(settings.data_bucket, request.run)
    if earlier is None:
        raise AwsUnavailableError(f"somebody else is writing the receipt of {request.run}")
    refuse_ended(earlier)
    return earlier


def find_receipt(bucket: str, run: str) -> Receipt | None:
    found = store.get_with_etag(bucket, RunFiles(run).receipt)
    return msgspec.json.decode(found[0], type=Receipt) if found else None


def refuse_ended(receipt: Receipt | None) -> None:
    """Raises RunEndedError where this is the receipt of a run that was reported as failed."""
    if receipt and receipt.status != "SUCCEEDED":
        raise RunEndedError(f"run {receipt.run} was reported as {receipt.status}: drop the file again")


def _model(request: ReceiptRequest) -> dict[str, str] | None:
    if request.model_run is None or request.endpoint_name is None:
        return None
    encoder = RunFiles(request.model_run).encoder
    return {"run": request.model_run, "endpoint": request.endpoint_name, "encoder": encoder}


def _stored(request: ReceiptRequest, settings: WriteReceiptSettings) -> Stored | None:
    if not settings.train_on_stored_days or request.promotion is None:  # a run that trains nothing
        return None
    noted = store.get_with_etag(settings.data_bucket, RunFiles(request.run).stored)
    return msgspec.json.decode(noted[0], type=Stored) if noted else None


def _inference_second(request: ReceiptRequest, settings: ReceiptSettings) -> float | None:
    mode = mode_of(request.endpoint_name or "")
    return inference_second(mode.name, settings.endpoint_memory_mb, settings.endpoint_instance_type)


def training_seconds(job_name: str) -> int:
    """What SageMaker bills for the job; 0 where there is none."""
    job = found(client("sagemaker").describe_training_job, TrainingJobName=job_name) or {}
    return job.get("BillableTimeInSeconds", 0)


def read_timings(execution_arn: str) -> Timings:
    """Adds up the execution's history so far."""
    pages = client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=execution_arn)
    return timings_of([event for page in pages for event in page["events"]])


def timings_of(events: list[dict[str, Any]]) -> Timings:
    """Seconds between each StateEntered and its StateExited; a state still open counts up to the last event.

    Iterations of a Map run at once under the same names: the first open visit of a name is taken to end first, which
    leaves their sum right.
    """
    open_visits: dict[str, list[datetime]] = {}
    seconds: dict[str, float] = {}
    transitions = 0
    for event in events:
        if "stateEnteredEventDetails" in event:
            transitions += 1
            open_visits.setdefault(event["stateEnteredEventDetails"]["name"], []).append(event["timestamp"])
        elif "stateExitedEventDetails" in event:
            name = event["stateExitedEventDetails"]["name"]
            if open_visits.get(name):
                entered = open_visits[name].pop(0)
                seconds[name] = seconds.get(name, 0.0) + (event["timestamp"] - entered).total_seconds()
    first, last = events[0]["timestamp"], events[-1]["timestamp"]
    for name, visits in open_visits.items():
        if visits:
            seconds[name] = seconds.get(name, 0.0) + sum((last - entered).total_seconds() for entered in visits)
    return Timings(
        started_at=first,
        seconds=round((last - first).total_seconds(), 3),
        states={name: round(spent, 3) for name, spent in seconds.items()},
        transitions=transitions,
    )
