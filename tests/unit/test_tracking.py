"""Runs in the experiment: written once and whole, without a word of the upload's key, and gone with the stack."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from botocore.exceptions import ClientError

from frames import BUCKET, ROOT
from suspicious_lines import store, tracking, trial_components
from suspicious_lines.costs import estimate
from suspicious_lines.errors import AwsUnavailableError, QuotaExceededError
from suspicious_lines.layout import RunFiles, resource_name
from suspicious_lines.receipts import Receipt
from suspicious_lines.trial_components import delete_experiment
from tracked import InProcess

EXPERIMENT = "suspicious-lines-rcf-anomaly-detection"
STARTED = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
METRICS = {
    "lines_read": 100, "lines_rejected": 1, "lines_train": 79, "lines_validation": 20, "labelled": 20, "flagged": 3,
    "matters": 2, "amount_at_stake": 12.5, "threshold": {"value": 4.5, "strategy": "budget", "note": None},
    "self_test": {"minutes": {"planted": 4, "caught": 3}, "fee": {"planted": 4, "caught": 0}},
    "average_precision": 0.75, "roc_auc": 0.9, "precision": None, "recall": 0.5, "f1": None,
    "held_out": {"precision": 0.25, "recall": 0.5, "f1": None},
}  # fmt: skip


@pytest.fixture
def sagemaker(cloud, monkeypatch):
    fake = InProcess()
    for module in (tracking, trial_components):
        monkeypatch.setattr(module, "client", lambda service: fake)
    monkeypatch.setattr(trial_components.time, "sleep", lambda seconds: None)
    return fake


@pytest.fixture
def ran(sagemaker):
    """Leaves what a run that succeeded leaves; `promoted` None: it trained nothing."""

    def leave(run, promoted=True, metrics=METRICS):
        files = RunFiles(run)
        job = {
            "HyperParameters": {"num_trees": "50", "num_samples_per_tree": "128", "feature_dim": "22"},
            "ResourceConfig": {"InstanceType": "ml.m5.large"},
            "ModelArtifacts": {"S3ModelArtifacts": f"s3://{BUCKET}/{files.model}job/output/model.tar.gz"},
        }
        sagemaker.describe_training_job = lambda TrainingJobName: job
        store.put_json(BUCKET, files.encoder, {"version": 3})
        store.put_json(BUCKET, files.result("metrics.json"), metrics)
        receipt = msgspec.convert(
            {
                "run": run,
                "execution_arn": f"arn:aws:states:us-east-1:000000000000:execution:suspicious-lines-train:{run}",
                "status": "SUCCEEDED",
                "input": {"bucket": BUCKET, "key": "incoming/Firm A.csv", "etag": "e", "size": 1, "version_id": "v1"},
                "sha256": "ab12",
                "threshold": {"value": 4.5, "strategy": "budget", "note": None},
                "promotion": None if promoted is None else {"promoted": promoted, "champion": "b", "reason": "r"},
                "timings": {"started_at": STARTED.isoformat(), "seconds": 60, "states": {}, "transitions": 1},
                "estimated_cost": msgspec.to_builtins(estimate({}, 1, 1, "ml.m5.large", 2048, 0, "ml.m5.xlarge")),
            },
            Receipt,
        )
        store.put_json(BUCKET, files.receipt, receipt)
        return receipt

    return leave


@pytest.fixture
def track(load_handler, context):
    event = json.loads((ROOT / "events/track_run.json").read_text())

    def call(run):
        return load_handler("track_run")(event | {"name": run}, context)

    return call


def component_of(sagemaker, run):
    return sagemaker.describe_trial_component(TrialComponentName=resource_name("suspicious-lines", run))


def test_a_run_is_a_component_with_its_parameters_figures_and_files(sagemaker, ran, track):
    receipt = ran("a")
    answer = track("a")
    told = component_of(sagemaker, "a")
    assert answer == {"component": told["TrialComponentArn"], "mlflow_run": None}
    assert told["Status"] == {"PrimaryStatus": "Completed"}
    assert (told["StartTime"], told["EndTime"]) == (STARTED.timestamp(), STARTED.timestamp() + 60)
    assert {name: next(iter(value.values())) for name, value in told["Parameters"].items()} == {
        "run": "a", "num_trees": 50, "num_samples_per_tree": 128, "feature_dim": 22, "instance_type": "ml.m5.large",
        "threshold_strategy": "budget", "input_version": "v1", "input_sha256": "ab12", "promoted": "true",
        "champion": "b", "split_seed": 1, "encoder_version": 3,
    }  # fmt: skip
    assert {metric["MetricName"]: metric["Last"] for metric in told["Metrics"]} == {
        "lines_read": 100, "lines_rejected": 1, "lines_train": 79, "lines_validation": 20, "labelled": 20, "flagged": 3,
        "matters": 2, "amount_at_stake": 12.5, "threshold": 4.5, "average_precision": 0.75, "roc_auc": 0.9,
        "recall": 0.5, "held_out_precision": 0.25, "held_out_recall": 0.5, "caught_minutes": 0.75, "caught_fee": 0,
        "seconds": 60, "estimated_cost": receipt.estimated_cost.total,
    }  # fmt: skip
    place = f"s3://{BUCKET}/runs/a"
    files = {name: artifact["Value"] for name, artifact in (told["InputArtifacts"] | told["OutputArtifacts"]).items()}
    assert files == {
        "encoder": f"{place}/encoder.json",
        "train_features": f"{place}/features/train/",
        "model": f"{place}/model/job/output/model.tar.gz",
        "receipt": f"{place}/receipt.json",
        "metrics": f"{place}/results/metrics.json",
        "comparison": f"{place}/results/comparison.json",
        "scored_lines": f"{place}/results/scored_lines.parquet",
    }


def test_nothing_that_is_tracked_names_the_upload(sagemaker, ran, track):
    ran("a")
    track("a")
    assert "Firm A" not in json.dumps(component_of(sagemaker, "a"))


def test_runs_of_a_month_are_a_trial(sagemaker, ran, track):
    for run in ("a", "b"):
        ran(run)
        track(run)
    (trial,) = sagemaker.list_trials(ExperimentName=EXPERIMENT)["TrialSummaries"]
    assert trial["TrialName"] == f"{EXPERIMENT}-{STARTED + timedelta(seconds=60):%Y-%m}"
    assert len(sagemaker.list_trial_components(TrialName=trial["TrialName"])["TrialComponentSummaries"]) == 2
    shown = sagemaker.describe_experiment(ExperimentName=EXPERIMENT)
    assert shown["DisplayName"] == "rcf-anomaly-detection"


def test_a_run_that_trained_nothing_is_not_tracked(sagemaker, ran, track):
    ran("a", promoted=None)
    assert track("a") == track("never") == {"component": None, "mlflow_run": None}
    assert sagemaker.calls == []


def test_what_is_not_known_is_left_out(sagemaker, ran, track):
    unlabelled = dict.fromkeys(("average_precision", "roc_auc", "recall", "held_out"))
    ran("a", metrics=METRICS | unlabelled | {"labelled": 0})
    track("a")
    names = {metric["MetricName"] for metric in component_of(sagemaker, "a")["Metrics"]}
    assert "average_precision" not in names
    assert {"labelled", "flagged", "caught_fee"} <= names


@pytest.mark.parametrize(
    "operation",
    [
        "CreateExperiment",
        "CreateTrial",
        "CreateTrialComponent",
        "DescribeTrialComponent",
        "BatchPutMetrics",
        "AssociateTrialComponent",
        "UpdateTrialComponent",
    ],
)
def test_a_try_that_breaks_off_is_finished_by_the_next(sagemaker, ran, track, operation):
    ran("a")
    sagemaker.broken = [operation]
    with pytest.raises(AwsUnavailableError):
        track("a")
    track("a")
    told = component_of(sagemaker, "a")
    assert told["Status"] == {"PrimaryStatus": "Completed"}
    assert len(told["Metrics"]) == 18
    assert len(sagemaker.list_trials(TrialComponentName=told["TrialComponentName"])["TrialSummaries"]) == 1


def test_a_second_event_writes_nothing(sagemaker, ran, track):
    ran("a")
    first = track("a")
    before = component_of(sagemaker, "a")
    sagemaker.calls.clear()
    assert track("a") == first
    assert "BatchPutMetrics" not in sagemaker.calls
    assert component_of(sagemaker, "a") == before


def test_a_metric_that_sagemaker_does_not_take_is_told(sagemaker, ran, track, monkeypatch):
    ran("a")
    answer = {"Errors": [{"Code": "INTERNAL_ERROR", "MetricIndex": 1}]}
    monkeypatch.setattr(sagemaker, "batch_put_metrics", lambda **request: answer, raising=False)
    with pytest.raises(AwsUnavailableError, match="roc_auc: INTERNAL_ERROR"):
        track("a")
    assert component_of(sagemaker, "a")["Status"] == {"PrimaryStatus": "InProgress"}


def test_where_the_months_trial_takes_no_more_no_component_is_left(sagemaker, ran, track, monkeypatch):
    def full(**request):
        raise ClientError({"Error": {"Code": "ResourceLimitExceeded", "Message": "full"}}, "AssociateTrialComponent")

    ran("a")
    monkeypatch.setattr(sagemaker, "associate_trial_component", full, raising=False)
    with pytest.raises(QuotaExceededError):
        track("a")
    assert sagemaker.list_trial_components()["TrialComponentSummaries"] == []


def test_more_months_than_can_be_deleted_in_time_are_told_and_a_month_that_is_begun_is_ended(
    sagemaker, ran, track, monkeypatch
):
    for run in ("a", "b"):
        ran(run)
        track(run)
    times = iter([0, 1, 10_000])
    monkeypatch.setattr(trial_components.time, "monotonic", lambda: next(times))
    sagemaker.create_trial(TrialName=f"{EXPERIMENT}-later", ExperimentName=EXPERIMENT)
    with pytest.raises(AwsUnavailableError, match="delete the stack again"):
        delete_experiment(EXPERIMENT, "suspicious-lines")
    assert len(sagemaker.list_trials()["TrialSummaries"]) == 1
    for component in sagemaker.list_trial_components()["TrialComponentSummaries"]:
        assert sagemaker.list_trials(TrialComponentName=component["TrialComponentName"])["TrialSummaries"]


def test_the_experiment_goes_with_all_that_is_the_stacks(sagemaker, ran, track):
    for run in ("a", "b", "c"):
        ran(run)
        track(run)
    trial = sagemaker.list_trials(ExperimentName=EXPERIMENT)["TrialSummaries"][0]["TrialName"]
    names = {run: component_of(sagemaker, run)["TrialComponentName"] for run in ("a", "b", "c")}
    sagemaker.create_experiment(ExperimentName="theirs")
    sagemaker.create_trial(TrialName="their-trial", ExperimentName="theirs")
    sagemaker.create_trial_component(TrialComponentName="their-component")
    sagemaker.associate_trial_component(TrialName="their-trial", TrialComponentName=names["a"])
    sagemaker.associate_trial_component(TrialName=trial, TrialComponentName="their-component")
    delete_experiment(EXPERIMENT, "suspicious-lines")
    left = {c["TrialComponentName"] for c in sagemaker.list_trial_components()["TrialComponentSummaries"]}
    assert left == {names["a"], "their-component"}
    assert {t["TrialName"] for t in sagemaker.list_trials()["TrialSummaries"]} == {"their-trial", trial}
    sagemaker.disassociate_trial_component(TrialName=trial, TrialComponentName="their-component")
    delete_experiment(EXPERIMENT, "suspicious-lines")
    assert [t["TrialName"] for t in sagemaker.list_trials()["TrialSummaries"]] == ["their-trial"]
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.describe_experiment(ExperimentName=EXPERIMENT)
    delete_experiment(EXPERIMENT, "suspicious-lines")  # gone already


def test_a_component_that_still_counts_as_linked_is_tried_again(sagemaker, ran, track, monkeypatch):
    ran("a")
    track("a")
    stock, tries = sagemaker.delete_trial_component, []

    def delete(**request):
        tries.append(request)
        if len(tries) < 3:
            message = "TrialComponent 'x' is linked to 1 or more trials and cannot be deleted."
            raise ClientError({"Error": {"Code": "ValidationException", "Message": message}}, "DeleteTrialComponent")
        return stock(**request)

    monkeypatch.setattr(sagemaker, "delete_trial_component", delete, raising=False)
    delete_experiment(EXPERIMENT, "suspicious-lines")
    assert len(tries) == 3
    assert sagemaker.list_trial_components()["TrialComponentSummaries"] == []
