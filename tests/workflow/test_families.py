"""Two families of matters in one stack, beside the uploads of none: each has a model, threshold and past of its own."""

import json

import pytest

from local.activities import generate
from local.cloud import STACK
from suspicious_lines.layout import live_model_key, resource_name

FAMILIES = ["claims", "deals"]


@pytest.fixture
def workflow(families_workflow):
    families_workflow.no_faults()
    yield families_workflow
    families_workflow.no_faults()


def past_lines(seed: int, rate: float) -> bytes:
    """Past lines of a family, which pays by a rate card of its own."""
    lines = generate(lines=1_500, seed=seed)
    lines["Fee"] = (lines["Fee"] * rate).round()
    lines["Total"] = (lines["Minutes"] / 60 * lines["Fee"]).round(2)
    return lines.to_csv(index=False).encode()


@pytest.fixture(scope="module")
def bodies() -> dict[str, bytes]:
    return {"": past_lines(1, 1), "claims": past_lines(2, 0.5), "deals": past_lines(3, 2)}


@pytest.fixture(scope="module")
def runs(families_workflow, bodies) -> dict:
    """By family: the run that trained its model. What waits for one is dropped before."""
    workflow = families_workflow
    waiting = workflow.drop(bodies["claims"], "invoices/claims/waiting.csv")
    assert workflow.entered(waiting)[-1] == "UploadParked"
    trained = {}
    for family in ["", "deals", "claims"]:  # claims last: its file waits while others go live
        trained[family] = workflow.drop(
            bodies[family], f"incoming/{family}/2026/past.csv" if family else "incoming/past.csv"
        )
        assert trained[family].status == "SUCCEEDED", (family, trained[family].error, trained[family].cause)
        started = [
            run for run in ended(workflow) if detail(workflow, run)["object"]["key"] == "invoices/claims/waiting.csv"
        ]
        assert len(started) == 1 + (family == "claims"), "a file waits for a model of its own family only"
    return trained


def ended(workflow) -> list:
    return [workflow.wait(execution["executionArn"]) for execution in workflow.executions()]


def detail(workflow, run) -> dict:
    return json.loads(workflow.sfn.describe_execution(executionArn=run.arn)["input"])


def live(workflow, family: str) -> dict:
    found = workflow.s3.get_object(Bucket=workflow.bucket, Key=live_model_key(family))
    return json.loads(found["Body"].read())


def score(workflow, family: str, body: bytes, name: str = "new"):
    run = workflow.drop(body, f"invoices/{family}/{name}.csv" if family else f"invoices/{name}.csv")
    assert run.status == "SUCCEEDED", (family, run.error, run.cause)
    return run


def rollback(workflow, **order: str):
    started = workflow.sfn.start_execution(
        stateMachineArn=workflow.cloud.outputs["RollbackStateMachineArn"], input=json.dumps(order)
    )
    return workflow.wait(started["executionArn"])


def test_each_family_has_a_model_and_a_threshold_of_its_own(workflow, runs):
    models = {family: live(workflow, family) for family in runs}
    assert {family: model["run"] for family, model in models.items()} == {name: run.name for name, run in runs.items()}
    assert len({model["threshold"] for model in models.values()}) == len(runs)
    assert all(model["former"] == [] and model["dropped"] == [] for model in models.values())
    endpoints = {model["endpoint_name"] for model in models.values()}
    assert endpoints == {resource_name(STACK, run.name) for run in runs.values()} == workflow.hosted()["endpoints"]
    for family, run in runs.items():
        assert workflow.json(run, "receipt.json")["family"] == family
        comparison = workflow.json(run, "results/comparison.json")
        assert (comparison["by"], comparison["reason"]) == ("nothing", "no model was live before")


def test_new_lines_are_scored_by_their_familys_model_with_its_threshold(workflow, runs, bodies):
    flagged = {}
    for family in runs:
        run = score(workflow, family, bodies["claims"])
        receipt = workflow.json(run, "receipt.json")
        assert (receipt["family"], receipt["model"]["run"]) == (family, runs[family].name)
        assert receipt["threshold"]["value"] == live(workflow, family)["threshold"]
        flagged[family] = len(workflow.read(run, "results/suspicious_lines.csv").splitlines())
    # The same lines: usual to the model of their own family, and to others not.
    assert flagged["claims"] < min(flagged[""], flagged["deals"])


def test_a_folder_that_is_no_family_and_a_file_called_like_one_are_of_none(workflow, runs, bodies):
    for key in ("invoices/other/new.csv", "invoices/claims.csv", "invoices/2026/claims/new.csv"):
        run = workflow.drop(bodies[""], key)
        receipt = workflow.json(run, "receipt.json")
        assert (receipt["family"], receipt["model"]["run"]) == ("", runs[""].name)


