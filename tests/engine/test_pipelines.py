"""The pipeline of pipelines/: its definition, and its steps carried out by the engine, one after another."""

import copy
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.model import ListShape, MapShape, Shape, StructureShape
from jsonschema import Draft202012Validator

from local.activities import generate, write_csv
from pipelines.definition import Place, definition

from .clients import BUCKET, IMAGE, REGION, ROLE, SageMaker, channel, wait_for

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads(Path(__file__).with_name("pipeline-definition.schema.json").read_text())
PLACE = Place(
    REGION,
    BUCKET,
    "arn:aws:kms:us-east-1:000000000000:key/00000000-0000-0000-0000-000000000000",
    "pipelines/x.zip",
    ROLE,
)
OPERATIONS = {
    "Processing": "CreateProcessingJob",
    "Training": "CreateTrainingJob",
    "Transform": "CreateTransformJob",
    "Model": "CreateModel",
    "RegisterModel": "CreateModelPackage",
}
STEPS = ["Preprocess", "Train", "Model", "ScoreValidation", "ScorePlanted", "Evaluate", "IsGoodEnough"]


def all_steps(document: dict[str, Any]) -> list[dict[str, Any]]:
    steps = []
    for step in document["Steps"]:
        steps.append(step)
        if step["Type"] == "Condition":
            steps += step["Arguments"]["IfSteps"] + step["Arguments"]["ElseSteps"]
    return steps


def strangers(shape: Shape, value: Any, path: str) -> list[str]:
    """Members that the operation's input does not have, or lacks; an expression may stand for any scalar."""
    if isinstance(value, dict) and any(re.match("Get$|Std:", name) for name in value):
        return [path] if isinstance(shape, StructureShape | ListShape | MapShape) else []
    if isinstance(shape, StructureShape):
        names = {name for name in shape.required_members if not name.endswith(("JobName", "ModelName"))}
        wrong = [f"{path}.{name}" for name in (set(value) - set(shape.members)) | (names - set(value))]
        known = ((name, each) for name, each in value.items() if name in shape.members)
        return wrong + [one for name, each in known for one in strangers(shape.members[name], each, f"{path}.{name}")]
    if isinstance(shape, ListShape):
        return [one for each in value for one in strangers(shape.member, each, f"{path}[]")]
    if isinstance(shape, MapShape):
        return [one for name, each in value.items() for one in strangers(shape.value, each, f"{path}.{name}")]
    kinds = {"string": str, "integer": int, "boolean": bool}
    return [] if isinstance(value, kinds.get(shape.type_name, object)) else [path]


def test_the_definition_fits_the_schema_and_its_arguments_the_operations() -> None:
    document = definition(PLACE)
    Draft202012Validator.check_schema(SCHEMA)
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(document)] == []
    service = botocore.session.get_session().get_service_model("sagemaker")
    for step in all_steps(document):
        if operation := OPERATIONS.get(step["Type"]):
            shape = service.operation_model(operation).input_shape
            assert shape is not None
            assert strangers(shape, step["Arguments"], step["Name"]) == []


def test_the_role_may_run_each_type_of_step() -> None:
    role = (ROOT / "pipelines/role.yaml").read_text()
    types = {step["Type"] for step in all_steps(definition(PLACE))}
    operations = {OPERATIONS[each] for each in types & set(OPERATIONS)}
    needed = operations | {each.replace("Create", "Describe") for each in operations}
    assert needed - set(re.findall(r"sagemaker:(\w+)$", role, re.MULTILINE)) == set()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document.update(Version="2020-12-02"),
        lambda document: document["Parameters"][3].update(DefaultValue=1.5),
        lambda document: document["Steps"][0].update(Type="Process"),
        lambda document: document["Steps"][0].pop("Arguments"),
        lambda document: document["Steps"][1]["Arguments"].update(RoleArn={"Get": "RoleArn"}),
        lambda document: document["Steps"][1]["Arguments"].update(RoleArn={"Std:Join": ["a", "b"]}),
        lambda document: document["Steps"][1].update(PropertyFiles=[]),
        lambda document: document["Steps"][6]["Arguments"]["Conditions"][1].update(Type="AtLeast"),
    ],
)
def test_the_schema_refuses(spoil: Any) -> None:
    document = copy.deepcopy(definition(PLACE))
    spoil(document)
    assert not Draft202012Validator(SCHEMA).is_valid(document)


