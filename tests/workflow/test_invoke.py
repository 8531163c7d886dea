"""`make invoke` without Docker: every function by its own event, in the order of the workflow."""

import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from local.activities import generate

ROOT = Path(__file__).parents[2]
IN_ORDER = [
    "claim_upload",
    "preprocess",
    "start_preprocessing",
    "finish_preprocessing",
    "start_training",
    "deploy_endpoint",
    "score_lines",
    "start_transform",
    "finish_transform",
    "choose_threshold",
    "notify_reviewers",
    "encode_for_champion",
    "compare_models",
    "promote_model",
    "encode_lines",
    "flag_lines",
    "park_upload",
    "measure_drift",
    "report_drift",
    "write_receipt",
    "read_verdicts",
    "learn_from_verdicts",
    "notify_of_review",
    "refuse_model",
    "restore_model",
    "report_failure",
    "sweep_uploads",
    "delete_orphans",
    "delete_hosted",
]
# Of options, which are not switched on here: test_registry.py, test_trials.py, test_features.py, test_experiments.py
# and test_sweep.py run these.
OF_OPTIONS = {
    *("approve_model", "read_approval", "register_model", "reject_model"),
    *("abandon_trial", "begin_trial", "compare_shadow", "conclude_trial", "encode_for_challenger", "prepare_trial"),
    *("report_trial", "ingest_features", "track_run"),
    *("plan_sweep", "train_candidate", "score_candidate", "judge_candidate", "choose_candidate", "end_sweep"),
}


@pytest.fixture
def invoke(workflow, tmp_path):
    """Invokes a function by its committed event, changed where it must speak of a real execution."""

    def run(function: str, **changes: object) -> dict:
        event = json.loads((ROOT / "events" / f"{function}.json").read_text()) | changes
        file = tmp_path / f"{function}.json"
        file.write_text(json.dumps(event))
        home = str(workflow.cloud.outbox.parent)
        command = [sys.executable, "-m", "local", "invoke", function, "--event", str(file), "--home", home]
        done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout[("\n" + done.stdout).rindex("\n{\n") :])  # after the function's log

    return run


@pytest.fixture
def score_all(workflow, invoke):
    """Scores parts: the first by `make invoke`, the others, for speed, by the function that is warm."""

    def score(parts: list[str], **changes: object) -> dict:
        event = json.loads((ROOT / "events" / "score_lines.json").read_text()) | changes
        for part in parts[1:]:
            workflow.invoke("ScoreLinesFunction", event | {"part": part})
        return invoke("score_lines", **changes, part=parts[0])

    return score


def test_the_events_replay_the_workflow_function_by_function(workflow, no_model, no_verdicts, invoke, score_all):
    assert sorted([*IN_ORDER, *OF_OPTIONS]) == sorted(path.parent.name for path in ROOT.glob("functions/*/app.py"))
    body = generate(lines=1_500).to_csv(index=False).encode()
    earlier = workflow.drop(body)  # the upload that the events speak of, and an execution whose history they can read
    workflow.drop(body, "invoices/invoices.csv")
    dataset: dict = {}
    new: dict = {}
    contest: dict = {}
    for function in IN_ORDER:
        changes: dict = {}
        if function in {"choose_threshold", "write_receipt"}:
            changes["dataset"] = dataset
        if function == "flag_lines":
            changes |= new
        if function in {"encode_for_champion", "compare_models", "finish_transform"}:
            changes["parts"] = dataset["parts"]
        if function in {"compare_models", "promote_model"}:
            changes |= {"contest": contest, "live_run": earlier.name}
        if function == "refuse_model":
            changes["endpoint_name"] = "suspicious-lines-refused-000000000000"
        if function == "write_receipt":
            changes["execution_arn"] = earlier.arn
        if function == "report_failure":
            changes["executionArn"] = earlier.arn
        if function == "delete_hosted":
            changes["ResponseURL"] = f"{workflow.cloud.endpoint_url}/_ministack/cfn-response/example"
        if function == "read_verdicts":
            _drop_verdicts(workflow)
        if function == "start_preprocessing":  # its job reads a version, as the job's role may
            changes["upload"] = _upload(workflow, function)
        if function == "start_training":
            changes["feature_dim"] = dataset["feature_dim"]
        answer = score_all(dataset["parts"]) if function == "score_lines" else invoke(function, **changes)
        if function == "preprocess":
            dataset = answer
        if function == "finish_preprocessing":
            assert answer["dataset"] == dataset
        if function == "finish_transform":
            assert answer["lines"] == 300 + 200  # validation lines and planted ones
        if function == "encode_lines":
            new = answer
            score_all(new["dataset"]["parts"], run="example-score", endpoint_name=new["model"]["endpoint_name"])
        if function == "encode_for_champion":
            contest = answer
            score_all(contest["parts"], endpoint_name=contest["champion"]["endpoint_name"])
        if function == "compare_models":
            assert (answer["promoted"], answer["champion"]) == (True, earlier.name)
        if function == "promote_model":
            assert workflow.live() == answer["run"] == "example"
        if function == "refuse_model":
            assert answer == {"deleted": []}
        if function == "park_upload":
            assert answer == {"parked": False}
        if function == "start_training":
            _until(partial(_job_is_done, workflow, "Training", answer["job_name"]))
        if function == "start_preprocessing":
            _until(partial(_job_is_done, workflow, "Processing", answer["job_name"]))
        if function == "start_transform":
            _until(partial(_job_is_done, workflow, "Transform", answer["job_name"]))
        if function == "deploy_endpoint":
            _until(partial(_endpoint_is_ready, workflow, answer["endpoint_name"]))
        if function == "write_receipt":
            assert (answer["status"], answer["run"]) == ("SUCCEEDED", "example")
        if function in {"sweep_uploads", "delete_orphans"}:
            assert not any(answer.values()), "all is young, and has ended or is needed"
        if function == "delete_hosted":
            assert answer == {"status": "SUCCESS", "reason": ""}
        if function == "learn_from_verdicts":
            assert answer["precision"] == 1
    assert workflow.live() == earlier.name
    assert "example" not in workflow.claims()


def _upload(workflow, function: str) -> dict:
    """The upload of the function's event, with the version that it has here."""
    upload = json.loads((ROOT / "events" / f"{function}.json").read_text())["upload"]
    return upload | {"version_id": workflow.s3.head_object(Bucket=workflow.bucket, Key=upload["key"])["VersionId"]}


def _drop_verdicts(workflow) -> None:
    """The verdict that the events speak of: the worst line of the run `example` was rightly listed."""
    place = {"Bucket": workflow.bucket, "Key": "runs/example/results/suspicious_lines.csv"}
    listed = workflow.s3.get_object(**place)["Body"].read().decode().splitlines()
    body = f"Run,Line,Verdict,Note\r\nexample,{listed[1].split(',')[0]},query,\r\n"
    workflow.s3.put_object(Bucket=workflow.bucket, Key="verdicts/verdicts-example.csv", Body=body)


def _job_is_done(workflow, kind: str, name: str) -> bool:
    describe = getattr(workflow.sagemaker, f"describe_{kind.lower()}_job")
    return describe(**{f"{kind}JobName": name})[f"{kind}JobStatus"] == "Completed"


def _endpoint_is_ready(workflow, name: str) -> bool:
    return workflow.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService"


def _until(done) -> None:
    for _ in range(200):
        if done():
            return
        time.sleep(0.1)
    raise AssertionError("it never came to that")
