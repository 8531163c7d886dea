"""The hosting modes one after the other in one stack: each trains, scores, replaces the mode before, goes back to it,
fails and is refused, with the flags that serverless hosting gives, and leaves nothing behind."""

import io
import json
import time
from types import SimpleNamespace

import msgspec
import pandas as pd
import pytest
from botocore.exceptions import ClientError

from local.cloud import STACK
from suspicious_lines.hosting_modes import MODES, mode_of
from suspicious_lines.layout import VARIANT, resource_name
from suspicious_lines.receipts import Receipt

# In this order, each with the one before as the former: async is there when the stack is deleted.
ORDER = ["serverless", "provisioned", "real-time", "batch", "async"]
OTHERS = ORDER[1:]
PARAMETERS = {"ProvisionedConcurrency": "2", "CapturePercent": "50", "EndpointMaxInstances": "3"}
CURRENT = "models/current.json"
WHY = ["Field", "Reason", "Expected Low", "Expected High", "Amount At Stake"]
# What ends a run of each mode, and the words that it ends with.
FAULTS = {
    "provisioned": ("Endpoint", "EndpointFailedError"),
    "real-time": ("Endpoint", "EndpointFailedError"),
    "async": ("AsyncInvocation", "ModelResponseError"),
    "batch": ("TransformJob", "TransformFailedError"),
}


@pytest.fixture(scope="module")
def workflow(own_workflow):
    return own_workflow


@pytest.fixture(scope="module", params=OTHERS)
def mode(request) -> str:
    """Of a module, so that all tests of one mode come before those of the next."""
    return request.param


@pytest.fixture(autouse=True)
def _no_faults(workflow):
    yield
    workflow.no_faults()


@pytest.fixture(scope="module")
def serverless(workflow, activities):
    """What serverless hosting makes of the file, as past lines and as new ones."""
    trained = workflow.drop(activities)
    scored = workflow.drop(activities, "invoices/serverless.csv")
    assert [trained.status, scored.status] == ["SUCCEEDED", "SUCCEEDED"]
    assert scaling(workflow) == {"targets": set(), "policies": set(), "alarms": set()}
    return SimpleNamespace(trained=trained, found=flags(workflow, trained), new=flags(workflow, scored))


@pytest.fixture(scope="module")
def modes(workflow, serverless, activities):
    """Switches the stack to a mode, from the one before in ORDER, and trains a model in it."""
    trained = {"serverless": serverless.trained}

    def switched(mode: str):
        if mode not in trained:
            before = ORDER[ORDER.index(mode) - 1]
            switched(before)
            workflow.redeploy(HostingMode=mode, FormerHostingMode=before, **PARAMETERS)
            workflow.sweep_at_once()
            assert score(workflow, f"{before}-still", activities)[1] == before, "the live model is the former mode's"
            trained[mode] = workflow.drop(activities)
        return trained[mode]

    return switched


def live(workflow) -> dict:
    return json.loads(workflow.s3.get_object(Bucket=workflow.bucket, Key=CURRENT)["Body"].read())


def score(workflow, name: str, activities: bytes):
    """A file of new lines: the run and the mode that it was scored in."""
    run = workflow.drop(activities, f"invoices/{name}.csv")
    assert run.status == "SUCCEEDED", (name, run.error, run.cause)
    return run, mode_of(workflow.json(run, "receipt.json")["model"]["endpoint"]).name


def flags(workflow, run) -> tuple[pd.DataFrame, dict]:
    """What was flagged and how it is measured, but for what depends on why."""
    listed = pd.read_csv(io.BytesIO(workflow.read(run, "results/suspicious_lines.csv")))
    metrics = workflow.json(run, "results/metrics.json")
    del metrics["amount_at_stake"]
    return listed, metrics


def scaling(workflow) -> dict[str, set[str]]:
    """All that scales, by endpoint, and what wakes it."""
    client = workflow.cloud.client("application-autoscaling")
    alarms = workflow.cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return {
        "targets": {
            found["ResourceId"].split("/")[1]
            for found in client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
        },
        "policies": {
            found["PolicyName"]
            for found in client.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
        },
        "alarms": {found["AlarmName"] for found in alarms if found["AlarmName"].endswith("-wake")},
    }