@pytest.fixture
def control(sagemaker: SageMaker) -> Any:
    """A client that checks what it sends, as anybody's does."""
    return boto3.client(
        "sagemaker", REGION, endpoint_url=sagemaker.url, aws_access_key_id="t", aws_secret_access_key="t"
    )


@pytest.fixture
def command(sagemaker: SageMaker, s3_url: str, tmp_path: Path) -> Callable[..., str]:
    """What `make pipeline` prints, for a stack that `make up` would have left these outputs of."""
    outputs = {"DataBucketName": BUCKET, "DataKeyArn": PLACE.key_arn}
    described = {"endpoint_url": s3_url, "engine_url": sagemaker.url, "outputs": outputs}
    (tmp_path / "outputs.json").write_text(json.dumps(described))

    def run(*arguments: str) -> str:
        line = [sys.executable, "scripts/pipeline.py", "--home", str(tmp_path), *arguments]
        environment = os.environ | {"PYTHONPATH": f"layers/core{os.pathsep}."}
        return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout

    return run


@pytest.fixture
def pipeline(command: Callable[..., str], s3_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of this repository's pipeline, put into the engine."""
    # What SageMaker gives a container, processes of the engine get from here.
    for name, value in {"AWS_ENDPOINT_URL": s3_url, "AWS_ACCESS_KEY_ID": "t", "AWS_SECRET_ACCESS_KEY": "t"}.items():
        monkeypatch.setenv(name, value)
    name = f"pipeline-{uuid.uuid4().hex}"
    assert command("--role", ROLE, "--name", name).endswith(f":pipeline/{name}\n")
    return name


def test_the_command_prints_the_definition_and_brings_a_pipeline_up_to_date(
    command: Callable[..., str], control: Any, pipeline: str
) -> None:
    printed = json.loads(command())
    assert Draft202012Validator(SCHEMA).is_valid(printed)
    before = control.describe_pipeline(PipelineName=pipeline)
    command("--role", f"{ROLE}-of-another", "--name", pipeline)
    after = control.describe_pipeline(PipelineName=pipeline)
    assert (before["RoleArn"], after["RoleArn"]) == (ROLE, f"{ROLE}-of-another")
    # The same code is the same archive; but for the role, which is a parameter's default, nothing has changed.
    assert before["PipelineDefinition"].replace(ROLE, f"{ROLE}-of-another") == after["PipelineDefinition"]
    given = json.loads(after["PipelineDefinition"])
    assert given["Steps"] == json.loads(json.dumps(printed["Steps"]).replace("<code>", _code(given)))


def _code(document: dict[str, Any]) -> str:
    """The name of the archive in the bucket that the processing steps run."""
    (code, *_) = document["Steps"][0]["Arguments"]["ProcessingInputs"]
    return code["S3Input"]["S3Uri"].rpartition("/")[2].removesuffix(".zip")


def carried_out(control: Any, name: str, **parameters: Any) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """An execution that has ended, and its steps by their names."""
    given = [{"Name": key, "Value": str(value)} for key, value in parameters.items()]
    arn = control.start_pipeline_execution(PipelineName=name, PipelineParameters=given)["PipelineExecutionArn"]

    def ended() -> dict[str, Any] | None:
        found = control.describe_pipeline_execution(PipelineExecutionArn=arn)
        return found if found["PipelineExecutionStatus"] != "Executing" else None

    execution = wait_for(ended, 120)
    listed = control.list_pipeline_execution_steps(PipelineExecutionArn=arn, SortOrder="Ascending")
    return execution, {step["StepName"]: step for step in listed["PipelineExecutionSteps"]}


@pytest.fixture
def upload(sagemaker: SageMaker, tmp_path: Path) -> str:
    write_csv(generate(lines=4_000), tmp_path / "activities.csv")
    sagemaker.s3.upload_file(str(tmp_path / "activities.csv"), BUCKET, "incoming/rates (2025),v2.csv")
    return f"s3://{BUCKET}/incoming/rates (2025),v2.csv"


def test_the_pipeline_trains_scores_measures_and_registers_a_model(
    sagemaker: SageMaker, control: Any, pipeline: str, upload: str
) -> None:
    execution, steps = carried_out(control, pipeline, Upload=upload, NumTrees=50)
    assert execution["PipelineExecutionStatus"] == "Succeeded", (execution, steps)
    assert list(steps) == [*STEPS, "Register"]
    assert {step["StepStatus"] for step in steps.values()} == {"Succeeded"}
    assert steps["IsGoodEnough"]["Metadata"] == {"Condition": {"Outcome": "True"}}

    run_id = execution["PipelineExecutionArn"].rpartition("/")[2]

    def read(key: str) -> dict[str, Any]:
        return json.loads(sagemaker.s3.get_object(Bucket=BUCKET, Key=f"runs/{run_id}/{key}")["Body"].read())

    dataset, evaluation = read("pipeline/dataset/dataset.json"), read("pipeline/evaluation/evaluation.json")
    assert dataset["lines_read"] == 4_000
    assert evaluation["labelled"] == dataset["lines_validation"] == 800
    assert evaluation["precision"] >= 0.5
    assert evaluation["caught"] >= 0.2
    assert read("encoder.json")

    (summary,) = control.list_training_jobs(NameContains=run_id)["TrainingJobSummaries"]
    job = control.describe_training_job(TrainingJobName=summary["TrainingJobName"])
    assert job["TrainingJobArn"] == steps["Train"]["Metadata"]["TrainingJob"]["Arn"]
    assert job["HyperParameters"] == {
        "feature_dim": str(dataset["feature_dim"]),
        "num_trees": "50",
        "num_samples_per_tree": "256",
    }
    package = control.describe_model_package(ModelPackageName=steps["Register"]["Metadata"]["RegisterModel"]["Arn"])
    (container,) = package["InferenceSpecification"]["Containers"]
    assert container["ModelDataUrl"] == job["ModelArtifacts"]["S3ModelArtifacts"]
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["CustomerMetadataProperties"] == {"run": run_id}


def test_a_model_that_is_not_good_enough_is_not_registered(control: Any, pipeline: str, upload: str) -> None:
    execution, steps = carried_out(control, pipeline, Upload=upload, NumTrees=50, LeastCaught=1.01)
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert "The model of this run is not registered" in execution["FailureReason"]
    assert list(steps) == [*STEPS, "Refuse"]
    assert steps["IsGoodEnough"]["Metadata"] == {"Condition": {"Outcome": "False"}}


def test_an_upload_that_cannot_be_used_ends_at_the_first_step_and_says_why(
    sagemaker: SageMaker, control: Any, pipeline: str
) -> None:
    sagemaker.s3.put_object(Bucket=BUCKET, Key="incoming/bad.csv", Body=b"a,b\n1,2\n")
    execution, steps = carried_out(control, pipeline, Upload=f"s3://{BUCKET}/incoming/bad.csv")
    assert execution["PipelineExecutionStatus"] == steps["Preprocess"]["StepStatus"] == "Failed"
    assert list(steps) == ["Preprocess"]
    run_id = execution["PipelineExecutionArn"].rpartition("/")[2]
    (job,) = control.list_processing_jobs(NameContains=run_id)["ProcessingJobSummaries"]
    assert job["ExitMessage"].startswith("InvalidUploadError: incoming/bad.csv")


def training(prefix: str, **changes: Any) -> dict[str, Any]:
    arguments = {
        "HyperParameters": {
            "feature_dim": "2",
            "num_trees": {"Std:Join": {"On": "", "Values": [{"Get": "Parameters.Trees"}]}},
        },
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "InputDataConfig": [channel("train", prefix)],
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/models/"},
        "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }
    return {"Name": "Train", "Type": "Training", "Arguments": arguments} | changes


def document(*steps: dict[str, Any], **changes: Any) -> str:
    trees = {"Name": "Trees", "Type": "Integer", "DefaultValue": 50}
    parameters = [trees, {"Name": "Needed", "Type": "String", "EnumValues": ["x", "y"]}]
    return json.dumps({"Version": "2020-12-01", "Parameters": parameters, "Steps": list(steps)} | changes)


def create(control: Any, text: str) -> str:
    name = f"pipeline-{uuid.uuid4().hex}"
    control.create_pipeline(PipelineName=name, PipelineDefinition=text, RoleArn=ROLE)
    return name


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Unable to parse pipeline definition"),
        ("[]", "Unable to parse pipeline definition"),
        (document(training("s3://x/y"), Version="2021-01-01"), "Version must be 2020-12-01"),
        (document(training("s3://x/y"), training("s3://x/y")), "step names must be unique"),
        (document(training("s3://x/y", Type="Tuning")), "no steps of type Tuning"),
        (document(training("s3://x/y", DependsOn=["Nobody"])), "the steps Train wait for one another"),
        (document(training({"Get": "Parameters.Prefix"})), "Parameters.Prefix is not defined"),
    ],
)
def test_definitions_that_are_refused(control: Any, text: str, reason: str) -> None:
    with pytest.raises(ClientError, match=reason) as refused:
        create(control, text)
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_parameters_that_are_refused(control: Any) -> None:
    name = create(control, document(training("s3://x/y")))
    for given, reason in (
        ({}, r"Parameter \[Needed\] has no value"),
        ({"Needed": "x", "Trees": "many"}, r"Parameter \[Trees\] is not of type Integer"),
        ({"Needed": "z"}, r"Parameter \[Needed\] is none of x, y"),
        ({"Needed": "x", "Other": "y"}, "Unknown parameter: Other"),
    ):
        with pytest.raises(ClientError, match=reason):
            carried_out(control, name, **given)


