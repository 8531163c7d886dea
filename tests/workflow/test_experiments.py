"""Experiment tracking: each run is a trial component and a run of a real MLflow server, and runs are compared."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from mlflow_server import PYTHON, ask

from local.cloud import STACK
from suspicious_lines.layout import resource_name

EXPERIMENT = f"{STACK}-rcf-anomaly-detection"
ROOT = Path(__file__).parents[2]

needs_mlflow = pytest.mark.skipif(not PYTHON.exists(), reason="`make test` makes .venv-mlflow")


@pytest.fixture
def workflow(experiments_workflow):
    experiments_workflow.no_faults()
    yield experiments_workflow
    experiments_workflow.no_faults()


@pytest.fixture(scope="module")
def runs(experiments_workflow, activities, spoilt):
    """One whose model was promoted and one whose model was refused, both tracked."""
    dropped = [experiments_workflow.drop(body) for body in (activities, spoilt)]
    assert [run.status for run in dropped] == ["SUCCEEDED"] * 2
    for run in dropped:
        component_of(experiments_workflow, run)
    return dropped


def component_of(workflow, run) -> dict:
    """The run's trial component; waits until it is complete, and in MLflow where there is a server."""
    name = resource_name(STACK, run.name)
    for _ in range(300):
        try:
            told = workflow.sagemaker.describe_trial_component(TrialComponentName=name)
        except ClientError:
            told = {"Status": {}}
        noted = "mlflow.json" in workflow.keys(run) and mlflow_run(workflow, run)["info"]["status"] == "FINISHED"
        if told["Status"].get("PrimaryStatus") == "Completed" and (noted or not workflow.mlflow):
            del told["ResponseMetadata"]
            return told
        time.sleep(0.1)
    raise AssertionError(f"{run.name} is not tracked")


def mlflow_run(workflow, run) -> dict:
    """The run in MLflow, with its data."""
    experiments = ask(workflow.mlflow, "experiments/search", filter=f"name = '{EXPERIMENT}'", max_results=10)
    ids = [experiment["experiment_id"] for experiment in experiments["experiments"]]
    wanted = f"tags.`suspicious-lines.run` = '{run.name}'"
    (found,) = ask(workflow.mlflow, "runs/search", experiment_ids=ids, filter=wanted)["runs"]
    return found


def test_each_run_is_a_component_that_says_what_its_files_say(workflow, runs):
    for run, promoted in zip(runs, ("true", "false"), strict=True):
        told, receipt = component_of(workflow, run), workflow.json(run, "receipt.json")
        metrics = workflow.json(run, "results/metrics.json")
        job = workflow.sagemaker.describe_training_job(TrainingJobName=told["TrialComponentName"])
        parameters = {name: next(iter(value.values())) for name, value in told["Parameters"].items()}
        assert parameters["run"] == run.name
        for name in ("num_trees", "num_samples_per_tree", "feature_dim"):
            assert parameters[name] == float(job["HyperParameters"][name])
        assert (parameters["promoted"], parameters["input_sha256"]) == (promoted, receipt["sha256"])
        assert parameters["input_version"] == receipt["input"]["version_id"]
        figures = {metric["MetricName"]: metric["Last"] for metric in told["Metrics"]}
        for name in ("average_precision", "recall", "flagged", "amount_at_stake", "lines_train"):
            assert figures[name] == metrics[name]
        assert figures["held_out_f1"] == metrics["held_out"]["f1"]
        assert figures["caught_minutes"] == metrics["self_test"]["minutes"]["caught"] / 50
        assert figures["estimated_cost"] == receipt["estimated_cost"]["total"]
        assert {metric["Count"] for metric in told["Metrics"]} == {1}
        files = [artifact["Value"] for artifact in (told["InputArtifacts"] | told["OutputArtifacts"]).values()]
        assert len(files) == 7
        for uri in files:
            bucket, _, key = uri.removeprefix("s3://").partition("/")
            assert workflow.s3.list_objects_v2(Bucket=bucket, Prefix=key)["KeyCount"] > 0, uri
        assert "activities.csv" not in json.dumps(told, default=str)


def test_runs_of_a_month_are_a_trial_of_the_experiment(workflow, runs):
    shown = workflow.sagemaker.describe_experiment(ExperimentName=EXPERIMENT)
    assert shown["DisplayName"] == "rcf-anomaly-detection"
    trials = workflow.sagemaker.list_trials(ExperimentName=EXPERIMENT)["TrialSummaries"]
    names = [
        component["TrialComponentName"]
        for trial in trials  # two where the month ended meanwhile
        for component in workflow.sagemaker.list_trial_components(TrialName=trial["TrialName"])[
            "TrialComponentSummaries"
        ]
    ]
    assert sorted(names) == sorted(resource_name(STACK, run.name) for run in runs)