def test_a_mode_flags_what_serverless_hosting_flags(workflow, serverless, modes, activities, mode):
    run = modes(mode)
    assert run.status == "SUCCEEDED", (run.error, run.cause)
    name = live(workflow)["endpoint_name"]
    assert (live(workflow)["run"], name) == (run.name, resource_name(STACK, run.name, mark=MODES[mode].mark))
    new, used = score(workflow, mode, activities)
    assert used == mode
    for found, expected in ((flags(workflow, run), serverless.found), (flags(workflow, new), serverless.new)):
        columns = [name for name in expected[0] if mode != "batch" or name not in WHY]
        pd.testing.assert_frame_equal(found[0][columns], expected[0][columns])
        assert found[1] == expected[1]
        assert found[0]["Reason"].str.len().min() > 10

    # The model of the mode before was the champion, which scored the same lines in its own way.
    comparison = workflow.json(run, "results/comparison.json")
    assert comparison["champion"] == modes(ORDER[ORDER.index(mode) - 1]).name
    assert comparison["promoted"]
    entered = workflow.entered(run)
    assert ("StartTransform" in entered, "DescribeEndpoint" in entered) == (mode == "batch", mode != "batch")
    assert ("StartChampionTransform" in entered) == (mode == "async"), "the mode before is batch"
    cost = msgspec.convert(workflow.json(run, "receipt.json"), Receipt).estimated_cost
    assert cost.inference > 0
    assert (cost.batch > 0) == (mode in {"batch", "async"})


def test_a_mode_hosts_as_it_says_and_only_its_live_models_scale(workflow, modes, mode):
    name = resource_name(STACK, modes(mode).name, mark=MODES[mode].mark)
    assert name in workflow.hosted()["models"]
    assert (name in workflow.hosted()["endpoints"]) == MODES[mode].endpoint
    found = scaling(workflow)
    assert name in found["targets"] or mode == "batch"
    assert found["targets"] <= {model["endpoint_name"] for model in [live(workflow), *live(workflow)["former"]]}
    assert (f"{name}-wake" in found["alarms"]) == (mode == "async")
    if not MODES[mode].endpoint:
        return
    described = workflow.sagemaker.describe_endpoint_config(EndpointConfigName=name)
    (variant,) = described["ProductionVariants"]
    assert (variant["VariantName"], variant["ModelName"]) == (VARIANT, name)
    if mode == "provisioned":
        size = {"MemorySizeInMB": 2048, "MaxConcurrency": 5, "ProvisionedConcurrency": 2}
        assert variant["ServerlessConfig"] == size
    else:
        assert (variant["InstanceType"], variant["InitialInstanceCount"]) == ("ml.m5.large", 1)
        assert "KmsKeyId" in described
    assert ("DataCaptureConfig" in described) == (mode == "real-time")
    assert ("AsyncInferenceConfig" in described) == (mode == "async")


def test_a_rollback_leads_to_the_mode_before_and_back_again(workflow, modes, activities, mode):
    run, before = modes(mode), ORDER[ORDER.index(mode) - 1]
    for target, expected in ((modes(before), before), (run, mode)):
        started = workflow.sfn.start_execution(
            stateMachineArn=workflow.cloud.outputs["RollbackStateMachineArn"], input=json.dumps({"run": target.name})
        )
        assert workflow.wait(started["executionArn"]).status == "SUCCEEDED"
        assert live(workflow)["run"] == target.name
        assert score(workflow, f"back-{mode}-{expected}", activities)[1] == expected


def test_a_run_that_fails_leaves_nothing(workflow, modes, activities, mode):
    modes(mode)
    target, error = FAULTS[mode]
    before, scaled, current = workflow.hosted(), scaling(workflow), live(workflow)
    workflow.fault(target, "x", 100, "out of luck")
    run = workflow.drop(activities)
    assert (run.status, run.error) == ("FAILED", error)
    assert "out of luck" in run.cause
    assert (workflow.hosted(), scaling(workflow), live(workflow)["run"]) == (before, scaled, current["run"])
    deleted = set(workflow.json(run, "receipt.json")["deleted"])
    hosted = {"endpoint", "endpoint configuration"} if MODES[mode].endpoint else set()
    assert deleted == hosted | {"model"}


def test_a_model_that_is_refused_is_deleted(workflow, modes, spoilt, mode):
    modes(mode)
    before, scaled, current = workflow.hosted(), scaling(workflow), live(workflow)
    run = workflow.drop(spoilt)
    assert run.status == "SUCCEEDED", (run.error, run.cause)
    assert not workflow.json(run, "results/comparison.json")["promoted"]
    assert (workflow.hosted(), scaling(workflow), live(workflow)["run"]) == (before, scaled, current["run"])


