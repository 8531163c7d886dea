"""SageMaker's experiments: a trial a month, a trial component a run, and their end with the stack.

An experiment takes 300 trials, and a trial 50 components; both quotas can be raised. A month a trial is the longest of
the periods that can hold more than one run a day.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from suspicious_lines.aws import client, error_code, error_message
from suspicious_lines.errors import AwsUnavailableError
from suspicious_lines.layout import is_resource_name

if TYPE_CHECKING:
    from suspicious_lines.tracking import RunRecord

DISPLAY_NAME = "rcf-anomaly-detection"
METRICS_AT_ONCE = 10
DONE = "Completed"
# Disassociating takes a moment to count: https://github.com/aws/sagemaker-python-sdk/pull/1515
LINKED, TRIES, PAUSE_SECONDS = "is linked to", 10, 2
WORK_SECONDS = 780  # and one trial more, below the 900 that the function has


def write_component(record: "RunRecord", experiment: str) -> str:
    """Writes a run as a component of the month's trial; returns its ARN. Completed is what it becomes last: by that a
    second try knows whether the first has done all.

    Raises:
        AwsUnavailableError: SageMaker did not take some metric.
    """
    sagemaker = client("sagemaker")
    trial = f"{experiment}-{record.ended_at:%Y-%m}"
    _unless_exists(sagemaker.create_experiment, ExperimentName=experiment, DisplayName=DISPLAY_NAME)
    _unless_exists(sagemaker.create_trial, TrialName=trial, ExperimentName=experiment)
    _unless_exists(
        sagemaker.create_trial_component,
        TrialComponentName=record.name,
        Status={"PrimaryStatus": "InProgress"},
        StartTime=record.started_at,
        EndTime=record.ended_at,
        Parameters={name: _parameter(value) for name, value in record.parameters.items()},
        InputArtifacts={name: {"Value": uri} for name, uri in record.inputs.items()},
        OutputArtifacts={name: {"Value": uri} for name, uri in record.outputs.items()},
    )
    described = sagemaker.describe_trial_component(TrialComponentName=record.name)
    if described["Status"]["PrimaryStatus"] != DONE:
        _associate(trial, record.name)
        _put_metrics(record.name, record.metrics, record.ended_at)
        sagemaker.update_trial_component(TrialComponentName=record.name, Status={"PrimaryStatus": DONE})
    return described["TrialComponentArn"]


def _associate(trial: str, component: str) -> None:
    """What is in no trial, nobody finds again: where the trial takes no more, the component goes."""
    try:
        client("sagemaker").associate_trial_component(TrialName=trial, TrialComponentName=component)
    except ClientError as error:
        if error_code(error) == "ResourceLimitExceeded":
            client("sagemaker").delete_trial_component(TrialComponentName=component)
        raise


def _parameter(value: str | float) -> dict[str, str | float]:
    return {"StringValue": value} if isinstance(value, str) else {"NumberValue": value}


def _put_metrics(component: str, metrics: dict[str, float], at: datetime) -> None:
    """The same points at every try."""
    points = [{"MetricName": name, "Timestamp": at, "Value": value} for name, value in metrics.items()]
    while points:
        some, points = points[:METRICS_AT_ONCE], points[METRICS_AT_ONCE:]
        answer = client("sagemaker-metrics").batch_put_metrics(TrialComponentName=component, MetricData=some)
        if errors := answer.get("Errors"):
            told = ", ".join(f"{some[error['MetricIndex']]['MetricName']}: {error['Code']}" for error in errors)
            raise AwsUnavailableError(f"SageMaker did not take all metrics of {component}: {told}")


def _unless_exists(create: Callable[..., Any], **request: Any) -> None:
    try:
        create(**request)
    except ClientError as error:
        if "already exists" not in error_message(error):
            raise


def delete_experiment(experiment: str, prefix: str) -> None:
    """Deletes an experiment with its trials and this stack's components in them. What people have put to use stays: a
    component that is in a trial of theirs, a trial that has a component of theirs, and then the experiment. It may be
    gone already, by hand, or never have been made.

    Raises:
        AwsUnavailableError: the time is up, or a component still counts as linked to a trial.
    """
    sagemaker = client("sagemaker")
    deadline = time.monotonic() + WORK_SECONDS
    try:
        trials = list(_listed("list_trials", "Trial", ExperimentName=experiment))
    except ClientError as error:
        if error_code(error) == "ResourceNotFound":
            return
        raise
    trials_left = set(trials)
    for trial in trials:
        if time.monotonic() > deadline:  # a trial is begun only to be ended: what is in none, nobody finds again
            raise AwsUnavailableError("More runs were tracked than can be deleted in the time: delete the stack again")
        components = list(_listed("list_trial_components", "TrialComponent", TrialName=trial))
        ours = [component for component in components if is_resource_name(prefix.lower(), component)]
        nowhere = []
        for component in ours:
            if list(_listed("list_trials", "Trial", TrialComponentName=component)) == [trial]:
                nowhere.append(component)
            sagemaker.disassociate_trial_component(TrialName=trial, TrialComponentName=component)
        for component in nowhere:  # now that the first of them has had a moment to count as in no trial
            _delete_component(component)
        if ours == components:
            sagemaker.delete_trial(TrialName=trial)
            trials_left.remove(trial)
    if not trials_left:
        sagemaker.delete_experiment(ExperimentName=experiment)


def _delete_component(component: str) -> None:
    for attempt in itertools.count(1):
        try:
            client("sagemaker").delete_trial_component(TrialComponentName=component)
            return
        except ClientError as error:
            if LINKED not in error_message(error):
                raise
            if attempt == TRIES:
                raise AwsUnavailableError(f"{component} still counts as linked to a trial") from error
        time.sleep(PAUSE_SECONDS)


def _listed(operation: str, kind: str, **of: str) -> Iterator[str]:
    for page in client("sagemaker").get_paginator(operation).paginate(**of):
        for summary in page[f"{kind}Summaries"]:
            yield summary[f"{kind}Name"]
