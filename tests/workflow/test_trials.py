"""A model is tried beside the live one: on a share of the invoices, or in the shadow; then promoted or not."""

import io
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from local.activities import generate
from suspicious_lines.encoder import Encoder
from suspicious_lines.features import features_csv
from suspicious_lines.layout import challenger_kind, invoices_kind, resource_name, shadow_part
from suspicious_lines.routing import goes_to_challenger

ROOT = Path(__file__).parents[2]
CURRENT = "models/current.json"


@pytest.fixture
def workflow(trying_workflow):
    trying_workflow.no_faults()
    yield trying_workflow
    trying_workflow.no_faults()


@pytest.fixture(scope="module")
def models(trying_workflow, activities):
    """Two runs with a model each, trained on other lines: the first is live, the second was not promoted."""
    first = trying_workflow.drop(activities)
    name = trying_workflow.physical_id("CompareModelsFunction")
    lambdas = trying_workflow.cloud.client("lambda")
    variables = lambdas.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    # A gate that lets nothing through: any model that differs must agree on every line.
    strict = variables | {"PROMOTION_MARGIN": "0", "PROMOTION_AGREEMENT": "1"}
    lambdas.update_function_configuration(FunctionName=name, Environment={"Variables": strict})
    other = generate(seed=11, lines=1_500).drop(columns="Error").to_csv(index=False).encode()
    second = trying_workflow.drop(other)
    assert (first.status, second.status) == ("SUCCEEDED", "SUCCEEDED")
    assert not trying_workflow.json(second, "receipt.json")["promotion"]["promoted"]
    return first, second


@pytest.fixture(scope="module")
def invoices() -> pd.DataFrame:
    return generate(seed=7, lines=400).drop(columns="Error")


def current(workflow) -> dict:
    return json.loads(workflow.s3.get_object(Bucket=workflow.bucket, Key=CURRENT)["Body"].read())


def order(workflow, **given):
    arn = workflow.cloud.outputs["TrialStateMachineArn"]
    started = workflow.sfn.start_execution(stateMachineArn=arn, input=json.dumps(given))
    return workflow.wait(started["executionArn"])


def answer(workflow, run) -> dict:
    assert run.status == "SUCCEEDED", run.cause
    return json.loads(workflow.sfn.describe_execution(executionArn=run.arn)["output"])


def score(workflow, invoices, key="invoices/a.csv"):
    run = workflow.drop(invoices.to_csv(index=False).encode(), key)
    assert run.status == "SUCCEEDED", run.cause
    return run


def parquet(workflow, key) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(workflow.s3.get_object(Bucket=workflow.bucket, Key=key)["Body"].read()))


def scored_by(workflow, model, lines) -> np.ndarray:
    """The forest's scores of lines by the model of a run, asked directly."""
    key = f"runs/{model['run']}/encoder.json"
    encoder = Encoder.from_json(workflow.s3.get_object(Bucket=workflow.bucket, Key=key)["Body"].read().decode())
    answered = workflow.cloud.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=model["endpoint_name"], ContentType="text/csv", Body=features_csv(encoder, lines)
    )
    return np.array([each["score"] for each in json.loads(answered["Body"].read())["scores"]])


def in_shadow(workflow, run) -> dict:
    """The end of the execution that shadowed a run."""
    arn = workflow.cloud.outputs["ShadowStateMachineArn"]
    for _ in range(300):
        for execution in workflow.sfn.list_executions(stateMachineArn=arn)["executions"]:
            described = workflow.sfn.describe_execution(executionArn=execution["executionArn"])
            if json.loads(described["input"])["name"] == run.name and described["status"] != "RUNNING":
                return described
        time.sleep(0.1)
    raise AssertionError(f"nothing shadowed {run.name}")


