"""Champion and challenger, and the way back: who goes live, who is deleted, and what people are told."""

import io
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pandas as pd
import pytest

from local.activities import generate
from suspicious_lines.comparing import Comparison
from suspicious_lines.layout import champion_part
from suspicious_lines.receipts import Receipt

ROOT = Path(__file__).parents[2]
CURRENT = "models/current.json"


@pytest.fixture
def champion(workflow, no_model, activities):
    return workflow.drop(activities)


def current(workflow) -> dict:
    return json.loads(workflow.s3.get_object(Bucket=workflow.bucket, Key=CURRENT)["Body"].read())


def put_current(workflow, document: dict) -> None:
    workflow.s3.put_object(Bucket=workflow.bucket, Key=CURRENT, Body=json.dumps(document))


def comparison(workflow, run) -> Comparison:
    return msgspec.convert(workflow.json(run, "results/comparison.json"), Comparison)


def entered(workflow, run) -> list[str]:
    pages = workflow.sfn.get_paginator("get_execution_history").paginate(executionArn=run.arn)
    events = [event for page in pages for event in page["events"]]
    return [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]


def roll_back(workflow, **order):
    machine = workflow.cloud.outputs["RollbackStateMachineArn"]
    arn = workflow.sfn.start_execution(stateMachineArn=machine, input=json.dumps(order))["executionArn"]
    return workflow.wait(arn)


def test_the_first_model_is_promoted_without_a_comparison(workflow, champion):
    told = comparison(workflow, champion)
    assert (told.promoted, told.by, told.champion) == (True, "nothing", None)
    receipt = msgspec.convert(workflow.json(champion, "receipt.json"), Receipt)
    assert receipt.promotion == told.decision()
    assert current(workflow)["history"][0]["reason"] == "no model was live before"
    assert "ScoreChampionParts" not in entered(workflow, champion)


def test_a_second_training_on_the_same_file_is_compared_and_promoted(workflow, champion, activities):
    run = workflow.drop(activities)
    told = comparison(workflow, run)
    assert (told.promoted, told.by, told.champion, told.agreement) == (True, "average precision", champion.name, 1)
    assert told.challenger_figures == told.champion_figures
    own = workflow.json(run, "results/metrics.json")["average_precision"]
    assert told.challenger_figures.average_precision == pytest.approx(own)
    live = current(workflow)
    assert (live["run"], live["former"][0]["run"]) == (run.name, champion.name)
    assert live["history"][0] | {"at": ""} == {
        "at": "",
        "what": "promoted",
        "run": run.name,
        "threshold": live["threshold"],
        "reason": told.reason,
        "replaced": champion.name,
        "execution": None,
        "review_run": None,
    }
    assert {
        f"{kind}/{champion_part('validation/part-00000', champion.name)}.{end}"
        for kind, end in (("features", "csv"), ("scores", "parquet"))
    } <= workflow.keys(run)


@pytest.mark.parametrize("labels", ["with labels", "without labels"])
def test_a_worse_model_is_refused_and_deleted(workflow, champion, spoilt, labels):
    before = workflow.hosted()
    if labels == "without labels":
        spoilt = pd.read_csv(io.BytesIO(spoilt)).drop(columns="Error").to_csv(index=False).encode()
    run = workflow.drop(spoilt, "incoming/spoilt.csv")
    assert (run.status, run.error) == ("SUCCEEDED", "")
    told = comparison(workflow, run)
    assert (told.promoted, told.by) == (False, "average precision" if labels == "with labels" else "agreement")
    assert workflow.hosted() == before
    assert workflow.live() == champion.name
    receipt = msgspec.convert(workflow.json(run, "receipt.json"), Receipt)
    assert (receipt.status, receipt.promotion) == ("SUCCEEDED", told.decision())
    assert len(workflow.mails(run, "reviewers")) == 1
    (mail,) = workflow.mails(run, "operators")
    assert mail["Subject"] == "New model not promoted: incoming/spoilt.csv"
    assert " ".join(told.reason.split()) in " ".join(mail.get_content().split())


def test_a_champion_without_its_endpoint_is_replaced(workflow, champion, spoilt):
    workflow.sagemaker.delete_endpoint(EndpointName=current(workflow)["endpoint_name"])
    run = workflow.drop(spoilt, "incoming/spoilt.csv")
    assert run.status == "SUCCEEDED"
    assert entered(workflow, run).count("EncodeForChampion") == 2
    assert workflow.live() == run.name
    assert "does not score any more" in comparison(workflow, run).reason
    assert current(workflow)["former"] == []
    assert len(workflow.hosted()["endpoints"]) == len(workflow.hosted()["models"]) == 1


def test_a_champion_of_another_version_is_replaced(workflow, champion, activities):
    key = f"runs/{champion.name}/encoder.json"
    workflow.s3.put_object(Bucket=workflow.bucket, Key=key, Body=json.dumps({"version": 1}))
    run = workflow.drop(activities)
    assert (run.status, workflow.live()) == ("SUCCEEDED", run.name)
    assert "another version" in comparison(workflow, run).reason


