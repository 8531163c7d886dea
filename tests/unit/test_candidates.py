"""Candidates of a sweep: the grid and its bounds, their jobs, and which of them wins."""

import json
from types import SimpleNamespace

import msgspec
import pytest
from botocore.exceptions import ClientError
from msgspec import ValidationError

from frames import BUCKET, ROOT
from local.sagemaker.shapes import check
from suspicious_lines import candidate_figures, candidates, jobs, store, sweep_end
from suspicious_lines.candidate_messages import JudgedCandidate, SweepOrder
from suspicious_lines.candidates import parts_of
from suspicious_lines.costs import estimate, prices
from suspicious_lines.errors import (
    ModelResponseError,
    QuotaExceededError,
    RunEndedError,
    SweepRefusedError,
    TrainingFailedError,
    TransformFailedError,
)
from suspicious_lines.layout import RunFiles, resource_name
from suspicious_lines.receipts import Receipt
from suspicious_lines.sweep_end import best

OWN = {
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File", "EnableSageMakerMetrics": False},
    "HyperParameters": {"feature_dim": "22", "num_trees": "100", "num_samples_per_tree": "256", "eval_metrics": "[]"},
    "InputDataConfig": [
        {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://b/{name}/"}}}
        for name in ("train", "test")
    ],
    "OutputDataConfig": {"S3OutputPath": "s3://b/runs/example/model/", "KmsKeyId": "key"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    "RoleArn": "arn:aws:iam::000000000000:role/suspicious-lines-sagemaker",
    "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
    "EnableNetworkIsolation": True,
    "BillableTimeInSeconds": 600,
    "TrainingJobStatus": "Completed",
    "ModelArtifacts": {"S3ModelArtifacts": "s3://b/model.tar.gz"},
}


class SageMaker:
    """Takes requests that botocore's model takes, and says of every training job what `job` is."""

    def __init__(self):
        self.job, self.made, self.stopped, self.refusals = dict(OWN), [], [], {}

    def describe_training_job(self, TrainingJobName):
        return self.job

    def describe_transform_job(self, TransformJobName):
        return {"TransformJobStatus": "InProgress"}

    def stop_training_job(self, TrainingJobName):
        self.stopped.append(TrainingJobName)

    def stop_transform_job(self, TransformJobName):
        self.stopped.append(TransformJobName)

    def delete_model(self, ModelName):
        self._refuse("DeleteModel")
        self.stopped.append(f"model {ModelName}")

    def create_training_job(self, **request):
        self._made("CreateTrainingJob", request)

    def create_model(self, **request):
        self._made("CreateModel", request)

    def create_transform_job(self, **request):
        self._made("CreateTransformJob", request)

    def _made(self, operation, request):
        check(operation, request)
        self._refuse(operation)
        self.made.append((operation, request))

    def _refuse(self, operation):
        if error := self.refusals.get(operation):
            raise ClientError({"Error": dict(zip(("Code", "Message"), error, strict=True))}, operation)


@pytest.fixture
def sagemaker(cloud, monkeypatch):
    fake = SageMaker()
    for module in (candidates, jobs):
        monkeypatch.setattr(module, "client", lambda service: fake)
    files = RunFiles("example")
    for kind in ("train", "validation", "planted"):
        for number in (1, 0):
            store.put(BUCKET, f"{files.features_of(kind)}part-{number:05d}.csv", f"{kind}{number}", "text/csv")
    return fake


@pytest.fixture
def call(load_handler, context):
    def send(function, **changes):
        event = json.loads((ROOT / f"events/{function}.json").read_text())
        return load_handler(function)(event | changes, context)

    return send


def leave_receipt(promoted=True, status="SUCCEEDED"):
    receipt = msgspec.convert(
        {
            "run": "example",
            "execution_arn": "arn",
            "status": status,
            "input": None,
            "promotion": {"promoted": promoted, "champion": None, "reason": "r"} if promoted is not None else None,
            "timings": {"started_at": "2026-11-23T00:00:00Z", "seconds": 1, "states": {}, "transitions": 1},
            "estimated_cost": msgspec.to_builtins(estimate({}, 1, 1, "ml.m5.large", 2048, 0, "ml.m5.xlarge")),
        },
        Receipt,
    )
    store.put_json(BUCKET, RunFiles("example").receipt, receipt)


def test_the_grid_has_each_combination_once():
    grid = SweepOrder(run="a", trees=[100, 50, 100], samples=[256, 64]).grid()
    assert [(each.num_trees, each.num_samples_per_tree) for each in grid] == [
        (50, 64),
        (50, 256),
        (100, 64),
        (100, 256),
    ]


@pytest.mark.parametrize(
    "order",
    [
        {"trees": []},
        {"trees": [49]},
        {"trees": [1001]},
        {"samples": [0]},
        {"samples": [2049]},
        {"samples": [1, 2, 3, 4]},
        {"run": "a/b"},
    ],
)
def test_a_grid_out_of_bounds_is_refused(order):
    with pytest.raises(ValidationError):
        msgspec.convert({"run": "a", "trees": [50], "samples": [64]} | order, SweepOrder)


def test_the_plan_tells_the_candidates_and_what_they_may_cost(sagemaker, call):
    leave_receipt()
    plan = call("plan_sweep", order={"run": "example", "trees": [100, 200], "samples": [256]})
    assert plan["own"] == {"num_trees": 100, "num_samples_per_tree": 256}
    assert [each["num_trees"] for each in plan["candidates"]] == [100, 200]
    hourly = sum(prices()["training_hour"][kind] for kind in ("ml.m5.large", "ml.m5.xlarge"))
    assert plan["estimated_cost"] == pytest.approx((600 + 1200) / 3600 * hourly, abs=1e-4)  # twice as large, as long


def test_a_refused_models_run_can_be_swept_as_well(sagemaker, call):
    leave_receipt(promoted=False)
    assert call("plan_sweep")["model_run"] == "example"


def test_what_may_cost_too_much_is_refused(sagemaker, call, monkeypatch):
    leave_receipt()
    monkeypatch.setenv("MOST_SWEEP_DOLLARS", "0.2")
    with pytest.raises(SweepRefusedError, match=r"4 candidates may cost \$0.23, MostSweepDollars is 0.2"):
        call("plan_sweep")
    monkeypatch.setenv("BATCH_INSTANCE_TYPE", "ml.none.large")
    with pytest.raises(SweepRefusedError, match="price table does not know"):
        call("plan_sweep")


@pytest.mark.parametrize("promoted", ["never", None])
def test_a_run_without_a_model_is_refused(sagemaker, call, promoted):
    if promoted != "never":
        leave_receipt(promoted)
    with pytest.raises(SweepRefusedError, match="trained no model, or has not ended"):
        call("plan_sweep")


@pytest.mark.parametrize("kind", ["train", "validation"])
def test_a_run_whose_lines_are_gone_is_refused(sagemaker, call, kind):
    leave_receipt()
    store.delete_all(BUCKET, store.keys(BUCKET, RunFiles("example").features_of(kind)))
    with pytest.raises(SweepRefusedError, match="prepared lines of run example are gone"):
        call("plan_sweep")


def test_a_candidate_trains_as_the_run_did_but_for_two_hyperparameters(sagemaker, call):
    answer = call("train_candidate")
    name = resource_name("suspicious-lines", "example-sweep", "50x128")
    assert answer == {"job_name": name, "poll_seconds": 20}
    ((_, job),) = sagemaker.made
    assert job["TrainingJobName"] == name
    assert job["HyperParameters"] == {"feature_dim": "22", "num_trees": "50", "num_samples_per_tree": "128"}
    assert [channel["ChannelName"] for channel in job["InputDataConfig"]] == ["train"]
    assert job["AlgorithmSpecification"] == {"TrainingImage": "image", "TrainingInputMode": "File"}
    for same in ("OutputDataConfig", "ResourceConfig", "StoppingCondition", "RoleArn", "VpcConfig"):
        assert job[same] == OWN[same]
    assert job["EnableNetworkIsolation"] is True
    assert job["Tags"] == [{"Key": "suspicious-lines:run", "Value": "example-sweep"}]


@pytest.mark.parametrize(("code", "error"), [("ResourceInUse", None), ("ResourceLimitExceeded", QuotaExceededError)])
def test_a_job_that_is_there_is_found_and_a_quota_is_told(sagemaker, call, code, error):
    sagemaker.refusals["CreateTrainingJob"] = (code, "x")
    if error is None:
        assert call("train_candidate")["job_name"]
    else:
        with pytest.raises(error):
            call("train_candidate")


def test_lines_and_planted_errors_are_scored_by_the_candidates_model(sagemaker, call):
    answer = call("score_candidate")
    (_, model), (_, job) = sagemaker.made
    assert model["ModelName"] == job["ModelName"] == job["TransformJobName"] == answer["job_name"]
    assert model["PrimaryContainer"] == {"Image": "image", "ModelDataUrl": "s3://b/model.tar.gz"}
    files = RunFiles("example")
    source = job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
    assert source == f"s3://{BUCKET}/{files.features_of('validation')}"
    assert job["Tags"] == model["Tags"] == [{"Key": "suspicious-lines:run", "Value": "example-sweep"}]
    for number in (0, 1):
        copied = f"{files.features_of('validation')}planted-part-{number:05d}.csv"
        assert store.get_bytes(BUCKET, copied) == f"planted{number}".encode()
    # The copies are no parts of the run's.
    assert parts_of(BUCKET, files, "validation") == ["validation/part-00000", "validation/part-00001"]
    assert not store.exists(BUCKET, files.transform_job), "the note of the run's own job"


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_a_candidate_that_did_not_train_is_not_scored(sagemaker, call, status):
    sagemaker.job |= {"TrainingJobStatus": status, "FailureReason": "no capacity"}
    with pytest.raises(TrainingFailedError, match=f"is {status}: no capacity"):
        call("score_candidate")
    assert sagemaker.made == []


def test_what_is_started_after_the_end_is_taken_back(sagemaker, call):
    store.put_json(BUCKET, RunFiles("example").sweep("example-sweep", "ended.json"), {})
    name = resource_name("suspicious-lines", "example-sweep", "50x128")
    with pytest.raises(RunEndedError):
        call("score_candidate")
    assert sagemaker.stopped == [name, f"model {name}"]
    sagemaker.job["TrainingJobStatus"], sagemaker.stopped = "InProgress", []
    with pytest.raises(RunEndedError):
        call("train_candidate")
    assert sagemaker.stopped == [name]


def judged(trees, samples, average_precision, caught=0.5):
    figures = {"average_precision": average_precision, "caught": caught}
    return JudgedCandidate(num_trees=trees, num_samples_per_tree=samples, **figures)


def test_the_best_wins_and_of_equals_the_smallest():
    by, winner = best([judged(50, 64, 0.5), judged(100, 256, 0.75), judged(100, 64, 0.75), judged(50, 128, 0.75)])
    assert (by, winner.name) == ("average precision", "50x128")  # as large as 100x64, of fewer trees
    by, winner = best([judged(50, 64, None, 0.4), judged(100, 64, None, 0.6), judged(50, 128, None, 0.6)])
    assert (by, winner.name) == ("planted errors caught", "50x128")


def messages(cloud):
    answer = cloud.sqs.receive_message(QueueUrl=cloud.queues["operators"], MaxNumberOfMessages=10)
    return [json.loads(message["Body"]) for message in answer.get("Messages", [])]


@pytest.mark.parametrize(("own", "advised"), [(0.4, True), (0.5, False), (None, True)])
def test_the_operators_are_told_once_what_to_set_or_that_nothing_is_better(sagemaker, call, cloud, own, advised):
    files = RunFiles("example")
    store.put_json(BUCKET, files.result("metrics.json"), {"average_precision": own})
    for _ in range(2):
        assert call("choose_candidate")["winner"]["num_trees"] == 50
    (message,) = messages(cloud)
    assert message["Subject"] == "Sweep: 50 trees of 128 samples"
    assert ("NumTrees=50 NumSamplesPerTree=128" in message["Message"]) == advised
    assert ("leave NumTrees and NumSamplesPerTree as they are" in message["Message"]) != advised
    document = store.get_json(BUCKET, files.sweep("example-sweep", "sweep.json"))
    assert document["own"] == {"num_trees": 100, "num_samples_per_tree": 256, "average_precision": own}
    assert document["winner"] == document["candidates"][0]


def test_the_end_stops_what_runs_and_is_told_once(sagemaker, call, cloud):
    sagemaker.job["TrainingJobStatus"] = "InProgress"
    name = resource_name("suspicious-lines", "example-sweep", "50x128")
    first = call("end_sweep")
    assert first["stopped"] == [f"training job {name}", f"transform job {name}", f"model {name}"]
    assert first["error"] == "TrainingFailedError"
    assert store.exists(BUCKET, RunFiles("example").sweep("example-sweep", "ended.json"))
    sagemaker.refusals["DeleteModel"] = ("ValidationException", 'Could not find model "x"')
    sagemaker.job["TrainingJobStatus"] = "Stopped"
    call("end_sweep")
    (message,) = messages(cloud)
    assert message["Subject"] == "Sweep failed: TrainingFailedError"


def test_of_what_was_no_order_there_is_nothing_to_stop(sagemaker, call, monkeypatch):
    monkeypatch.setattr(sweep_end, "stop", lambda *_: SimpleNamespace())
    cause = json.dumps({"errorMessage": "trees: too many"})
    answer = call("end_sweep", input='{"run": "example"}', cause=cause, status="FAILED")
    assert (answer["stopped"], answer["cause"]) == ([], "trees: too many")


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (["{}"], "are not scores"),
        (['{"score": 1}', None], "wrote nothing for validation/part-00001"),
        (['{"score": 1}', '{"score": 2}', '{"score": 3}', '{"score": 4}'], "a score for each line"),
    ],
)
def test_answers_that_do_not_fit_the_lines_are_no_figures(sagemaker, call, monkeypatch, answers, words):
    done = {"TransformJobStatus": "Completed"}
    monkeypatch.setattr(candidate_figures, "client", lambda _: SimpleNamespace(describe_transform_job=lambda **_: done))
    monkeypatch.setattr(candidate_figures, "read_encoder", lambda *_: None)
    monkeypatch.setattr(candidate_figures.datasets, "read_dataset", lambda *_: ["a line", "another", "a third"])
    name = resource_name("suspicious-lines", "example-sweep", "50x128")
    names = [f"{kind}part-{number:05d}" for kind in ("", "planted-") for number in (0, 1)]
    for place, answer in zip(names, answers, strict=False):
        if answer is not None:
            store.put(BUCKET, f"{RunFiles('example').transformed(name)}{place}.csv.out", answer, "x")
    with pytest.raises(ModelResponseError, match=words):
        call("judge_candidate")


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_a_candidate_that_was_not_scored_is_not_judged(sagemaker, call, monkeypatch, status):
    failed = {"TransformJobStatus": status, "FailureReason": "no capacity"}
    fake = SimpleNamespace(describe_transform_job=lambda **_: failed)
    monkeypatch.setattr(candidate_figures, "client", lambda _: fake)
    with pytest.raises(TransformFailedError, match=f"is {status}: no capacity"):
        call("judge_candidate")
