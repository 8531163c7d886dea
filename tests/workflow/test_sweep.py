"""The hyperparameter sweep: forests are trained and compared, a winner is named, and a failed sweep leaves nothing."""

import io
import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from local.activities import generate
from local.cloud import STACK
from local.emulator.calls import STATES, Order
from suspicious_lines.encoder import Encoder
from suspicious_lines.layout import resource_name
from suspicious_lines.ranking import Reference
from suspicious_lines.rules import Rules

ROOT = Path(__file__).parents[2]
GRID = {"trees": [60, 50], "samples": [64, 128]}


@pytest.fixture
def workflow(sweep_workflow):
    sweep_workflow.no_faults()
    yield sweep_workflow
    sweep_workflow.no_faults()
    sweep_workflow.calls.cancel()


@pytest.fixture(scope="module")
def trained(sweep_workflow, activities):
    """A run with labels that trained a model."""
    run = sweep_workflow.drop(activities)
    assert run.status == "SUCCEEDED"
    return run


def start(workflow, run, name="", **grid) -> str:
    order = json.dumps({"run": run} | (grid or GRID))
    request = {"stateMachineArn": workflow.machine.replace("-train", "-sweep"), "input": order}
    return workflow.sfn.start_execution(**request, name=name or str(uuid.uuid4()))["executionArn"]


def sweep(workflow, run, **grid):
    return workflow.wait(start(workflow, run, **grid))


def result(workflow, run, done) -> dict:
    return workflow.json(run, f"sweep/{done.name}/sweep.json")


def told(workflow, done) -> list[tuple[str, str]]:
    return [(mail["Subject"], mail.get_content()) for mail in workflow.mails(done, "operators")]


@pytest.fixture
def left_alone(workflow, trained):
    """Holds that a sweep that failed leaves nothing that runs or clutters, and tells the operators once, and why."""
    before, live = workflow.hosted(), workflow.live()

    def check(done, error):
        assert (done.status, done.error) == ("FAILED", error)
        time.sleep(0.5)  # the rule calls EndSweep as well
        assert (workflow.hosted(), workflow.live()) == (before, live)
        ((subject, text),) = told(workflow, done)
        assert subject == f"Sweep failed: {error}"
        return text

    return check


def test_forests_of_the_grid_are_trained_on_the_runs_lines_and_the_best_is_named(workflow, trained):
    before, live = workflow.hosted(), workflow.live()
    done = sweep(workflow, trained.name)
    assert done.status == "SUCCEEDED", done.cause
    found = result(workflow, trained, done)
    assert (found["run"], found["sweep"], found["by"]) == (trained.name, done.name, "average precision")
    sizes = [(each["num_trees"], each["num_samples_per_tree"]) for each in found["candidates"]]
    assert sizes == [(50, 64), (50, 128), (60, 64), (60, 128)]
    own = workflow.sagemaker.describe_training_job(TrainingJobName=resource_name(STACK, trained.name))
    for candidate in found["candidates"]:
        trees, samples = candidate["num_trees"], candidate["num_samples_per_tree"]
        name = resource_name(STACK, done.name, f"{trees}x{samples}")
        job = workflow.sagemaker.describe_training_job(TrainingJobName=name)
        assert (job["HyperParameters"]["num_trees"], job["HyperParameters"]["num_samples_per_tree"]) == (
            str(trees),
            str(samples),
        )
        for same in ("InputDataConfig", "ResourceConfig", "StoppingCondition", "RoleArn"):
            assert job[same] == own[same]
        assert candidate["average_precision"] == pytest.approx(measured(workflow, trained, name))
        assert 0 <= candidate["caught"] <= 1
    winner = max(found["candidates"], key=lambda each: each["average_precision"])
    assert found["winner"] == winner
    metrics = workflow.json(trained, "results/metrics.json")
    assert found["own"] == {
        "num_trees": 50,
        "num_samples_per_tree": 256,
        "average_precision": metrics["average_precision"],
    }
    ((subject, text),) = told(workflow, done)
    assert subject == f"Sweep: {winner['num_trees']} trees of {winner['num_samples_per_tree']} samples"
    better = winner["average_precision"] > metrics["average_precision"]
    advice = f"NumTrees={winner['num_trees']} NumSamplesPerTree={winner['num_samples_per_tree']}"
    assert (advice in text) == better
    assert (workflow.hosted(), workflow.live()) == (before, live)


