"""What people decide in the model registry takes effect in every hosting mode, with IAM enforced and a cloud a mode."""

import pytest
from test_modes import live, scaling, score
from test_registry import decide, package_of

from local.cloud import STACK
from suspicious_lines.hosting_modes import MODES
from suspicious_lines.layout import resource_name

POLICIES = {"provisioned": ["utilization"], "real-time": ["invocations"], "async": ["backlog", "wake"], "batch": []}


@pytest.fixture(scope="module", params=POLICIES)
def mode(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def workflow(registry_mode_workflow):
    return registry_mode_workflow


@pytest.fixture(scope="module")
def runs(workflow, activities, spoilt):
    """A model that was promoted, and one that was refused."""
    dropped = [workflow.drop(body) for body in (activities, spoilt)]
    assert [(run.status, run.cause) for run in dropped] == [("SUCCEEDED", "")] * 2
    for run in dropped:
        package_of(workflow, run)
    return dropped


@pytest.fixture(scope="module")
def approved(workflow, runs):
    """The execution that an approval of the refused model starts, and the models after it."""
    done = decide(workflow, runs[1], "Approved", "the file was right")
    return done, live(workflow)


def test_an_approved_model_is_hosted_as_its_mode_says(workflow, runs, approved, mode):
    (promoted, refused), (done, now) = runs, approved
    assert done.status == "SUCCEEDED", (done.error, done.cause)
    name = resource_name(STACK, done.name, mark=MODES[mode].mark)
    assert (now["run"], now["endpoint_name"]) == (refused.name, name)
    assert [former["run"] for former in now["former"]] == [promoted.name]
    assert ("DescribeEndpoint" in workflow.entered(done)) == MODES[mode].endpoint
    both = {name, now["former"][0]["endpoint_name"]}
    endpoints, scales = both if MODES[mode].endpoint else set(), both if MODES[mode].dimension else set()
    assert (workflow.hosted()["models"], workflow.hosted()["endpoints"]) == (both, endpoints)
    found = scaling(workflow)
    policies = {f"{each}-{policy}" for each in scales for policy in POLICIES[mode]}
    alarms = {f"{each}-wake" for each in scales if mode == "async"}
    assert found == {"targets": scales, "policies": policies, "alarms": alarms}


def test_new_lines_are_scored_by_it_and_what_its_endpoint_writes_lies_under_its_run(
    workflow, runs, approved, activities, mode
):
    (_, refused), (done, now) = runs, approved
    before = workflow.keys(refused)
    run, used = score(workflow, "approved", activities)
    assert (used, workflow.json(run, "receipt.json")["model"]["run"]) == (mode, refused.name)
    written = {key.rpartition("/")[0] for key in workflow.keys(refused) - before}
    folders = {"real-time": f"captured/{now['endpoint_name']}/", "async": "async/answers"}
    assert len(written) == (mode in folders)
    assert all(folder.startswith(folders[mode]) for folder in written)
    assert workflow.keys(done) == set()


def test_a_rejected_live_model_makes_room_and_is_barred(workflow, runs, approved):
    promoted, refused = runs
    goes = decide(workflow, refused, "Rejected", "it flags everything")
    assert (goes.status, goes.cause) == ("SUCCEEDED", "")
    now = live(workflow)
    assert (now["run"], now["rejected"]) == (promoted.name, [refused.name])
    assert [former["endpoint_name"] for former in now["former"]] == [approved[1]["endpoint_name"]]


def test_a_model_that_an_approval_drops_goes_with_what_scales_it(workflow, runs, approved, mode):
    """The rejected model's endpoint was deleted by hand: the next approval hosts it anew, and drops what is left."""
    old = approved[1]["endpoint_name"]
    if MODES[mode].endpoint:
        workflow.sagemaker.delete_endpoint(EndpointName=old)
    else:
        workflow.sagemaker.delete_model(ModelName=old)
    again = decide(workflow, runs[1], "Approved")
    assert again.status == "SUCCEEDED", (again.error, again.cause)
    name = resource_name(STACK, again.name, mark=MODES[mode].mark)
    assert live(workflow)["endpoint_name"] == name
    assert workflow.hosted()["models"] == {name, live(workflow)["former"][0]["endpoint_name"]}
    found = scaling(workflow)
    assert old not in found["targets"]
    assert f"{old}-wake" not in found["alarms"]
    assert (name in found["targets"]) == (MODES[mode].dimension is not None)