def test_steps_run_in_the_order_of_what_they_need_and_a_failed_one_ends_the_execution(
    sagemaker: SageMaker, control: Any, normal_rows: Any
) -> None:
    artifact = {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}
    container = {"PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": artifact}, "ExecutionRoleArn": ROLE}
    model = {"Name": "Model", "Type": "Model", "Arguments": container}
    name = create(control, document(model, training(sagemaker.put(normal_rows))))
    execution, steps = carried_out(control, name, Needed="x")
    assert (execution["PipelineExecutionStatus"], list(steps)) == ("Succeeded", ["Train", "Model"])
    (made,) = control.list_models(NameContains=execution["PipelineExecutionArn"].rpartition("/")[2])["Models"]
    assert made["ModelArn"] == steps["Model"]["Metadata"]["Model"]["Arn"]

    execution, steps = carried_out(control, name, Needed="x", Trees=7)
    assert (execution["PipelineExecutionStatus"], list(steps)) == ("Failed", ["Train"])
    assert "The value '7' is not valid for the 'num_trees' hyperparameter" in steps["Train"]["FailureReason"]


def test_pipelines_are_described_and_deleted(control: Any) -> None:
    text = document(training("s3://x/y"))
    name = create(control, text)
    with pytest.raises(ClientError, match="already exists"):
        control.create_pipeline(PipelineName=name, PipelineDefinition=text, RoleArn=ROLE)
    found = control.describe_pipeline(PipelineName=name)
    assert (found["PipelineDefinition"], found["PipelineStatus"]) == (text, "Active")
    control.delete_pipeline(PipelineName=name)
    with pytest.raises(control.exceptions.ResourceNotFound):
        control.describe_pipeline(PipelineName=name)
    with pytest.raises(control.exceptions.ResourceNotFound):
        control.describe_pipeline_execution(
            PipelineExecutionArn=f"arn:aws:sagemaker:{REGION}:000000000000:pipeline/{name}/execution/x"
        )