def measured(workflow, run, name) -> float:
    """Average precision of the final score, put together here from what the transform job answered."""
    frames, scores = [], []
    for part in sorted(key for key in workflow.keys(run) if key.startswith("lines/validation/")):
        frames.append(pd.read_parquet(io.BytesIO(workflow.read(run, part))))
        answer = workflow.read(run, f"transformed/{name}/{part.rpartition('/')[2].removesuffix('.parquet')}.csv.out")
        scores += [json.loads(line)["score"] for line in answer.splitlines()]
    lines, scores = pd.concat(frames, ignore_index=True), np.array(scores)
    encoder, rules = Encoder.from_json(workflow.read(run, "encoder.json").decode()), Rules.default()
    hits = rules.hits(lines, encoder)
    final = Reference.of(scores, hits, rules.ranking()).score(scores, hits)
    return average_precision_score(lines["error"].astype(bool), final)


def test_make_sweep_starts_one_on_the_live_models_lines_and_prints_what_it_found(workflow, trained):
    run = workflow.live()
    status, printed = make_sweep(workflow, "--trees", "50", "--samples", "64,128")
    assert status == 0, printed
    machine = workflow.machine.replace("-train", "-sweep")
    newest = workflow.sfn.list_executions(stateMachineArn=machine)["executions"][0]["name"]
    place = {"Bucket": workflow.bucket, "Key": f"runs/{run}/sweep/{newest}/sweep.json"}
    found = json.loads(workflow.s3.get_object(**place)["Body"].read())
    (best,) = [line.split() for line in printed.splitlines() if line.endswith("  best")]
    winner = found["winner"]
    assert best[:3] == [
        str(winner["num_trees"]),
        str(winner["num_samples_per_tree"]),
        f"{winner['average_precision']:.4f}",
    ]
    assert "the run's own" in printed
    status, printed = make_sweep(workflow, "--trees", "50", "--samples", "64", "--run", "nobody")
    assert (status, printed) == (1, "sweep: SweepRefusedError: run nobody trained no model, or has not ended\n")