def test_a_model_takes_its_share_of_the_invoices_and_is_refused(workflow, models, invoices):
    live, new = models
    before, document = workflow.hosted(), current(workflow)
    begun = answer(workflow, order(workflow, action="begin", run=new.name, kind="ab", share=40))
    assert begun["endpoint_name"] in workflow.hosted()["endpoints"]
    assert current(workflow) == document | {"challenger": begun}

    run = score(workflow, invoices)
    lines = parquet(workflow, f"runs/{run.name}/results/scored_lines.parquet")
    theirs = goes_to_challenger(lines["matter_number"].astype(str).tolist(), new.name, 40)
    assert 0 < theirs.sum() < len(lines) == 400
    assert lines["model_run"].tolist() == np.where(theirs, new.name, live.name).tolist()
    per_invoice = lines.groupby("matter_number", observed=True)["model_run"].nunique()
    assert (per_invoice == 1).all(), "no invoice is judged by two models"
    for model, own in ((document, lines[~theirs]), (begun, lines[theirs])):
        assert own["model_score"].to_numpy() == pytest.approx(scored_by(workflow, model, own), abs=1e-9)
        assert (own["threshold"] == model["threshold"]).all()
        assert (own["suspicious"] == (own["score"] >= model["threshold"])).all()
    kinds = {key.split("/", 1)[1].rpartition("/")[0] for key in workflow.keys(run) if key.startswith("scores/")}
    assert kinds == {invoices_kind(live.name), challenger_kind(new.name)}
    metrics = workflow.json(run, "results/metrics.json")
    assert metrics["threshold"]["value"] == document["threshold"]
    assert metrics["challenger"] == {
        "run": new.name, "threshold": begun["threshold"], "lines": theirs.sum(),
        "invoices": lines[theirs]["matter_number"].nunique(), "flagged": lines[theirs]["suspicious"].sum(),
    }  # fmt: skip
    (mail,) = workflow.mails(run, "reviewers")
    assert f"by the model of run {new.name}, which is on trial" in " ".join(mail.get_content().split())
    receipt = workflow.json(run, "receipt.json")
    assert receipt["model"]["run"] == live.name
    day = receipt["timings"]["started_at"][:10]
    captured = parquet(workflow, f"scored/dt={day}/{run.name}.parquet")
    assert captured["model_run"].tolist() == lines["model_run"].tolist()
    assert captured["threshold"].tolist() == lines["threshold"].tolist()

    again = score(workflow, invoices.sample(frac=1, random_state=1), "invoices/b.csv")
    shuffled = parquet(workflow, f"runs/{again.name}/results/scored_lines.parquet")
    assert dict(zip(shuffled["matter_number"], shuffled["model_run"], strict=True)) == dict(
        zip(lines["matter_number"], lines["model_run"], strict=True)
    ), "an invoice goes to the same model in every file"

    report = answer(workflow, order(workflow, action="report"))
    assert (report["runs"], report["shadow"]) == (2, None)
    of_live, of_new = report["arms"]
    assert (of_live["run"], of_new["run"]) == (live.name, new.name)
    assert (of_live["lines"], of_new["lines"]) == (2 * (~theirs).sum(), 2 * theirs.sum())
    assert of_new["flagged"] == lines[theirs]["suspicious"].sum() + shuffled["suspicious"][
        (shuffled["model_run"] == new.name).to_numpy()
    ].sum()  # fmt: skip

    refused = order(workflow, action="begin", run=live.name, kind="shadow")
    assert (refused.status, refused.error) == ("FAILED", "TrialRefusedError")
    end = order(workflow, action="conclude", promote=False, reason="no better")
    assert answer(workflow, end) == {"run": new.name, "promoted": False, "live_run": live.name}
    assert workflow.hosted() == before, "nothing is left behind"
    after = current(workflow)
    (ended,) = after["trials"]
    assert after == document | {"trials": [ended]}
    assert (ended["reason"], ended["promoted"]) == ("no better", False)
    (mail,) = workflow.mails(end, "operators")
    assert mail["Subject"] == "Trial ended: the model was not promoted"
    alone = score(workflow, invoices)
    assert workflow.json(alone, "results/metrics.json")["challenger"] is None
    assert "challenger.json" not in workflow.keys(alone)


def test_a_run_whose_challenger_is_deleted_begins_again_without_it(workflow, models, invoices):
    live, new = models
    begun = answer(workflow, order(workflow, action="begin", run=new.name, kind="ab", share=50))
    workflow.sagemaker.delete_endpoint(EndpointName=begun["endpoint_name"])
    run = score(workflow, invoices)
    assert workflow.entered(run).count("ForgetModel") == 1
    assert workflow.json(run, "results/metrics.json")["challenger"] is None
    assert workflow.json(run, "receipt.json")["model"]["run"] == live.name
    answer(workflow, order(workflow, action="conclude", promote=False))


def test_a_model_that_is_rejected_meanwhile_scores_no_invoice(workflow, models, invoices):
    live, new = models
    answer(workflow, order(workflow, action="begin", run=new.name, kind="ab", share=50))
    document = current(workflow)
    rejected = json.dumps(document | {"rejected": [new.name]})
    workflow.s3.put_object(Bucket=workflow.bucket, Key=CURRENT, Body=rejected.encode())
    run = score(workflow, invoices)
    assert workflow.json(run, "receipt.json")["model"]["run"] == live.name
    assert not [key for key in workflow.keys(run) if "challenger" in key]
    workflow.s3.put_object(Bucket=workflow.bucket, Key=CURRENT, Body=json.dumps(document).encode())
    answer(workflow, order(workflow, action="conclude", promote=False))


def test_a_trial_ends_even_where_no_report_can_be_made(workflow, models):
    _, new = models
    begun = answer(workflow, order(workflow, action="begin", run=new.name))
    key = f"trials/{begun['trial']}/scores/broken.parquet"
    workflow.s3.put_object(Bucket=workflow.bucket, Key=key, Body=b"no Parquet")
    assert order(workflow, action="report").status == "FAILED"
    assert current(workflow)["challenger"] == begun
    answer(workflow, order(workflow, action="conclude", promote=False))
    assert current(workflow)["challenger"] is None
    assert begun["endpoint_name"] not in workflow.hosted()["endpoints"]


