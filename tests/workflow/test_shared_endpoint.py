"""Families on instances: one multi-model endpoint, which serves each family's model as a target of its own."""

import json
from io import BytesIO
from types import SimpleNamespace

import pandas as pd
import pytest
from botocore.exceptions import ClientError
from test_families import live, past_lines, rollback, score
from test_registry import decide

from local.cloud import STACK
from suspicious_lines.hosting_modes import host_of
from suspicious_lines.layout import resource_name

SHARED = {"Families": "claims,deals", "HostingMode": "real-time", "FormerHostingMode": "real-time"}
SHARED["ModelRegistry"] = "true"


@pytest.fixture(scope="module")
def workflow(shared_workflow):
    return shared_workflow


@pytest.fixture(autouse=True)
def _no_faults(workflow):
    workflow.no_faults()
    yield
    workflow.no_faults()


@pytest.fixture(scope="module")
def trained(workflow) -> SimpleNamespace:
    """A model of each family, and one of none."""
    bodies = {"": past_lines(1, 1), "claims": past_lines(2, 0.5), "deals": past_lines(3, 2)}
    keys = {family: f"incoming/{family}/past.csv" if family else "incoming/past.csv" for family in bodies}
    runs = {family: workflow.drop(body, keys[family]) for family, body in bodies.items()}
    assert {family: run.status for family, run in runs.items()} == dict.fromkeys(bodies, "SUCCEEDED"), runs
    return SimpleNamespace(bodies=bodies, runs=runs)


def name_of(run) -> str:
    return resource_name(STACK, run.name, mark="mm")


def copies(workflow) -> set[str]:
    found = workflow.s3.list_objects_v2(Bucket=workflow.bucket, Prefix="multi-model/").get("Contents", [])
    return {each["Key"].removeprefix("multi-model/").removesuffix(".tar.gz") for each in found}


def kept(workflow) -> set[str]:
    """The models of all families that are live or can be gone back to."""
    models = [live(workflow, family) for family in ("claims", "deals")]
    return {model["endpoint_name"] for one in models for model in (one, *one["former"])}


def scaling(workflow) -> set[str]:
    client = workflow.cloud.client("application-autoscaling")
    found = client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    return {target["ResourceId"].split("/")[1] for target in found}


def test_families_share_one_endpoint_and_each_is_a_target(workflow, trained):
    models = {family: live(workflow, family) for family in trained.runs}
    names = {family: name_of(run) for family, run in trained.runs.items() if family}
    assert {family: models[family]["endpoint_name"] for family in names} == names
    plain = resource_name(STACK, trained.runs[""].name, mark="rt")
    host = host_of(names["claims"])
    assert workflow.hosted()["endpoints"] == workflow.hosted()["configs"] == {plain, host} == scaling(workflow)
    assert workflow.hosted()["models"] == {plain, host, *names.values()}
    assert copies(workflow) == set(names.values())
    container = workflow.sagemaker.describe_model(ModelName=host)["PrimaryContainer"]
    assert (container["Mode"], container["ModelDataUrl"]) == ("MultiModel", f"s3://{workflow.bucket}/multi-model/")

    flagged, listed = {}, {}
    for family in trained.runs:
        run = score(workflow, family, trained.bodies["claims"])
        receipt = workflow.json(run, "receipt.json")
        assert receipt["model"] == {
            "run": trained.runs[family].name, "endpoint": models[family]["endpoint_name"],
            "encoder": models[family]["encoder_key"],
        }  # fmt: skip
        assert receipt["threshold"]["value"] == models[family]["threshold"]
        assert receipt["estimated_cost"]["inference"] > 0
        listed[family] = workflow.read(run, "results/suspicious_lines.csv")
        flagged[family] = len(listed[family].splitlines())
    assert flagged["claims"] < min(flagged[""], flagged["deals"])
    assert len(set(listed.values())) == len(listed)