def make_sweep(workflow, *arguments) -> tuple[int, str]:
    """The exit status, and what was printed, or complained of."""
    command = [sys.executable, "scripts/sweep.py", "--home", str(workflow.cloud.outbox.parent), *arguments]
    environment = {**os.environ, "PYTHONPATH": "layers/core"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stderr or done.stdout


def test_without_labels_the_planted_errors_decide(workflow):
    body = generate(seed=5, lines=600).drop(columns="Error").to_csv(index=False).encode()
    run = workflow.drop(body, "incoming/unlabelled.csv")
    done = sweep(workflow, run.name, trees=[50], samples=[32, 256])
    assert done.status == "SUCCEEDED", done.cause
    found = result(workflow, run, done)
    assert found["by"] == "planted errors caught"
    assert {each["average_precision"] for each in found["candidates"]} == {None}
    best = max(each["caught"] for each in found["candidates"])
    assert found["winner"] == next(each for each in found["candidates"] if each["caught"] == best)


@pytest.mark.parametrize(
    ("order", "error", "words"),
    [
        ({"run": "nobody"}, "SweepRefusedError", "trained no model"),
        ({"trees": [50, 60, 70, 80]}, "ValidationError", "trees"),
        ({"samples": [4096]}, "ValidationError", "samples"),
    ],
)
def test_what_cannot_be_tried_is_refused(workflow, trained, left_alone, order, error, words):
    grid = GRID | order
    done = sweep(workflow, grid.pop("run", trained.name), **grid)
    assert workflow.entered(done) == ["PlanSweep", "EndSweep", "SweepFailed"]
    assert words in left_alone(done, error)


@pytest.mark.parametrize(
    ("target", "error", "ends"),
    [
        ("TrainingJob", "TrainingFailedError", "ScoreCandidate"),
        ("TransformJob", "TransformFailedError", "JudgeCandidate"),
    ],
)
def test_a_job_that_fails_fails_the_sweep(workflow, trained, left_alone, target, error, ends):
    workflow.fault(target, "x", 1, "no capacity")
    done = sweep(workflow, trained.name)
    assert ends in workflow.entered(done)
    assert "no capacity" in left_alone(done, error)


@pytest.mark.parametrize("operation", ["DescribeTrainingJob", "DescribeTransformJob"])
def test_a_job_that_cannot_be_asked_fails_the_sweep(workflow, trained, left_alone, operation):
    workflow.calls.order(Order("denied", STATES, "sagemaker", operation, times=100))  # whatever is tried again
    done = sweep(workflow, trained.name)
    workflow.calls.cancel()
    left_alone(done, "SageMaker.SageMakerException")


def test_a_candidate_that_cannot_be_judged_fails_the_sweep(workflow, trained, left_alone):
    workflow.s3.put_object(Bucket=workflow.bucket, Key="config/rules.json", Body=b"{")
    done = sweep(workflow, trained.name, trees=[50], samples=[64])
    workflow.s3.delete_object(Bucket=workflow.bucket, Key="config/rules.json")
    assert workflow.entered(done)[-2:] == ["EndSweep", "SweepFailed"]
    assert "model " in left_alone(done, "SettingsError")


def refuse_messages(workflow, function):
    """SNS refuses the function's next message."""
    workflow.calls.order(Order("denied", workflow.physical_id(function), "sns", "Publish", times=1))


def test_a_choice_that_nobody_can_be_told_of_fails_the_sweep(workflow, trained, left_alone):
    refuse_messages(workflow, "ChooseCandidateFunction")
    done = sweep(workflow, trained.name, trees=[50], samples=[64])
    assert workflow.entered(done)[-3:] == ["ChooseCandidate", "EndSweep", "SweepFailed"]
    left_alone(done, "AwsRefusedError")


def test_the_rule_ends_a_sweep_that_could_not_end_itself(workflow, trained, left_alone):
    refuse_messages(workflow, "EndSweepFunction")
    done = sweep(workflow, "nobody")
    assert workflow.entered(done)[-1] == "SweepFailedUnended"
    assert "trained no model" in left_alone(done, "SweepRefusedError")


LARGE = {"trees": [400], "samples": [2048]}  # takes a few seconds


@pytest.mark.parametrize(("state", "job"), [("WaitForTraining", "training job"), ("WaitForTransform", "transform job")])
def test_a_sweep_that_is_stopped_leaves_no_job(workflow, trained, state, job):
    before = workflow.hosted()
    arn = start(workflow, trained.name, **LARGE)
    workflow.wait_for_state(arn, state)
    workflow.sfn.stop_execution(executionArn=arn)
    done = workflow.wait(arn)
    assert done.status == "ABORTED"
    ((subject, text),) = told(workflow, done)
    name = resource_name(STACK, done.name, "400x2048")
    assert (subject, f"{job} {name}" in text) == ("Sweep failed: ABORTED", True), text
    assert status(workflow, job, name) in {"Stopping", "Stopped"}
    wait_until(lambda: workflow.hosted() == before)
    assert workflow.json(trained, f"sweep/{done.name}/ended.json")["error"] == "ABORTED"


def status(workflow, job, name) -> str:
    if job == "training job":
        return workflow.sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"]
    return workflow.sagemaker.describe_transform_job(TransformJobName=name)["TransformJobStatus"]


def wait_until(condition):
    for _ in range(100):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("waited too long")


@pytest.mark.parametrize(("state", "job"), [("", "training job"), ("WaitForTraining", "transform job")])
def test_what_is_started_after_the_end_is_taken_back(workflow, trained, state, job):
    """As where a function still runs when its sweep is stopped. `state`: what the sweep has entered by then."""
    before, name = workflow.hosted(), str(uuid.uuid4())
    ended = {"Bucket": workflow.bucket, "Key": f"runs/{trained.name}/sweep/{name}/ended.json", "Body": b"{}"}
    if not state:
        workflow.s3.put_object(**ended)
    arn = start(workflow, trained.name, name, **LARGE)
    if state:
        workflow.wait_for_state(arn, state)
        workflow.s3.put_object(**ended)
    done = workflow.wait(arn)
    assert (done.status, done.error) == ("FAILED", "RunEndedError")
    assert status(workflow, job, resource_name(STACK, name, "400x2048")) in {"Stopping", "Stopped"}
    wait_until(lambda: workflow.hosted() == before)


def test_upkeep_leaves_a_running_sweep_alone(workflow, trained):
    workflow.sweep_at_once()
    arn = start(workflow, trained.name, **LARGE)
    workflow.wait_for_state(arn, "WaitForTraining")
    workflow.invoke("DeleteOrphansFunction", {"run": "upkeep"})
    done = workflow.wait(arn)
    assert done.status == "SUCCEEDED", done.cause