def test_the_janitor_leaves_the_model_on_trial_alone(workflow, models):
    _, new = models
    name = workflow.physical_id("DeleteOrphansFunction")
    lambdas = workflow.cloud.client("lambda")
    variables = lambdas.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    lambdas.update_function_configuration(
        FunctionName=name, Environment={"Variables": variables | {"SWEEP_MINUTES": "0"}}
    )
    answer(workflow, order(workflow, action="begin", run=new.name))
    before = workflow.hosted()
    assert workflow.invoke("DeleteOrphansFunction", {"run": "clear"}) == {"hosted": [], "runs": []}
    assert workflow.hosted() == before
    answer(workflow, order(workflow, action="conclude", promote=False))


def test_a_trial_whose_endpoint_fails_leaves_nothing(workflow, models):
    _, new = models
    before, document = workflow.hosted(), current(workflow)
    workflow.fault("Endpoint", "x", 1, "no capacity")
    failed = order(workflow, action="begin", run=new.name)
    assert (failed.status, failed.error) == ("FAILED", "EndpointFailedError")
    assert (workflow.hosted(), current(workflow)) == (before, document)


def test_a_model_in_the_shadow_scores_all_lines_and_is_promoted(workflow, models, invoices):
    live, new = models
    document = current(workflow)
    plain = score(workflow, invoices, "invoices/plain.csv")
    home = str(workflow.cloud.outbox.parent)

    def make(*arguments: str) -> str:
        command = [sys.executable, "scripts/trial.py", *arguments, "--home", home]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "scores all lines in the shadow" in make("begin", "--run", new.name)
    begun = current(workflow)["challenger"]
    run = score(workflow, invoices)
    for name in ("results/suspicious_lines.csv", "parts.json"):
        assert workflow.read(run, name) == workflow.read(plain, name), "nobody is shown what the shadow says"
    assert in_shadow(workflow, run)["status"] == "SUCCEEDED"

    lines = parquet(workflow, f"runs/{run.name}/results/scored_lines.parquet")
    part = shadow_part(f"{invoices_kind(live.name)}/part-00000", new.name)
    assert f"scores/{part}.parquet" in workflow.keys(run)
    captured = parquet(workflow, f"trials/{begun['trial']}/scores/{run.name}.parquet")
    assert captured["line"].tolist() == lines["line"].tolist()
    assert captured["score"].tolist() == lines["score"].tolist()
    # The same lines, scored by an A/B of 99 % before and after, would say the same: here the model is asked directly.
    past = parquet(workflow, f"runs/{new.name}/results/scored_lines.parquet")["model_score"].to_numpy()
    forest = scored_by(workflow, begun, lines)
    surprise = -np.log(np.maximum((past[None, :] >= forest[:, None]).sum(axis=1), 1) / len(past))
    assert (captured["challenger_score"] >= surprise - 1e-9).all(), "rules can only lift a score"
    no_rule = ~lines[["arithmetic", "duplicate", "rate", "minutes_cap", "day"]].any(axis=1).to_numpy()
    assert captured["challenger_score"][no_rule].to_numpy() == pytest.approx(surprise[no_rule], abs=1e-9)
    assert (captured["challenger_flagged"] == (captured["challenger_score"] >= begun["threshold"])).all()

    ranks = captured[["score", "challenger_score"]].rank()
    found = workflow.json(run, "results/shadow.json")
    assert found["rank_correlation"] == pytest.approx(ranks.corr().iloc[0, 1], abs=1e-12)
    assert found["agreement"] == pytest.approx((captured["flagged"] == captured["challenger_flagged"]).mean())
    assert found["lines"] == 400
    told = make("report")
    assert f"lines scored by both    {400:>12,}" in told
    assert f"{found['rank_correlation']:.4f}" in told

    assert make("conclude", "--promote", "yes", "--reason", "better").endswith(
        f"The model of run {new.name} is live now.\n"
    )
    now = current(workflow)
    assert (now["run"], now["endpoint_name"]) == (new.name, begun["endpoint_name"])
    assert ([former["run"] for former in now["former"]], now["challenger"]) == ([live.name], None)
    assert workflow.hosted()["endpoints"] == {now["endpoint_name"], document["endpoint_name"]}
    after = score(workflow, invoices)
    assert workflow.json(after, "receipt.json")["model"]["run"] == new.name
    assert in_shadow(workflow, after)["status"] == "SUCCEEDED"
    assert not [key for key in workflow.keys(after) if "shadow" in key]
    assert resource_name("suspicious-lines", begun["trial"]) == now["endpoint_name"]
