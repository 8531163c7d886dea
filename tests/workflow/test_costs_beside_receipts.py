"""`make costs` beside receipts of runs that were: those of the shared cloud, whatever other tests have run there."""

import json
import os
import subprocess
import sys
from pathlib import Path

from local.activities import generate

ROOT = Path(__file__).parents[2]
PARTS = ("functions", "state_machine", "training", "inference")


def test_make_costs_puts_the_receipts_of_real_runs_beside_the_estimate(workflow, no_model, activities):
    new = generate(seed=7, lines=250).drop(columns="Error").to_csv(index=False).encode()
    for run in (workflow.drop(activities), workflow.drop(new, "invoices/costs.csv")):
        assert run.status == "SUCCEEDED"
    command = [sys.executable, "scripts/costs.py", "--home", str(workflow.cloud.outbox.parent)]
    environment = {**os.environ, "PYTHONPATH": "layers/core"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Receipts of the last 30 days on the embedded AWS" in done.stdout
    shown = {cells[0]: cells[1:] for line in done.stdout.splitlines() if (cells := line.split())}
    receipts = [receipt for receipt in read_receipts(workflow) if receipt["status"] == "SUCCEEDED"]
    for prefix in ("incoming/", "invoices/"):
        found = [receipt for receipt in receipts if receipt["input"]["key"].startswith(prefix)]
        means = [sum(receipt["estimated_cost"][part] for receipt in found) / len(found) for part in PARTS]
        assert shown[prefix][0] == str(len(found))
        assert shown[prefix][2:] == [f"{mean:,.6f}" for mean in means]
    assert float(shown["incoming/"][4]) > 0
    assert float(shown["invoices/"][5]) > 0


def read_receipts(workflow) -> list[dict]:
    pages = workflow.s3.get_paginator("list_objects_v2").paginate(Bucket=workflow.bucket, Prefix="runs/")
    keys = [each["Key"] for page in pages for each in page.get("Contents", []) if each["Key"].endswith("/receipt.json")]
    return [json.loads(workflow.s3.get_object(Bucket=workflow.bucket, Key=key)["Body"].read()) for key in keys]