def test_a_new_model_of_a_family_is_compared_and_replaces_its_own_only(workflow, trained):
    before = {family: live(workflow, family) for family in trained.runs}
    hosted = workflow.hosted()
    first, second = (workflow.drop(trained.bodies["claims"], f"incoming/claims/{name}.csv") for name in ("a", "b"))
    assert [first.status, second.status] == ["SUCCEEDED", "SUCCEEDED"], (first.cause, second.cause)
    assert workflow.json(first, "results/comparison.json")["champion"] == trained.runs["claims"].name
    assert [model["run"] for model in live(workflow, "claims")["former"]] == [first.name]
    assert {family: live(workflow, family) for family in ("", "deals")} == {
        name: before[name] for name in ("", "deals")
    }
    # The first one of claims is not kept any more: its copy and its model are gone, and the endpoint is as it was.
    assert copies(workflow) == kept(workflow) == {name_of(run) for run in (first, second, trained.runs["deals"])}
    assert workflow.hosted()["endpoints"] == hosted["endpoints"]
    assert workflow.hosted()["models"] == hosted["models"] - {name_of(trained.runs["claims"])} | kept(workflow)

    back = rollback(workflow, family="claims")
    assert back.status == "SUCCEEDED", (back.error, back.cause)
    run = score(workflow, "claims", trained.bodies["claims"], "after")
    assert workflow.json(run, "receipt.json")["model"]["endpoint"] == name_of(first)
    assert live(workflow, "deals") == before["deals"]


def test_large_files_are_scored_by_a_transform_job_of_the_familys_model(workflow, trained):
    workflow.redeploy(**SHARED, BatchAboveMB="0", DistributedAboveMB="0")
    run = score(workflow, "deals", trained.bodies["deals"], "large")
    workflow.redeploy(**SHARED)
    assert "StartTransform" in workflow.entered(run)
    small = score(workflow, "deals", trained.bodies["deals"], "small")
    assert "StartTransform" not in workflow.entered(small)
    tables = [pd.read_csv(BytesIO(workflow.read(each, "results/suspicious_lines.csv"))) for each in (run, small)]
    pd.testing.assert_frame_equal(*tables)


def test_a_run_that_fails_leaves_the_endpoint_to_the_others(workflow, trained):
    before, models = workflow.hosted(), copies(workflow)
    workflow.fault("InvokeEndpoint", "ModelError", 1000, "out of luck")
    run = workflow.drop(trained.bodies["deals"], "incoming/deals/unlucky.csv")
    workflow.no_faults()
    assert run.status == "FAILED", run.error
    assert (workflow.hosted(), copies(workflow)) == (before, models)
    assert workflow.json(run, "receipt.json")["deleted"] == ["model"]


def test_a_refused_model_is_taken_from_the_endpoint_and_put_back_when_it_is_approved(workflow, trained, spoil):
    before = workflow.hosted()
    run = workflow.drop(spoil(trained.bodies["claims"]), "incoming/claims/spoilt.csv")
    assert run.status == "SUCCEEDED", (run.error, run.cause)
    assert not workflow.json(run, "results/comparison.json")["promoted"]
    assert copies(workflow) == kept(workflow)
    assert workflow.hosted() == before

    others, was = live(workflow, "deals"), live(workflow, "claims")["run"]
    done = decide(workflow, run, "Approved", "the file was right")
    assert done.status == "SUCCEEDED", (done.error, done.cause)
    assert (live(workflow, "claims")["run"], live(workflow, "claims")["endpoint_name"]) == (run.name, name_of(done))
    assert copies(workflow) == kept(workflow)
    assert len(workflow.hosted()["endpoints"]) == len(before["endpoints"])
    scored = score(workflow, "claims", trained.bodies["claims"], "approved")
    assert workflow.json(scored, "receipt.json")["model"]["run"] == run.name
    back = decide(workflow, run, "Rejected", "it was not")
    assert (back.status, live(workflow, "claims")["run"]) == ("SUCCEEDED", was)
    assert (live(workflow, "claims")["rejected"], live(workflow, "deals")) == ([run.name], others)


