"""Uploads that end well."""

import csv
import io
import json
import re
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import jsonschema
import msgspec
import pandas as pd
import pytest

from local.activities import generate
from suspicious_lines.quality import Metrics
from suspicious_lines.receipts import Receipt
from suspicious_lines.rules import Rules

CONTRACT = {
    "receipt.json",
    "rejected.csv",
    "encoder.json",
    "features/train/part-00000.csv",
    "features/validation/part-00000.csv",
    "lines/validation/part-00000.parquet",
    "scores/validation/part-00000.parquet",
    "features/planted/part-00000.csv",
    "scores/planted/part-00000.parquet",
    "results/scored_lines.parquet",
    "results/suspicious_lines.csv",
    "results/metrics.json",
    "results/comparison.json",
    "results/report.html",
}


def rows_of(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode())))


def test_an_upload_becomes_results_an_email_and_the_live_model(workflow, no_model, activities):
    run = workflow.drop(activities)
    assert (run.status, run.error) == ("SUCCEEDED", "")
    assert workflow.keys(run) >= CONTRACT
    assert any(key.startswith("model/") and key.endswith("model.tar.gz") for key in workflow.keys(run))

    metrics = workflow.json(run, "results/metrics.json")
    jsonschema.validate(metrics, msgspec.json.schema(Metrics))
    assert (metrics["lines_read"], metrics["lines_rejected"]) == (1_500, 0)
    assert (metrics["lines_train"], metrics["lines_validation"]) == (1_200, 300)
    assert metrics["threshold"]["strategy"] == "error-median"
    scored = pd.read_parquet(io.BytesIO(workflow.read(run, "results/scored_lines.parquet")))
    assert len(scored) == scored["line"].nunique() == 300
    assert scored["model_score"].between(0.3, 8).all()
    assert scored["model_score"].nunique() > 100
    assert (scored["suspicious"] == (scored["score"] >= metrics["threshold"]["value"])).all()
    flagged = rows_of(workflow.read(run, "results/suspicious_lines.csv"))
    assert len(flagged) == metrics["flagged"] == scored["suspicious"].sum()
    assert {int(row["Line"]) for row in flagged} == set(scored.loc[scored["suspicious"], "line"])
    assert all(row["Reason"] and row["Field"] for row in flagged)
    assert {kind["planted"] for kind in metrics["self_test"].values()} == {50}
    low, high = metrics["held_out"]["recall_interval"]
    assert low <= 0.5 <= high

    receipt = msgspec.convert(workflow.json(run, "receipt.json"), Receipt)
    assert (receipt.status, receipt.run, receipt.input.key) == ("SUCCEEDED", run.name, "incoming/activities.csv")
    assert receipt.input.version_id
    assert receipt.counts["lines_read"] == 1_500
    assert receipt.timings.states["Preprocess"] > 0
    assert receipt.timings.states["ScoreLines"] > 0
    assert receipt.estimated_cost.total > 0

    (mail,) = workflow.mails(run, "reviewers")
    assert mail["Subject"].startswith(f"{metrics['flagged']} line")
    assert "at stake" in mail["Subject"]
    dearest = max(flagged, key=lambda row: float(row["Amount At Stake"]))
    assert f"* line {dearest['Line']}: {float(dearest['Amount At Stake']):,.2f} at stake" in mail.get_content()
    assert workflow.live() == run.name
    assert receipt.model["endpoint"] in workflow.hosted()["endpoints"]


def test_a_later_upload_replaces_the_live_model_and_keeps_the_one_before(workflow, no_model, activities):
    first = workflow.drop(activities)
    second = workflow.drop(activities)
    assert workflow.live() == second.name != first.name
    kept = {workflow.json(run, "receipt.json")["model"]["endpoint"] for run in (first, second)}
    assert workflow.hosted() == {"endpoints": kept, "configs": kept, "models": kept, "jobs": set()}
    # The same file splits, trains, scores and flags the same way.
    flags = [workflow.read(run, "results/suspicious_lines.csv") for run in (first, second)]
    assert flags[0] == flags[1]


def test_without_labels_the_review_budget_is_flagged(workflow, activities):
    bare = pd.read_csv(io.BytesIO(activities)).drop(columns="Error").to_csv(index=False).encode()
    run = workflow.drop(bare, "incoming/unlabelled.csv")
    assert run.status == "SUCCEEDED"
    metrics = workflow.json(run, "results/metrics.json")
    assert (metrics["threshold"]["strategy"], metrics["flagged"], metrics["labelled"]) == ("budget", 7, 0)
    assert metrics["confusion"] is metrics["precision"] is metrics["roc_auc"] is None


def test_the_operators_rules_replace_the_librarys(workflow, activities):
    rules = json.loads(msgspec.json.encode(Rules.default()))
    off = {name: rule | {"enabled": False} for name, rule in rules.items()}
    place = {"Bucket": workflow.bucket, "Key": "config/rules.json"}
    workflow.s3.put_object(**place, Body=json.dumps(off))
    try:
        metrics = workflow.json(workflow.drop(activities), "results/metrics.json")
        assert metrics["rules"] == {}
        assert metrics["found_by"]["model"]["lines"] == metrics["flagged"]
        workflow.s3.put_object(**place, Body=json.dumps(off | {"day": {"enabled": "perhaps"}}))
        run = workflow.drop(activities)
        assert (run.status, run.error) == ("FAILED", "SettingsError")
        assert "config/rules.json is wrong: Expected `bool`" in run.cause
        assert "`$.day.enabled`" in run.cause
    finally:
        workflow.s3.delete_object(**place)