def test_a_champion_that_changes_after_the_comparison_is_compared_with(workflow, champion, activities):
    second = workflow.drop(activities)
    document = current(workflow)
    arn = workflow.arn_of(workflow.upload(activities))
    workflow.wait_for_state(arn, "NotifyReviewers")
    workflow.fault("InvokeEndpoint", "ThrottlingException", 10_000)
    workflow.wait_for_state(arn, "ScoreChampionParts")
    # The operator goes back just then.
    put_current(workflow, document | document["former"][0] | {"former": []})
    workflow.no_faults()
    run = workflow.wait(arn)
    assert run.status == "SUCCEEDED"
    told = comparison(workflow, run)
    assert (told.champion, workflow.live()) == (champion.name, run.name)
    assert entered(workflow, run).count("CompareModels") == 2
    assert second.name != champion.name


def test_two_trainings_at_once_end_well(workflow, champion, activities):
    with ThreadPoolExecutor(2) as pool:
        versions = list(pool.map(lambda n: workflow.upload(activities, f"incoming/{n}.csv"), range(2)))
    runs = [workflow.wait(arn) for arn in workflow.arns_of(versions)]
    assert [run.status for run in runs] == ["SUCCEEDED", "SUCCEEDED"]
    live = current(workflow)
    assert {live["run"], live["former"][0]["run"]} == {run.name for run in runs}
    assert [change["replaced"] for change in live["history"]] == [live["former"][0]["run"], champion.name, None]
    assert workflow.hosted()["endpoints"] == {live["endpoint_name"], live["former"][0]["endpoint_name"]}


def test_a_rollback_makes_the_former_model_serve_again_and_can_be_undone(workflow, champion, activities):
    second = workflow.drop(activities)
    before, hosted = current(workflow), workflow.hosted()
    back = roll_back(workflow, reason="too many lines since Tuesday")
    assert back.status == "SUCCEEDED"
    live = current(workflow)
    assert (live["run"], [former["run"] for former in live["former"]]) == (champion.name, [second.name])
    change = live["history"][0]
    assert (change["what"], change["reason"], change["replaced"]) == (
        "rolled back", "too many lines since Tuesday", second.name,
    )  # fmt: skip
    assert change["execution"] == back.name
    assert workflow.hosted() == hosted
    (mail,) = workflow.mails(back, "operators")
    assert mail["Subject"] == "Went back to a former model"
    assert f"The model of run {champion.name} is live again" in mail.get_content()
    assert "too many lines since Tuesday" in mail.get_content()
    scored = workflow.drop(
        generate(seed=7, lines=120).drop(columns="Error").to_csv(index=False).encode(), "invoices/a.csv"
    )
    assert workflow.json(scored, "receipt.json")["model"]["run"] == champion.name
    assert roll_back(workflow, run=second.name).status == "SUCCEEDED"
    again = current(workflow)
    assert {name: again[name] for name in ("run", "endpoint_name", "threshold", "encoder_key")} == {
        name: before[name] for name in ("run", "endpoint_name", "threshold", "encoder_key")
    }
    # The next promotion keeps the model that was live last, whatever the order of training.
    third = workflow.drop(activities)
    assert (workflow.live(), [former["run"] for former in current(workflow)["former"]]) == (third.name, [second.name])


def test_a_rollback_to_nothing_fails_in_words_and_changes_nothing(workflow, champion):
    before = workflow.s3.get_object(Bucket=workflow.bucket, Key=CURRENT)["Body"].read()
    for order, words in (
        ({}, "There is no model to go back to: former models that were kept: none."),
        ({"run": "unheard-of", "reason": "x"}, "The model of run unheard-of cannot be gone back to"),
        ({"run": champion.name}, f"The model of run {champion.name} is the live one already."),
    ):
        run = roll_back(workflow, **order)
        assert (run.status, run.error) == ("FAILED", "NoFormerModelError")
        assert words in json.loads(run.cause)["errorMessage"]
    assert workflow.s3.get_object(Bucket=workflow.bucket, Key=CURRENT)["Body"].read() == before


def test_a_former_model_without_its_endpoint_is_not_gone_back_to(workflow, champion, activities):
    second = workflow.drop(activities)
    workflow.sagemaker.delete_endpoint(EndpointName=current(workflow)["former"][0]["endpoint_name"])
    assert roll_back(workflow, run=champion.name).error == "NoFormerModelError"
    assert workflow.live() == second.name


def test_readers_always_see_a_whole_document(workflow, champion, activities):
    arn = workflow.arn_of(workflow.upload(activities))
    seen = set()
    while workflow.sfn.describe_execution(executionArn=arn)["status"] == "RUNNING":
        document = current(workflow)
        assert (
            document["run"] in document["endpoint_name"]
            or document["encoder_key"] == f"runs/{document['run']}/encoder.json"
        )
        seen.add(document["run"])
        time.sleep(0.02)
    assert seen | {workflow.live()} == {champion.name, workflow.wait(arn).name}


def test_make_rollback_says_how_it_ended(workflow, champion, activities):
    home = str(workflow.cloud.outbox.parent)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "scripts/rollback.py", "--home", home, *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    refused = run("--run", "unheard-of")
    assert (refused.returncode, refused.stdout) == (1, "rolling back on the embedded AWS\n")
    assert refused.stderr.startswith("rollback: NoFormerModelError: The model of run unheard-of cannot be gone back to")
    second = workflow.drop(activities)
    done = run("--reason", "it flags too much")
    assert done.returncode == 0, done.stderr
    told = f"The model of run {champion.name} is live again, in place of that of run {second.name}."
    assert done.stdout.splitlines()[1] == told
    assert (workflow.live(), current(workflow)["history"][0]["reason"]) == (champion.name, "it flags too much")