def test_upkeep_takes_what_no_family_keeps_and_leaves_what_they_share(workflow, trained):
    like, lost = live(workflow, "deals")["endpoint_name"], resource_name(STACK, "lost", mark="mm")
    before, models = workflow.hosted(), copies(workflow)
    model = workflow.sagemaker.describe_model(ModelName=like)
    workflow.sagemaker.create_model(
        ModelName=lost, PrimaryContainer=model["PrimaryContainer"], ExecutionRoleArn=model["ExecutionRoleArn"]
    )
    workflow.s3.copy_object(
        Bucket=workflow.bucket,
        Key=f"multi-model/{lost}.tar.gz",
        CopySource={"Bucket": workflow.bucket, "Key": f"multi-model/{like}.tar.gz"},
    )
    workflow.sweep_at_once()
    cleared = workflow.invoke("DeleteOrphansFunction", {"run": "clear-shared"})
    assert cleared["hosted"] == [f"model {lost}"]
    assert (workflow.hosted(), copies(workflow)) == (before, models)


def test_an_endpoint_that_cannot_start_goes_with_the_run_that_made_it_and_the_next_makes_it_anew(workflow, trained):
    host = host_of(live(workflow, "deals")["endpoint_name"])
    models = {family: live(workflow, family) for family in ("claims", "deals")}
    workflow.sagemaker.delete_endpoint(EndpointName=host)
    workflow.fault("Endpoint", "x", 1, "out of luck")
    run = workflow.drop(trained.bodies["deals"], "incoming/deals/cannot-start.csv")
    assert (run.status, run.error) == ("FAILED", "EndpointFailedError")
    assert "out of luck" in run.cause
    assert host not in workflow.hosted()["endpoints"]
    assert {family: live(workflow, family)["run"] for family in models} == {
        name: old["run"] for name, old in models.items()
    }
    # The next one brings it back for all.
    again = workflow.drop(trained.bodies["deals"], "incoming/deals/again.csv")
    assert again.status == "SUCCEEDED", (again.error, again.cause)
    assert workflow.json(again, "results/comparison.json")["champion"] == models["deals"]["run"]
    run = score(workflow, "claims", trained.bodies["claims"], "back")
    assert workflow.json(run, "receipt.json")["model"]["run"] == models["claims"]["run"]


def test_a_family_that_is_taken_out_loses_its_models_and_no_other_does(workflow, trained):
    names = {family: {model["endpoint_name"] for model in [live(workflow, family), *live(workflow, family)["former"]]}
             for family in ("claims", "deals")}  # fmt: skip
    before = workflow.hosted()
    workflow.redeploy(**SHARED | {"Families": "claims"})
    workflow.sweep_at_once()
    cleared = workflow.invoke("DeleteOrphansFunction", {"run": "clear-deals"})
    assert set(cleared["hosted"]) == {f"model {name}" for name in names["deals"]}
    assert copies(workflow) == names["claims"]
    assert workflow.hosted()["endpoints"] == before["endpoints"]
    run = workflow.drop(trained.bodies[""], "invoices/deals/of-none.csv")
    assert workflow.json(run, "receipt.json")["model"]["run"] == trained.runs[""].name
    assert score(workflow, "claims", trained.bodies["claims"], "still")


def test_with_the_stack_the_endpoint_and_the_copies_go_though_there_are_no_families_any_more(workflow, trained):
    workflow.redeploy(**SHARED | {"Families": ""})
    assert copies(workflow)
    assert workflow.delete_stack() == "DELETE_COMPLETE"
    assert workflow.hosted() == {"endpoints": set(), "configs": set(), "models": set(), "jobs": set()}
    assert scaling(workflow) == set()
    with pytest.raises(ClientError):
        workflow.sfn.describe_state_machine(stateMachineArn=workflow.machine)
    assert json.loads(workflow.s3.get_object(Bucket=workflow.bucket, Key="models/claims/current.json")["Body"].read())
    assert copies(workflow) == set()
