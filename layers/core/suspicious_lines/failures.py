"""The end of a failed run: nothing left that costs money, the claim released, people told."""

import contextlib
import json
from datetime import UTC

from suspicious_lines import claims, store
from suspicious_lines.aws import client, found
from suspicious_lines.costs import estimate, inference_second
from suspicious_lines.hosting import delete_endpoint, delete_failed_host, hosted_names, settle
from suspicious_lines.hosting_modes import host_of, mode_for
from suspicious_lines.jobs import TRAINING, batch_seconds, stop, stop_batch
from suspicious_lines.layout import RunFiles, captured_key, family_of, resource_name
from suspicious_lines.messages import Failure, FailureReport, Upload
from suspicious_lines.notifications import Note, publish
from suspicious_lines.promotion import withdraw
from suspicious_lines.receipts import Receipt, find_receipt, read_timings, training_seconds
from suspicious_lines.settings import FailureSettings, family_names

_UPLOAD_AT_FAULT = "InvalidUploadError"
SETTLE_SECONDS = 600  # a serverless endpoint is created, or has failed, within minutes


def report_failure(report: FailureReport, settings: FailureSettings) -> Failure:
    """Cleans up, writes the receipt and tells people; a failure that was reported before is only cleaned up again.

    Raises:
        EndpointBusyError: the run's endpoint is changing and cannot be deleted yet.
    """
    bucket = settings.data_bucket
    job = resource_name(settings.resource_prefix, report.run)
    error = report.error or report.status
    upload = _upload(report)
    # Each of them: the upload tells the family by today's Families, and the run began with those of its time.
    families = ["", *family_names(settings.families)]
    modes = (settings.hosting_mode, settings.former_hosting_mode)
    modes_hosted = [mode_for(mode, family).name for mode in modes for family in families]
    hosted = hosted_names(settings.resource_prefix, report.run, modes_hosted)
    cause = _cause(report, job, hosted)

    # A promoted model serves the lines to come, and a former one that is kept can do so again: neither is a leftover,
    # even if what followed failed.
    deleted = stop_batch(bucket, report.run)
    if withdraw(bucket, report.run, hosted, families):
        deleted += stop(TRAINING, job)
        for name in hosted:
            settle(name, SETTLE_SECONDS)
            deleted += delete_endpoint(name) + delete_failed_host(name)
    # A file that cannot be used stays claimed: another delivery of it would only be refused once more.
    if upload and error != _UPLOAD_AT_FAULT:
        claims.release(settings.claim_table, upload, report.run)
    told = find_receipt(bucket, report.run)
    if told is None or told.status == "SUCCEEDED":
        failure = _report(report, upload, error, cause, deleted, settings)
    else:
        failure = Failure(error=told.error or error, cause=told.cause or cause)
    _forget_captured(bucket, report)
    return failure


def _report(
    report: FailureReport, upload: Upload | None, error: str, cause: str, deleted: list[str], settings: FailureSettings
) -> Failure:
    """Tells people and writes the receipt, in this order: who was not told would not be told by a second try."""
    bucket, files = settings.data_bucket, RunFiles(report.run)
    name = resource_name(settings.resource_prefix, report.run)
    timings = read_timings(report.execution_arn)
    receipt = Receipt(
        run=report.run,
        execution_arn=report.execution_arn,
        status=report.status,
        input=upload,
        family=family_of(upload.key, family_names(settings.families)) if upload else "",
        timings=timings,
        estimated_cost=estimate(
            timings.states, timings.transitions, training_seconds(name), settings.training_instance_type,
            inference_second(settings.hosting_mode, settings.endpoint_memory_mb, settings.endpoint_instance_type),
            batch_seconds(bucket, report.run), settings.batch_instance_type,
        ),
        error=error,
        cause=cause,
        deleted=deleted,
    )  # fmt: skip
    _tell(receipt, f"s3://{bucket}/{files.prefix}", settings)
    store.put_json(bucket, files.receipt, receipt)
    return Failure(error=error, cause=cause, estimated_cost=receipt.estimated_cost.total)


def _forget_captured(bucket: str, report: FailureReport) -> None:
    """Takes the run's lines out of the dataset of all runs: they count where the file is scored again."""
    for key in store.keys(bucket, captured_key(report.started_at.astimezone(UTC).date(), report.run)):
        store.delete(bucket, key)


def _upload(report: FailureReport) -> Upload | None:
    """The upload of the execution's input; None for an execution started by hand with something else."""
    try:
        return Upload.from_detail(json.loads(report.input or ""))
    except (ValueError, KeyError, TypeError):
        return None


def _cause(report: FailureReport, job: str, hosted: list[str]) -> str:
    """The failure in words: a function's own message, or SageMaker's reason; `hosted`: names that the endpoint may
    have."""
    cause = report.cause or f"The execution ended as {report.status}."
    with contextlib.suppress(ValueError, KeyError, TypeError):
        cause = json.loads(cause)["errorMessage"]
    describe = {
        "TrainingFailedError": (client("sagemaker").describe_training_job, "TrainingJobName", [job]),
        "EndpointFailedError": (client("sagemaker").describe_endpoint, "EndpointName", list(map(host_of, hosted))),
    }.get(report.error or "")
    if describe:
        tried = ((name, found(describe[0], **{describe[1]: name}) or {}) for name in describe[2])
        name, described = next((pair for pair in tried if pair[1]), (describe[2][0], {}))
        status = described.get("SecondaryStatus") or described.get("EndpointStatus", "gone")
        cause += f" {name} is {status}: {described.get('FailureReason', 'SageMaker gives no reason')}"
    return cause


def _tell(receipt: Receipt, place: str, settings: FailureSettings) -> None:
    """Operators hear of every failure; reviewers of those that they can mend, by dropping a better file."""
    file = receipt.input.name if receipt.input else "no upload"
    if receipt.error == _UPLOAD_AT_FAULT:
        advice = f"Nothing of this file could be used.\n\n{receipt.cause}\n"
        note = Note(settings.data_bucket, receipt.run, "unusable")
        publish(note, settings.reviewers_topic_arn, f"Please mend and drop again: {file}", advice)
    deleted = ", ".join(receipt.deleted or []) or "nothing was left to delete"
    text = [
        f"Run {receipt.run} of {file} ended as {receipt.status}.",
        "",
        f"Error: {receipt.error}",
        f"Cause: {receipt.cause}",
        f"Cleaned up: {deleted}. Dropping the file again starts a new run.",
        "",
        f"Execution: {receipt.execution_arn}",
        f"Receipt: {place}/receipt.json",
        "",
    ]
    note = Note(settings.data_bucket, receipt.run, "failed")
    publish(note, settings.operators_topic_arn, f"Run failed: {receipt.error} on {file}", "\n".join(text))