def test_links_in_the_email_open_the_report_and_the_list(workflow, activities):
    run = workflow.drop(activities)
    (mail,) = workflow.mails(run, "reviewers")
    links = re.findall(r"http://\S+", mail.get_content())
    assert len(links) == 2
    for link, name in zip(links, ["results/report.html", "results/suspicious_lines.csv"], strict=True):
        with urllib.request.urlopen(link, timeout=5) as answer:
            assert answer.read() == workflow.read(run, name)


def test_a_second_delivery_ends_quietly_and_trains_nothing(workflow, activities):
    run = workflow.drop(activities)
    jobs = workflow.sagemaker.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]
    detail = workflow.sfn.describe_execution(executionArn=run.arn)["input"]
    again = workflow.sfn.start_execution(stateMachineArn=workflow.machine, input=detail)["executionArn"]
    second = workflow.wait(again)
    assert second.status == "SUCCEEDED"
    assert workflow.keys(second) == set()
    assert workflow.sagemaker.list_training_jobs(MaxResults=100)["TrainingJobSummaries"] == jobs
    assert len(workflow.mails(run, "reviewers")) == 1
    assert workflow.live() == run.name


def test_two_deliveries_at_once_train_once(workflow, activities):
    detail = {
        "bucket": {"name": workflow.bucket},
        "object": {"key": "incoming/x.part", "size": len(activities), "etag": "e", "sequencer": "1"},
    }
    detail["object"]["version-id"] = workflow.upload(activities, "incoming/x.part")  # no rule is for such names
    with ThreadPoolExecutor(2) as pool:
        starts = [
            pool.submit(workflow.sfn.start_execution, stateMachineArn=workflow.machine, input=json.dumps(detail))
            for _ in range(2)
        ]
    runs = [workflow.wait(start.result()["executionArn"]) for start in starts]
    assert [run.status for run in runs] == ["SUCCEEDED", "SUCCEEDED"]
    assert sorted("receipt.json" in workflow.keys(run) for run in runs) == [False, True]


def test_a_partly_bad_file_keeps_its_good_lines_and_lists_the_others(workflow, activities):
    lines = activities.decode().splitlines()
    lines[10] = lines[10].replace(",", ",-", 5).replace(",-", ",", 4)  # Minutes below zero
    lines[20] = "not a line"
    lines[30] = lines[30].replace(",", ',"', 1)
    run = workflow.drop("\n".join(lines).encode(), "incoming/partly bad.csv")
    assert run.status == "SUCCEEDED"
    metrics = workflow.json(run, "results/metrics.json")
    assert (metrics["lines_read"], metrics["lines_rejected"]) == (1_500, 3)
    assert metrics["lines_train"] + metrics["lines_validation"] == 1_497
    assert [row["Line"] for row in rows_of(workflow.read(run, "rejected.csv"))] == ["11", "21", "31"]
    (mail,) = workflow.mails(run, "reviewers")
    assert "* line 11, column Minutes: is negative" in mail.get_content()


@pytest.mark.parametrize("key", ["incoming/a b+c%20&é#?=.csv", "incoming/2026/11/UPPER.CSV"])
def test_keys_come_through_as_they_are(workflow, activities, key):
    run = workflow.drop(activities, key)
    assert run.status == "SUCCEEDED"
    assert workflow.json(run, "receipt.json")["input"]["key"] == key


def test_the_aws_cli_unmodified_starts_the_workflow(workflow, activities, tmp_path):
    (tmp_path / "cli.csv").write_bytes(activities)
    target = f"s3://{workflow.bucket}/incoming/"
    copy = [sys.executable, "-m", "awscli", "s3", "cp", str(tmp_path / "cli.csv"), target]
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    subprocess.run([*copy, "--endpoint-url", workflow.cloud.endpoint_url], env=credentials, check=True)
    version = workflow.s3.head_object(Bucket=workflow.bucket, Key="incoming/cli.csv")["VersionId"]
    assert workflow.wait(workflow.arn_of(version)).status == "SUCCEEDED"


def test_ten_uploads_at_once_all_end_right(workflow, no_model):
    bodies = [generate(seed=seed, lines=600).to_csv(index=False).encode() for seed in range(10)]
    with ThreadPoolExecutor(10) as pool:
        versions = list(pool.map(lambda pair: workflow.upload(pair[1], f"incoming/{pair[0]}.csv"), enumerate(bodies)))
    runs = [workflow.wait(arn, 300) for arn in workflow.arns_of(versions)]
    assert {run.status for run in runs} == {"SUCCEEDED"}
    for run in runs:
        assert workflow.json(run, "results/metrics.json")["lines_validation"] == 120
        assert len(workflow.mails(run, "reviewers")) == 1
    live = json.loads(workflow.s3.get_object(Bucket=workflow.bucket, Key="models/current.json")["Body"].read())
    kept = {model["endpoint_name"] for model in [live, *live["former"]]}
    assert workflow.hosted() == {"endpoints": kept, "configs": kept, "models": kept, "jobs": set()}
    # Each was compared with the one that it replaced, and the others were refused.
    promoted = [run.name for run in runs if workflow.json(run, "receipt.json")["promotion"]["promoted"]]
    history = [(change["run"], change["replaced"]) for change in live["history"]]
    assert sorted(run for run, _ in history) == sorted(promoted)
    assert [replaced for _, replaced in history] == [run for run, _ in history[1:]] + [None]
    assert len(kept) == min(len(promoted), 2)