@needs_mlflow
def test_each_run_is_in_mlflow_with_the_same_figures(workflow, runs):
    for run in runs:
        told, found = component_of(workflow, run), mlflow_run(workflow, run)
        assert found["info"]["run_id"] == workflow.json(run, "mlflow.json")["run_id"]
        assert (found["info"]["status"], found["info"]["run_name"]) == ("FINISHED", told["TrialComponentName"])
        metrics = {metric["key"]: metric["value"] for metric in found["data"]["metrics"]}
        assert metrics == {metric["MetricName"]: metric["Last"] for metric in told["Metrics"]}
        parameters = {each["key"]: each["value"] for each in found["data"]["params"]}
        assert set(parameters) == set(told["Parameters"])
        assert (parameters["num_trees"], parameters["split_seed"]) == ("50", "1")
        tags = {tag["key"]: tag["value"] for tag in found["data"]["tags"]}
        for kind, files in (("input", told["InputArtifacts"]), ("output", told["OutputArtifacts"])):
            for name, artifact in files.items():
                assert tags[f"{kind}.{name}"] == artifact["Value"]


def test_a_second_event_and_a_second_delivery_write_nothing(workflow, runs):
    before = component_of(workflow, runs[0])
    detail = {"name": runs[0].name, "executionArn": runs[0].arn, "status": "SUCCEEDED"}
    answer = workflow.invoke("TrackRunFunction", detail)
    assert answer["component"] == before["TrialComponentArn"]
    assert component_of(workflow, runs[0]) == before
    again = workflow.wait(workflow.start_again(runs[0]))
    assert (again.status, workflow.entered(again)[-1]) == ("SUCCEEDED", "DuplicateUpload")
    nothing = {"component": None, "mlflow_run": None}
    assert workflow.invoke("TrackRunFunction", detail | {"name": again.name}) == nothing
    assert len(workflow.sagemaker.list_trial_components()["TrialComponentSummaries"]) == len(runs)
    if workflow.mlflow:
        assert mlflow_run(workflow, runs[0])["info"]["run_id"] == answer["mlflow_run"]


def test_a_try_that_breaks_off_is_made_again(workflow, runs, activities):
    workflow.fault("BatchPutMetrics", "InternalFailure", 5, status=500)  # all of the first try, and one of the second
    run = workflow.drop(activities)
    told = component_of(workflow, run)
    assert {metric["Count"] for metric in told["Metrics"]} == {1}
    runs.append(run)


def test_make_compare_prints_runs_side_by_side(workflow, runs):
    printed = compare(workflow)
    shown = rows(printed)
    assert [line.split()[-1] for line in printed.splitlines() if line.startswith("(")] == [
        "incoming/activities.csv"
    ] * 3
    assert shown["num_trees"] == ["50"] * 3
    metrics = [workflow.json(run, "results/metrics.json") for run in runs]
    assert shown["average_precision"] == [f"{each['average_precision']:,.4f}" for each in metrics]
    assert shown["flagged"] == [f"{each['flagged']:,}" for each in metrics]
    assert shown["promoted *"][:2] == ["true", "false"]
    chosen = rows(compare(workflow, "--runs", runs[1].name))
    assert chosen["average_precision"] == [f"{metrics[1]['average_precision']:,.4f}"]


def compare(workflow, *arguments) -> str:
    command = [sys.executable, "scripts/compare.py", "--home", str(workflow.cloud.outbox.parent), *arguments]
    environment = {**os.environ, "PYTHONPATH": "layers/core"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(printed: str) -> dict[str, list[str]]:
    return {line[:26].strip(): line[26:].split() for line in printed.splitlines() if len(line) > 26}


def test_the_experiment_goes_with_the_stack(workflow, runs):
    assert workflow.delete_stack() == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="does not exist"):
        workflow.sagemaker.describe_experiment(ExperimentName=EXPERIMENT)
    assert workflow.sagemaker.list_trials()["TrialSummaries"] == []
    assert workflow.sagemaker.list_trial_components()["TrialComponentSummaries"] == []
    if workflow.mlflow:
        assert mlflow_run(workflow, runs[0])["info"]["lifecycle_stage"] == "active"