def test_verdicts_move_the_threshold_of_the_family_that_they_answer(workflow, runs, bodies):
    before = {family: live(workflow, family)["threshold"] for family in runs}
    run = score(workflow, "claims", bodies["claims"], "to-judge")
    listed = [
        line.split(b",")[0].decode() for line in workflow.read(run, "results/suspicious_lines.csv").splitlines()[1:]
    ]
    rows = "".join(f"{run.name},{number},fine,\n" for number in listed)
    review = workflow.drop(f"Run,Line,Verdict,Note\n{rows}".encode(), "verdicts/claims.csv")
    assert review.status == "SUCCEEDED", (review.error, review.cause)
    after = {family: live(workflow, family)["threshold"] for family in runs}
    assert after.pop("claims") > before.pop("claims")
    assert after == before
    told = workflow.json(review, "results/review.json")
    assert told["recalibration"] is None
    assert told["families"]["claims"]["recalibration"]["model_run"] == runs["claims"].name
    (mail,) = workflow.mails(review, "reviewers")
    assert "How often is the live model of claims right?" in mail.get_content()
    judged = workflow.s3.list_objects_v2(Bucket=workflow.bucket, Prefix="judged/")["Contents"]
    assert ["/family=claims/" in found["Key"] for found in judged] == [True]


def test_a_family_is_retrained_with_its_own_verdicts_and_rolled_back_without_the_others(workflow, runs, bodies):
    before = {family: live(workflow, family) for family in runs}
    again = workflow.drop(bodies["claims"], "incoming/claims/again.csv")
    other = workflow.drop(bodies["deals"], "incoming/deals/again.csv")
    assert [again.status, other.status] == ["SUCCEEDED", "SUCCEEDED"]
    # Judged lines are of claims: the other family's training knows nothing of them.
    counts = [workflow.json(run, "receipt.json")["counts"] for run in (again, other)]
    kinds = [{key.split("/")[1] for key in workflow.keys(run) if key.startswith("features/")} for run in (again, other)]
    assert [("judged" in kind, "test" in kind) for kind in kinds] == [(True, True), (False, False)], counts
    assert workflow.json(again, "results/comparison.json")["champion"] == runs["claims"].name
    for family, run in (("claims", again), ("deals", other)):
        assert (live(workflow, family)["run"], live(workflow, family)["former"]) == (
            run.name,
            [{name: value for name, value in before[family].items() if name in live(workflow, family)["former"][0]}],
        )
    assert live(workflow, "") == before[""]

    others = {family: live(workflow, family) for family in ("", "deals")}
    back = rollback(workflow, family="claims", reason="too many lines")
    assert back.status == "SUCCEEDED", (back.error, back.cause)
    assert live(workflow, "claims")["run"] == runs["claims"].name
    assert {family: live(workflow, family) for family in ("", "deals")} == others
    receipt = workflow.json(score(workflow, "claims", bodies["claims"], "after"), "receipt.json")
    assert receipt["model"]["run"] == runs["claims"].name
    (mail,) = workflow.mails(back, "operators")
    assert f"make rollback RUN={again.name} FAMILY=claims" in mail.get_content()


def test_there_is_nothing_to_go_back_to_in_a_family_that_never_had_a_model(workflow, runs):
    back = rollback(workflow, family="nobody")
    assert (back.status, back.error) == ("FAILED", "NoFormerModelError")
    assert "No model of the family nobody was ever live" in back.cause


def test_a_run_of_a_family_that_fails_leaves_its_live_model_and_those_of_others(workflow, runs, bodies):
    before, models = workflow.hosted(), {family: live(workflow, family) for family in runs}
    workflow.fault("Endpoint", "x", 1, "out of luck")
    run = workflow.drop(bodies["claims"], "incoming/claims/unlucky.csv")
    assert (run.status, run.error) == ("FAILED", "EndpointFailedError")
    assert workflow.json(run, "receipt.json")["family"] == "claims"
    assert workflow.hosted() == before
    after = {family: live(workflow, family) for family in runs}
    assert after == {family: model | {"withdrawn": [run.name]} for family, model in models.items()}


def test_upkeep_keeps_what_each_family_needs(workflow, runs):
    before = workflow.hosted()
    workflow.sweep_at_once()
    cleared = workflow.invoke("DeleteOrphansFunction", {"run": "clear"})
    assert (cleared["hosted"], workflow.hosted()) == ([], before)


def test_drift_is_measured_of_each_familys_lines(workflow, runs, bodies):
    for family in runs:
        score(workflow, family, bodies[family], "watched")
    (found,) = {key.split("/")[1] for key in dates(workflow)}
    started = workflow.sfn.start_execution(
        stateMachineArn=workflow.cloud.outputs["MonitorStateMachineArn"], input=json.dumps({"day": found[3:]})
    )
    assert workflow.wait(started["executionArn"]).status == "SUCCEEDED"
    for family in runs:
        key = f"monitoring/{found}/{family + '/' if family else ''}report.json"
        report = json.loads(workflow.s3.get_object(Bucket=workflow.bucket, Key=key)["Body"].read())
        assert (report["family"], report["model_run"]) == (family, live(workflow, family)["run"])
        assert report["lines"] >= 1_400
        assert report["measures"]


def dates(workflow) -> list[str]:
    found = workflow.s3.list_objects_v2(Bucket=workflow.bucket, Prefix="scored/")["Contents"]
    return [each["Key"] for each in found]
