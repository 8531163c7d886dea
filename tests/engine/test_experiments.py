"""Experiments: names, limits, what belongs to what, and the metrics of components."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.sagemaker import Engine, serve
from local.sagemaker import experiments as engine_experiments

from .clients import REGION, client, connect

ARN = "arn:aws:sagemaker:us-east-1:000000000000"


@pytest.fixture
def url(s3_url: str) -> Iterator[str]:
    """An engine of its own."""
    server = serve(Engine(client("s3", s3_url), REGION), 0)
    yield server.url
    server.stop()


@pytest.fixture
def control(url: str, s3_url: str) -> Any:
    """The control plane's client, with an experiment that has a trial with a component."""
    control = connect(url, s3_url).control
    control.create_experiment(ExperimentName="lines", DisplayName="Lines")
    control.create_trial(TrialName="november", ExperimentName="lines")
    control.create_trial_component(TrialComponentName="run-1", Parameters={"num_trees": {"NumberValue": 50.0}})
    control.associate_trial_component(TrialName="november", TrialComponentName="run-1")
    return control


def refused(call: Any, words: str, code: str = "ValidationException", **request: Any) -> None:
    with pytest.raises(ClientError) as error:
        call(**request)
    assert error.value.response["Error"]["Code"] == code
    assert words in error.value.response["Error"]["Message"]


def names(answer: dict[str, Any], kind: str) -> list[str]:
    return [summary[f"{kind}Name"] for summary in answer[f"{kind}Summaries"]]


def test_what_was_made_is_described(control: Any) -> None:
    experiment = control.describe_experiment(ExperimentName="lines")
    assert (experiment["ExperimentArn"], experiment["DisplayName"]) == (f"{ARN}:experiment/lines", "Lines")
    trial = control.describe_trial(TrialName="november")
    assert (trial["TrialArn"], trial["ExperimentName"]) == (f"{ARN}:experiment-trial/november", "lines")
    arn = f"{ARN}:experiment-trial-component/run-1"
    for name in ("run-1", "RUN-1", arn):
        component = control.describe_trial_component(TrialComponentName=name)
        assert component["TrialComponentArn"] == arn
        assert component["Parameters"] == {"num_trees": {"NumberValue": 50.0}}


def test_a_name_is_taken_once_whatever_its_case(control: Any) -> None:
    refused(control.create_experiment, "already exists", ExperimentName="Lines")
    refused(control.create_trial, "already exists", TrialName="NOVEMBER", ExperimentName="lines")
    refused(control.create_trial_component, "already exists", TrialComponentName="Run-1")
    refused(control.create_trial_component, "regular expression pattern", TrialComponentName="run_1")


def test_what_is_not_there_is_not_found(control: Any) -> None:
    for call, request in (
        (control.describe_experiment, {"ExperimentName": "none"}),
        (control.create_trial, {"TrialName": "t", "ExperimentName": "none"}),
        (control.describe_trial, {"TrialName": "none"}),
        (control.list_trials, {"ExperimentName": "none"}),
        (control.describe_trial_component, {"TrialComponentName": "none"}),
        (control.associate_trial_component, {"TrialName": "none", "TrialComponentName": "run-1"}),
    ):
        refused(call, "does not exist", "ResourceNotFound", **request)


def test_an_update_adds_and_takes_away(control: Any) -> None:
    control.update_trial_component(
        TrialComponentName="run-1",
        Status={"PrimaryStatus": "Completed"},
        Parameters={"seed": {"NumberValue": 1.0}, "strategy": {"StringValue": "budget"}},
        OutputArtifacts={"model": {"Value": "s3://b/m"}},
    )
    control.update_trial_component(TrialComponentName="run-1", ParametersToRemove=["strategy"], DisplayName="first")
    told = control.describe_trial_component(TrialComponentName="run-1")
    assert told["Parameters"] == {"num_trees": {"NumberValue": 50.0}, "seed": {"NumberValue": 1.0}}
    assert told["OutputArtifacts"] == {"model": {"Value": "s3://b/m"}}
    assert (told["Status"], told["DisplayName"]) == ({"PrimaryStatus": "Completed"}, "first")
    control.update_experiment(ExperimentName="lines", Description="all runs")
    control.update_trial(TrialName="november", DisplayName="eleven")
    assert control.describe_experiment(ExperimentName="lines")["Description"] == "all runs"
    assert control.describe_trial(TrialName="november")["DisplayName"] == "eleven"


