"""The end of the stack: CloudFormation knows no endpoint, so it has a custom resource delete them."""

import json
import time
import urllib.request
from datetime import UTC, datetime

from suspicious_lines.aws import client
from suspicious_lines.errors import EndpointBusyError
from suspicious_lines.jobs import in_progress, stop
from suspicious_lines.orphans import deleted, names_hosted
from suspicious_lines.registering import delete_packages
from suspicious_lines.trial_components import delete_experiment
from suspicious_lines.upkeep_messages import StackAnswer, StackChange
from suspicious_lines.upkeep_settings import HostedSettings

# CloudFormation waits as long as the custom resource's ServiceTimeout says; the function has 900 seconds.
WORK_SECONDS = 840
LONGEST_REASON = 1000  # the answer may have 4096 bytes in all


def answer_stack(change: StackChange, settings: HostedSettings) -> StackAnswer:
    """Deletes all that is hosted when the stack is deleted, the packages of a model package group when that is, and the
    experiment when that is, and tells CloudFormation how that went; in any case, or it would wait for an hour."""
    group, experiment = change.model_package_group, change.experiment
    try:
        if change.kind == "Delete" and group:
            delete_packages(group)
        elif change.kind == "Delete" and experiment:
            delete_experiment(experiment, settings.resource_prefix)
        elif change.kind == "Delete" and _is_stack_deleted(settings.resource_prefix):
            delete_hosted(settings)
        answer = StackAnswer(status="SUCCESS", reason="")
    except Exception as error:
        answer = StackAnswer(status="FAILED", reason=f"{type(error).__name__}: {error}"[:LONGEST_REASON])
    what = "packages" if group else "experiment" if experiment else "hosted"
    _send(change, answer, f"{settings.resource_prefix}-{what}")
    return answer


def delete_hosted(settings: HostedSettings) -> None:
    """Deletes every endpoint, configuration and model of this stack and stops its jobs; looks again until
    there is nothing twice, for a function that created them may still have been at work.

    Raises:
        EndpointBusyError: something is still there when the time is up.
    """
    deadline, clean_looks = time.monotonic() + WORK_SECONDS, 0
    while clean_looks < 2:
        now = datetime.now(UTC)
        names, jobs = names_hosted(settings.resource_prefix, now), in_progress(settings.resource_prefix, now)
        for job in jobs:
            stop(job.kind, job.name)
        for name in names:
            deleted(name)
        clean_looks = 0 if names or jobs else clean_looks + 1
        if time.monotonic() > deadline:
            left = sorted(names.keys() | {job.name for job in jobs})
            raise EndpointBusyError(f"Delete the stack again: still there are {', '.join(left)}")
        time.sleep(settings.poll_seconds)


def _is_stack_deleted(name: str) -> bool:
    """Whether the whole stack goes: an update that takes out or replaces the custom resource sends a Delete as well."""
    (stack,) = client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    return stack["StackStatus"] == "DELETE_IN_PROGRESS"


def _send(change: StackChange, answer: StackAnswer, physical_id: str) -> None:
    """The physical id is always the same: for another one CloudFormation would have the former deleted."""
    document = {
        "Status": answer.status,
        "Reason": answer.reason,
        "PhysicalResourceId": physical_id,
        "StackId": change.stack_id,
        "RequestId": change.run,
        "LogicalResourceId": change.logical_id,
    }
    # The address is signed for a request without a content type.
    request = urllib.request.Request(  # noqa: S310 (CloudFormation gives the address)
        change.response_url, json.dumps(document).encode(), {"Content-Type": ""}, method="PUT"
    )
    urllib.request.urlopen(request, timeout=30).close()  # noqa: S310
