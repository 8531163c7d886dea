"""One file on each of the ways that its size may send it: the same flags and the same figures."""

import json
import time

import msgspec
import pytest

from suspicious_lines.receipts import Receipt

EVERYTHING_ABOVE = {
    "map": {},
    "distributed": {"DISTRIBUTED_ABOVE_MB": "0"},
    "batch": {"BATCH_ABOVE_MB": "0"},
}
# States that only one way enters.
OWN = {"distributed": "ScorePartsDistributed", "batch": "StartTransform"}


@pytest.fixture
def way(workflow):
    """Sends every file one of the ways, by what ClaimUpload is told of sizes; the deployed values come back."""
    lambdas = workflow.cloud.client("lambda")
    name = workflow.physical_id("ClaimUploadFunction")
    deployed = lambdas.get_function_configuration(FunctionName=name)["Environment"]["Variables"]

    def send(way: str) -> None:
        variables = deployed | EVERYTHING_ABOVE[way]
        lambdas.update_function_configuration(FunctionName=name, Environment={"Variables": variables})

    yield send
    lambdas.update_function_configuration(FunctionName=name, Environment={"Variables": deployed})


def test_a_training_file_gets_the_same_results_on_every_way(workflow, no_model, activities, way):
    found = {}
    for name in EVERYTHING_ABOVE:
        workflow.forget_models()
        way(name)
        first, second = workflow.drop(activities), workflow.drop(activities)
        assert [first.status, second.status] == ["SUCCEEDED", "SUCCEEDED"], (name, first.cause, second.cause)
        # The first has no champion, the second is compared with the first.
        comparison = workflow.json(second, "results/comparison.json")
        assert comparison["champion"] == first.name
        metrics = workflow.json(second, "results/metrics.json")
        found[name] = metrics, workflow.read(second, "results/suspicious_lines.csv"), comparison["reason"]
        entered = workflow.entered(second)
        assert [way for way, state in OWN.items() if state in entered] == ([name] if name in OWN else [])
        assert ("ScoreChampionPartsDistributed" in entered) == (name == "distributed")
        assert ("Preprocess" in entered) == (name != "batch")
        receipt = msgspec.convert(workflow.json(second, "receipt.json"), Receipt)
        assert (receipt.estimated_cost.batch > 0) == (name == "batch")
    for name in EVERYTHING_ABOVE:
        assert found[name] == found["map"], name


def test_new_lines_get_the_same_results_on_every_way(workflow, no_model, activities, way):
    assert workflow.drop(activities).status == "SUCCEEDED"
    found = {}
    for name in EVERYTHING_ABOVE:
        way(name)
        run = workflow.drop(activities, f"invoices/{name}.csv")
        assert run.status == "SUCCEEDED", (name, run.cause)
        metrics = workflow.json(run, "results/metrics.json")
        found[name] = metrics, workflow.read(run, "results/suspicious_lines.csv")
        entered = workflow.entered(run)
        assert [way for way, state in OWN.items() if state in entered] == ([name] if name in OWN else [])
        assert ("EncodeLines" in entered) == (name != "batch")
    for name in EVERYTHING_ABOVE:
        assert found[name] == found["map"], name


def test_a_part_that_cannot_be_scored_fails_the_distributed_run(workflow, activities, way, nothing_left):
    way("distributed")
    workflow.fault("InvokeEndpoint", "ModelError", 10_000, status=424)
    run = workflow.drop(activities)
    workflow.no_faults()
    assert (run.status, run.error) == ("FAILED", "States.ExceedToleratedFailureThreshold")
    nothing_left(run)


def test_a_model_deleted_meanwhile_gives_way_to_the_live_one(workflow, no_model, activities, way):
    way("distributed")
    other, begun_with = workflow.drop(activities), workflow.drop(activities)
    place = {"Bucket": workflow.bucket, "Key": "models/current.json"}
    live = json.loads(workflow.s3.get_object(**place)["Body"].read())
    assert [live["run"], live["former"][0]["run"]] == [begun_with.name, other.name]
    workflow.fault("InvokeEndpoint", "ThrottlingException", 10_000)
    arn = workflow.arn_of(workflow.upload(activities, "invoices/moving.csv"))
    workflow.wait_for_state(arn, "ScorePartsDistributed")
    promoted = live | live["former"][0] | {"encoder_key": f"runs/{other.name}/encoder.json", "former": []}
    workflow.s3.put_object(**place, Body=json.dumps(promoted))
    workflow.sagemaker.delete_endpoint(EndpointName=live["endpoint_name"])
    workflow.no_faults()
    run = workflow.wait(arn)
    assert run.status == "SUCCEEDED"
    assert workflow.json(run, "receipt.json")["model"]["run"] == other.name
    assert workflow.entered(run).count("EncodeLines") == 2