def test_lists_tell_what_belongs_to_what(control: Any) -> None:
    control.create_experiment(ExperimentName="other")
    control.create_trial(TrialName="elsewhere", ExperimentName="other")
    control.create_trial_component(TrialComponentName="alone")
    control.associate_trial_component(TrialName="elsewhere", TrialComponentName="run-1")
    assert names(control.list_experiments(SortBy="Name", SortOrder="Ascending"), "Experiment") == ["lines", "other"]
    assert names(control.list_trials(ExperimentName="lines"), "Trial") == ["november"]
    having = control.list_trials(TrialComponentName="run-1", SortBy="Name")
    assert names(having, "Trial") == ["november", "elsewhere"]
    assert names(control.list_trial_components(TrialName="elsewhere"), "TrialComponent") == ["run-1"]
    assert names(control.list_trial_components(ExperimentName="lines"), "TrialComponent") == ["run-1"]
    assert len(control.list_trial_components()["TrialComponentSummaries"]) == 2
    page = control.list_trial_components(MaxResults=1, SortBy="Name", SortOrder="Ascending")
    rest = control.list_trial_components(
        MaxResults=1, SortBy="Name", SortOrder="Ascending", NextToken=page["NextToken"]
    )
    assert names(page, "TrialComponent") + names(rest, "TrialComponent") == ["alone", "run-1"]
    later = datetime.fromtimestamp(time.time() + 60, UTC)
    assert control.list_trial_components(CreatedAfter=later)["TrialComponentSummaries"] == []
    refused(control.list_trial_components, "Only one of", TrialName="november", ExperimentName="lines")


def test_nothing_is_deleted_that_something_hangs_on(control: Any) -> None:
    refused(control.delete_experiment, "cannot be deleted", ExperimentName="lines")
    refused(control.delete_trial, "cannot be deleted", TrialName="november")
    refused(control.delete_trial_component, "is linked to 1 or more trials", TrialComponentName="run-1")
    control.disassociate_trial_component(TrialName="november", TrialComponentName="run-1")
    gone = {"TrialName": "november", "TrialComponentName": "run-1"}
    refused(control.disassociate_trial_component, "not associated", "ResourceNotFound", **gone)
    control.delete_trial_component(TrialComponentName="run-1")
    control.delete_trial(TrialName="november")
    control.delete_experiment(ExperimentName="lines")
    assert control.list_experiments()["ExperimentSummaries"] == []


def test_trials_and_components_are_limited(control: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(engine_experiments, "MOST_TRIALS", 1)
    monkeypatch.setattr(engine_experiments, "MOST_COMPONENTS", 1)
    code = "ResourceLimitExceeded"
    refused(control.create_trial, "allowed in a single experiment", code, TrialName="more", ExperimentName="lines")
    control.create_trial_component(TrialComponentName="run-2")
    control.associate_trial_component(TrialName="november", TrialComponentName="run-1")  # as it is already
    more = {"TrialName": "november", "TrialComponentName": "run-2"}
    refused(control.associate_trial_component, "allowed in a single trial", code, **more)


def test_metrics_are_summed_up(control: Any, url: str) -> None:
    metrics, now = client("sagemaker-metrics", url), datetime.now(UTC)
    points = [{"MetricName": "f1", "Timestamp": now.timestamp() + i, "Value": v} for i, v in enumerate((0.5, 1.0, 0.0))]
    points.append({"MetricName": "seconds", "Timestamp": now, "Value": 7.0})
    assert "Errors" not in metrics.batch_put_metrics(TrialComponentName="run-1", MetricData=points)
    f1, seconds = control.describe_trial_component(TrialComponentName="run-1")["Metrics"]
    assert {name: f1[name] for name in ("MetricName", "Count", "Last", "Min", "Max", "Avg")} == {
        "MetricName": "f1", "Count": 3, "Last": 0.0, "Min": 0.0, "Max": 1.0, "Avg": 0.5,
    }  # fmt: skip
    assert (seconds["Last"], seconds["StdDev"]) == (7.0, 0.0)


def test_metrics_that_make_no_sense_are_told_and_the_others_taken(control: Any, url: str) -> None:
    metrics, now = client("sagemaker-metrics", url), time.time()
    points = [{"MetricName": "f1", "Timestamp": now - age, "Value": 1.0} for age in (15 * 86_400, 0, -3 * 3600)]
    answer = metrics.batch_put_metrics(TrialComponentName="run-1", MetricData=points)
    assert answer["Errors"] == [{"Code": "VALIDATION_ERROR", "MetricIndex": place} for place in (0, 2)]
    (told,) = control.describe_trial_component(TrialComponentName="run-1")["Metrics"]
    assert told["Count"] == 1
    many = [{"MetricName": "f1", "Timestamp": now, "Value": 1.0}] * 11
    refused(metrics.batch_put_metrics, "less than or equal to 10", TrialComponentName="run-1", MetricData=many)
    one = many[:1]
    refused(metrics.batch_put_metrics, "regular expression", TrialComponentName="Run-1", MetricData=one)
    refused(metrics.batch_put_metrics, "does not exist", "ResourceNotFound", TrialComponentName="no", MetricData=one)
