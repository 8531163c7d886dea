"""What a run left behind is found and deleted, and nothing is left when the stack is deleted."""

import time

import pytest
from botocore.exceptions import ClientError

from local.cloud import STACK
from suspicious_lines.batch_preprocessing import IMAGE
from suspicious_lines.layout import RUN_TAG, resource_name


@pytest.fixture
def workflow(own_workflow):
    own_workflow.no_faults()
    return own_workflow


@pytest.fixture
def clear(workflow):
    return lambda: workflow.invoke("DeleteOrphansFunction", {"run": "clear"})


@pytest.fixture(scope="module")
def trained(own_workflow, activities):
    run = own_workflow.drop(activities)
    assert run.status == "SUCCEEDED"
    return run


def hanging_jobs(workflow, trained, run):
    """Jobs of each kind that end when they are stopped, as `run` would have started them."""
    sagemaker, name = workflow.sagemaker, resource_name(STACK, run, "hanging")
    tags = [{"Key": RUN_TAG, "Value": run}]
    trains = sagemaker.describe_training_job(TrainingJobName=resource_name(STACK, trained.name))
    role, machine = trains["RoleArn"], {"InstanceType": "ml.m5.large", "InstanceCount": 1}
    for kind in ("TrainingJob", "ProcessingJob", "TransformJob"):
        workflow.fault(kind, "Hanging", 1)
    alike = ("AlgorithmSpecification", "InputDataConfig", "OutputDataConfig", "ResourceConfig", "StoppingCondition")
    sagemaker.create_training_job(
        TrainingJobName=name,
        RoleArn=role,
        HyperParameters=trains["HyperParameters"],
        **{member: trains[member] for member in alike},
        Tags=tags,
    )
    sagemaker.create_processing_job(
        ProcessingJobName=name,
        RoleArn=role,
        ProcessingResources={"ClusterConfig": machine | {"VolumeSizeInGB": 1}},
        AppSpecification={
            "ImageUri": IMAGE.format(region="us-east-1"), "ContainerEntrypoint": ["python3", "-c", "pass"],
        },
        Tags=tags,
    )  # fmt: skip
    place = f"s3://{workflow.bucket}/runs/{trained.name}/features/train/"
    sagemaker.create_transform_job(
        TransformJobName=name,
        ModelName=resource_name(STACK, trained.name),
        TransformInput={"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": place}}},
        TransformOutput={"S3OutputPath": place.replace("features", "transformed")},
        TransformResources=machine,
        Tags=tags,
    )
    return name


def wait_for_no_jobs(workflow):
    for _ in range(100):
        if not workflow.hosted()["jobs"]:
            return
        time.sleep(0.05)
    raise AssertionError(workflow.hosted()["jobs"])


def endpoint_like(workflow, trained, name):
    """An endpoint that a function made whose execution was stopped in that very moment."""
    sagemaker, like = workflow.sagemaker, resource_name(STACK, trained.name)
    model = sagemaker.describe_model(ModelName=like)
    config = sagemaker.describe_endpoint_config(EndpointConfigName=like)
    variant = config["ProductionVariants"][0] | {"ModelName": name}
    role = model["ExecutionRoleArn"]
    sagemaker.create_model(ModelName=name, PrimaryContainer=model["PrimaryContainer"], ExecutionRoleArn=role)
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    while sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Creating":
        time.sleep(0.05)


def test_jobs_of_a_run_that_is_no_more_are_stopped_and_told(workflow, trained, clear):
    name = hanging_jobs(workflow, trained, "lost")
    assert clear()["hosted"] == [f"{kind} {name}" for kind in ("training job", "processing job", "transform job")]
    wait_for_no_jobs(workflow)
    (mail,) = [path.read_text() for path in workflow.cloud.outbox.glob("*.eml") if name in path.read_text()]
    assert "Subject: Deleted: 3 leftovers" in mail
    assert clear() == {"hosted": [], "runs": []}


@pytest.mark.parametrize("fails", [False, True], ids=["in service", "failed"])
def test_an_orphan_is_deleted_and_told_and_the_live_model_stays(workflow, trained, clear, fails):
    before, name = workflow.hosted(), resource_name(STACK, f"lost-{fails}")
    if fails:
        workflow.fault("Endpoint", "x", 1, "no capacity")
    endpoint_like(workflow, trained, name)
    hosted = [f"{what} {name}" for what in ("endpoint", "endpoint configuration", "model")]
    assert clear() == {"hosted": hosted, "runs": []}
    assert workflow.hosted() == before
    (mail,) = [path.read_text() for path in workflow.cloud.outbox.glob("*.eml") if name in path.read_text()]
    assert "Subject: Deleted: 3 leftovers" in mail
    assert clear() == {"hosted": [], "runs": []}
    assert workflow.drop(b"x", "invoices/bad.csv").error == "InvalidUploadError", "the live model is there all the same"


def test_what_a_run_at_work_needs_is_left_alone(workflow, trained, activities, clear):
    arn = workflow.arn_of(workflow.upload(activities))
    workflow.wait_for_state(arn, "ScoreParts")
    name = hanging_jobs(workflow, trained, arn.rpartition(":")[2])
    assert clear() == {"hosted": [], "runs": []}
    assert workflow.hosted()["jobs"] == {name}
    for kind in ("training", "processing", "transform"):
        getattr(workflow.sagemaker, f"stop_{kind}_job")(**{f"{kind.title()}JobName": name})
    wait_for_no_jobs(workflow)
    assert workflow.wait(arn).status == "SUCCEEDED"
    assert clear() == {"hosted": [], "runs": []}


def test_nothing_is_left_when_the_stack_is_deleted(workflow, trained, activities):
    arn = workflow.arn_of(workflow.upload(activities))
    workflow.wait_for_state(arn, "ScoreParts")
    assert workflow.hosted()["endpoints"]
    hanging_jobs(workflow, trained, "lost-too")
    assert workflow.delete_stack() == "DELETE_COMPLETE"
    assert workflow.hosted() == {"endpoints": set(), "configs": set(), "models": set(), "jobs": set()}
    with pytest.raises(ClientError):
        workflow.sfn.describe_state_machine(stateMachineArn=workflow.machine)
    assert "receipt.json" in workflow.keys(trained), "the bucket stays, with all that people dropped and were told"