def test_what_a_run_left_is_found_with_what_scales_it(workflow, modes, mode):
    modes(mode)
    before, scaled = workflow.hosted(), scaling(workflow)
    like, name = live(workflow)["endpoint_name"], resource_name(STACK, f"lost-{mode}", mark=MODES[mode].mark)
    model_like(workflow, like, name)
    if MODES[mode].endpoint:
        host_like(workflow, like, name)
        scale_like(workflow, name, MODES[mode].dimension)
        assert scaling(workflow)["targets"] == scaled["targets"] | {name}
    if mode == "async":
        workflow.cloud.client("cloudwatch").put_metric_alarm(
            AlarmName=f"{name}-wake", Namespace="x", MetricName="x", Period=60, EvaluationPeriods=1, Threshold=1,
            Statistic="Sum", ComparisonOperator="GreaterThanThreshold",
        )  # fmt: skip
    cleared = workflow.invoke("DeleteOrphansFunction", {"run": f"clear-{mode}"})
    assert f"model {name}" in cleared["hosted"]
    assert (workflow.hosted(), scaling(workflow)) == (before, scaled)


def model_like(workflow, like: str, name: str) -> None:
    model = workflow.sagemaker.describe_model(ModelName=like)
    workflow.sagemaker.create_model(
        ModelName=name, PrimaryContainer=model["PrimaryContainer"], ExecutionRoleArn=model["ExecutionRoleArn"]
    )


def host_like(workflow, like: str, name: str) -> None:
    described = workflow.sagemaker.describe_endpoint_config(EndpointConfigName=like)
    variants = [variant | {"ModelName": name} for variant in described["ProductionVariants"]]
    more = {key: described[key] for key in ("AsyncInferenceConfig",) if key in described}
    workflow.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants, **more)
    workflow.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    for _ in range(100):
        if workflow.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService":
            return
        time.sleep(0.1)
    raise AssertionError(f"{name} does not serve")


def scale_like(workflow, name: str, dimension: str) -> None:
    workflow.cloud.client("application-autoscaling").register_scalable_target(
        ServiceNamespace="sagemaker", ResourceId=f"endpoint/{name}/variant/{VARIANT}", ScalableDimension=dimension,
        MinCapacity=1, MaxCapacity=2,
    )  # fmt: skip


def test_an_idle_asynchronous_endpoint_has_no_instance_and_wakes_for_a_file(workflow, modes, activities):
    modes("async")
    name = live(workflow)["endpoint_name"]

    def instances() -> int:
        (variant,) = workflow.sagemaker.describe_endpoint(EndpointName=name)["ProductionVariants"]
        return variant["CurrentInstanceCount"]

    for _ in range(100):
        if instances() == 0:
            break
        time.sleep(0.1)
    assert instances() == 0
    assert score(workflow, "woken", activities)[1] == "async"


def test_former_modes_leave_nothing_that_fails_later_runs(workflow, modes, activities):
    """docs/hosting.md, step 3; and back to async, which the next test is about."""
    modes("async")
    workflow.redeploy(HostingMode="serverless", FormerHostingMode="async", **PARAMETERS)
    for _ in range(2):  # as many as are kept
        run = workflow.drop(activities)
        assert run.status == "SUCCEEDED", (run.error, run.cause)
    workflow.redeploy(HostingMode="serverless", FormerHostingMode="serverless", **PARAMETERS)
    workflow.sweep_at_once()
    run = workflow.drop(activities)
    assert run.status == "SUCCEEDED", (run.error, run.cause)
    now = live(workflow)
    assert now["run"] == run.name
    assert {mode_of(one["endpoint_name"]).name for one in now["dropped"]} == set(ORDER)
    assert {mode_of(name).name for name in workflow.hosted()["models"]} == {"serverless"}
    assert scaling(workflow) == {"targets": set(), "policies": set(), "alarms": set()}
    lost = {resource_name(STACK, "lost-former", mark=MODES[mode].mark) for mode in ("async", "multi-model", "batch")}
    for name in lost:
        model_like(workflow, now["endpoint_name"], name)
    cleared = workflow.invoke("DeleteOrphansFunction", {"run": "clear-former"})
    assert {f"model {name}" for name in lost} <= set(cleared["hosted"])

    workflow.redeploy(HostingMode="async", FormerHostingMode="serverless", **PARAMETERS)
    assert workflow.drop(activities).status == "SUCCEEDED"


def test_with_the_stack_all_modes_go(workflow, modes):
    assert scaling(workflow)["alarms"]
    assert workflow.delete_stack() == "DELETE_COMPLETE"
    assert workflow.hosted() == {"endpoints": set(), "configs": set(), "models": set(), "jobs": set()}
    assert scaling(workflow) == {"targets": set(), "policies": set(), "alarms": set()}
    with pytest.raises(ClientError):
        workflow.sfn.describe_state_machine(stateMachineArn=workflow.machine)
