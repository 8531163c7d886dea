"""scripts/compare.py: which runs it takes, and how it prints them; tests/workflow runs it on real ones."""

import importlib
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import msgspec
import pytest

from frames import BUCKET, ROOT
from suspicious_lines import store
from suspicious_lines.costs import estimate
from suspicious_lines.layout import RunFiles, resource_name
from suspicious_lines.receipts import Receipt

METRICS = {"threshold": {"value": 4.5}, "self_test": {"fee": {"planted": 4, "caught": 3}}, "flagged": 1234}


@pytest.fixture
def compare(monkeypatch, cloud, capsys):
    """Runs the script on moto's bucket: (exit status, what it printed, what it complained of)."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    script = importlib.import_module("compare")
    jobs = {}

    def describe(TrainingJobName):
        trees = jobs[TrainingJobName]
        parameters = {"num_trees": str(trees), "num_samples_per_tree": "256", "feature_dim": "22"}
        artifacts = {"S3ModelArtifacts": "s3://b/m"}
        return {
            "HyperParameters": parameters,
            "ResourceConfig": {"InstanceType": "ml.m5.large"},
            "ModelArtifacts": artifacts,
        }

    clients = {"s3": cloud.s3, "sagemaker": SimpleNamespace(describe_training_job=describe)}
    stack = script.Stack("on moto", {"DataBucketName": BUCKET}, clients.__getitem__)
    monkeypatch.setattr(script, "find_stack", lambda config, home: stack)

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["compare.py", *arguments])
        status = script.main()
        told = capsys.readouterr()
        return status, told.out, told.err

    run.jobs = jobs
    return run


@pytest.fixture
def ran(compare):
    """Leaves what a training run leaves, or a run that `trained` nothing."""

    def leave(run, days=1, trees=100, average_precision=None, trained=True):
        files, started = RunFiles(run), datetime.now(UTC) - timedelta(days=days)
        job = resource_name("suspicious-lines", run)
        compare.jobs |= {job: trees, f"a-candidate-of-{run}": 999}
        receipt = {
            "run": run,
            "execution_arn": "arn",
            "status": "SUCCEEDED",
            "input": {"bucket": BUCKET, "key": f"incoming/{run}.csv", "etag": "e", "size": 1, "version_id": "v"},
            "sha256": "0123456789abcdef" * 4,
            "promotion": {"promoted": True, "champion": None, "reason": "no model was live"} if trained else None,
            "timings": {"started_at": started.isoformat(), "seconds": 61.5, "states": {}, "transitions": 1},
            "estimated_cost": msgspec.to_builtins(estimate({}, 1, 1, "ml.m5.large", 2048, 0, "ml.m5.xlarge")),
        }
        receipt = msgspec.convert(receipt, Receipt)
        store.put_json(BUCKET, files.receipt, receipt)
        if trained:
            for name in (f"a-candidate-of-{run}", job):
                store.put(BUCKET, f"{files.model}{name}/output/model.tar.gz", b"x", "x")
            store.put_json(BUCKET, files.result("metrics.json"), METRICS | {"average_precision": average_precision})
        return receipt

    return leave


def rows(printed):
    return {line[:26].strip(): line[26:].split() for line in printed.splitlines() if len(line) > 26}


def test_the_last_runs_that_trained_are_printed_the_oldest_first(compare, ran):
    for number in range(7):
        ran(f"run{number}", days=7 - number, trees=50 + number)
    ran("scored", trained=False)
    ran("long-ago", days=31)
    status, printed, _ = compare()
    assert status == 0
    assert [line.split()[-1] for line in printed.splitlines() if line.startswith("(")] == [
        f"incoming/run{number}.csv" for number in range(2, 7)
    ]
    assert rows(printed)["num_trees *"] == ["52", "53", "54", "55", "56"]
    assert rows(printed)["num_samples_per_tree"] == ["256"] * 5


def test_chosen_runs_are_printed_as_they_were_chosen(compare, ran):
    receipt = ran("b", days=40, average_precision=0.75)
    ran("a")
    status, printed, _ = compare("--runs", "a,b")
    shown = rows(printed)
    assert status == 0
    assert shown["average_precision"] == ["-", "0.7500"]
    assert shown["flagged"] == ["1,234", "1,234"]
    assert shown["caught_fee"] == ["0.7500", "0.7500"]
    assert shown["seconds"] == ["61.5000", "61.5000"]
    assert shown["estimated_cost"] == [f"{receipt.estimated_cost.total:,.4f}"] * 2
    assert shown["input_sha256"] == ["0123456789abc…"] * 2


def test_what_cannot_be_compared_is_said(compare, ran, cloud):
    assert compare() == (1, "", "compare: no run has trained a model within 30 days\n")
    assert compare("--runs", "none")[2] == "compare: there is no run none, or it has not ended\n"
    ran("scored", trained=False)
    assert compare("--runs", "scored")[2] == "compare: run scored trained no model: it ended as SUCCEEDED\n"
    ran("a")
    store.delete(BUCKET, f"runs/a/model/{resource_name('suspicious-lines', 'a')}/output/model.tar.gz")
    assert compare("--runs", "a")[2] == "compare: the files of run a are gone\n"
    store.put_json(BUCKET, "runs/old/receipt.json", json.loads('{"run": "old"}'))
    assert compare("--runs", "old")[0] == 1