@pytest.mark.parametrize(
    ("job", "error"), [("ProcessingJob", "PreprocessingFailedError"), ("TransformJob", "TransformFailedError")]
)
def test_a_job_that_fails_ends_the_run_with_its_reason(workflow, activities, way, nothing_left, job, error):
    way("batch")
    workflow.fault(job, "x", 1, "InternalServerError: out of luck")
    run = workflow.drop(activities)
    assert (run.status, run.error) == ("FAILED", error)
    assert "InternalServerError: out of luck" in run.cause
    nothing_left(run)
    assert len(workflow.mails(run, "operators")) == 1


@pytest.mark.parametrize("state", ["WaitForPreprocessing", "WaitForTransform"])
def test_jobs_of_an_aborted_run_are_stopped(workflow, activities, way, nothing_left, state):
    way("batch")
    # Large enough that the job still runs when the run is aborted.
    body = activities + activities.split(b"\n", 1)[1] * 40
    arn = workflow.arn_of(workflow.upload(body))
    workflow.wait_for_state(arn, state)
    workflow.sfn.stop_execution(executionArn=arn, cause="the operator changed their mind")
    run = workflow.wait(arn)
    assert run.status == "ABORTED"
    for _ in range(100):  # the rule's report: the receipt is the last of it
        if "receipt.json" in workflow.keys(run) and not workflow.hosted()["jobs"]:
            break
        time.sleep(0.2)
    nothing_left(run)
    kind = "processing job" if state == "WaitForPreprocessing" else "transform job"
    assert kind in workflow.json(run, "receipt.json")["deleted"]


def test_a_file_that_cannot_be_used_is_refused_in_words_by_the_job(workflow, way, nothing_left):
    way("batch")
    run = workflow.drop(b"not invoices", "incoming/bad.csv")
    assert (run.status, run.error) == ("FAILED", "InvalidUploadError")
    assert run.cause.startswith("incoming/bad.csv, line 1: there is no header")
    nothing_left(run)


def test_without_a_model_a_large_file_waits_too(workflow, no_model, activities, way):
    way("batch")
    waiting = workflow.drop(activities, "invoices/early.csv")
    assert waiting.status == "SUCCEEDED"
    (mail,) = workflow.mails(waiting, "operators")
    assert mail["Subject"] == "Waiting for a first model: invoices/early.csv"
    for found in workflow.s3.list_objects_v2(Bucket=workflow.bucket, Prefix="parked/")["Contents"]:
        workflow.s3.delete_object(Bucket=workflow.bucket, Key=found["Key"])


def test_a_large_run_begins_again_when_its_model_is_deleted(workflow, no_model, activities, way):
    other, begun_with = workflow.drop(activities), workflow.drop(activities)
    way("batch")
    place = {"Bucket": workflow.bucket, "Key": "models/current.json"}
    live = json.loads(workflow.s3.get_object(**place)["Body"].read())
    assert live["run"] == begun_with.name
    workflow.sagemaker.delete_model(ModelName=live["endpoint_name"])
    arn = workflow.arn_of(workflow.upload(activities, "invoices/moving.csv"))
    workflow.wait_for_state(arn, "StartTransform")
    promoted = live | live["former"][0] | {"encoder_key": f"runs/{other.name}/encoder.json", "former": []}
    workflow.s3.put_object(**place, Body=json.dumps(promoted))
    run = workflow.wait(arn)
    assert run.status == "SUCCEEDED", run.cause
    assert workflow.json(run, "receipt.json")["model"]["run"] == other.name
    entered = workflow.entered(run)
    assert [entered.count(state) for state in ("StartPreprocessing", "ForgetModel", "StartTransform")] == [2, 1, 2]
