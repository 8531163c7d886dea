"""The pipeline: Preprocess, Train, Model, ScoreValidation and ScorePlanted, Evaluate, IsGoodEnough, then Register or
Refuse.

The jobs are those of the state machine's way for large files, and write the same keys below `runs/<execution's id>/`.
Plain JSON by the schema of version 2020-12-01; the SageMaker SDK has no part in it.
https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html
"""

from dataclasses import dataclass
from typing import Any

from pipelines.expressions import Expression, compare, get, join, json_get, text
from suspicious_lines.batch_preprocessing import IMAGE, VOLUME_GB
from suspicious_lines.batch_transform import MAX_PAYLOAD_MB
from suspicious_lines.training import CSV_WITHOUT_LABEL, image_uri

VERSION = "2020-12-01"
DATA = "/opt/ml/processing"
MESSAGE = "/opt/ml/output/message"
# None of them has a disk that the hardware encrypts, for which SageMaker would refuse the key.
INSTANCE_TYPES = ["ml.m5.large", "ml.m5.xlarge", "ml.m5.2xlarge", "ml.m5.4xlarge"]
RUN = get("Execution.PipelineExecutionId")
# Name, type, default and the allowed values; the defaults are those of the stack's parameters of the same name.
PARAMETERS = [
    ("ProcessingInstanceType", "String", "ml.m5.xlarge", INSTANCE_TYPES),
    ("TrainingInstanceType", "String", "ml.m5.large", INSTANCE_TYPES),
    ("NumTrees", "Integer", 100, None),
    ("NumSamplesPerTree", "Integer", 256, None),
    ("SplitSeed", "Integer", 1, None),
    ("LinesPerPart", "Integer", 5000, None),
    ("ThresholdStrategy", "String", "error-median", ["error-median", "budget", "precision", "f-beta", "sigma"]),
    ("ReviewBudget", "String", "1%", None),
    ("PrecisionFloor", "Float", 0.9, None),
    ("FBeta", "Float", 1.0, None),
    # A model is registered at or above both; precision counts only where lines have labels.
    ("LeastPrecision", "Float", 0.5, None),
    ("LeastCaught", "Float", 0.2, None),
    ("ModelPackageGroupName", "String", "suspicious-lines-pipeline", None),
]


@dataclass(frozen=True)
class Place:
    """Where the pipeline works. `code`: the key of the archive that the processing steps run; `role_arn`: whom all of
    its jobs work as, or None for a parameter without a default."""

    region: str
    bucket: str
    key_arn: str
    code: str
    role_arn: str | None = None

    def uri(self, folder: str) -> Expression:
        """A folder of the run's."""
        return join(f"s3://{self.bucket}/runs/", RUN, f"/{folder}")


def definition(place: Place) -> dict[str, Any]:
    return {
        "Version": VERSION,
        "Metadata": {},
        "Parameters": _parameters(place),
        "Steps": [
            _preprocess(place),
            _train(place),
            _model(place),
            _score(place, "ScoreValidation", "validation"),
            _score(place, "ScorePlanted", "planted"),
            _evaluate(place),
            _is_good_enough(place),
        ],
    }


def _parameters(place: Place) -> list[dict[str, Any]]:
    role = {"Name": "RoleArn", "Type": "String"} | ({"DefaultValue": place.role_arn} if place.role_arn else {})
    chosen = []
    for name, kind, default, allowed in PARAMETERS:
        parameter = {"Name": name, "Type": kind, "DefaultValue": default}
        chosen.append(parameter | ({"EnumValues": allowed} if allowed else {}))
    return [{"Name": "Upload", "Type": "String"}, role, *chosen]


def _preprocess(place: Place) -> dict[str, Any]:
    names = ["SplitSeed", "LinesPerPart"]
    no_store = {"FEATURE_GROUP": "", "TRAIN_ON_STORED_DAYS": "0"}
    environment = {"UPLOAD": get("Parameters.Upload")} | no_store | _environment(names)
    arguments = _processing(place, "preprocess", environment, [], ("dataset", "pipeline/dataset"))
    return {
        "Name": "Preprocess",
        "Type": "Processing",
        "Arguments": arguments,
        "PropertyFiles": [{"PropertyFileName": "Dataset", "OutputName": "dataset", "FilePath": "dataset.json"}],
    }


def _train(place: Place) -> dict[str, Any]:
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri": place.uri("features/train/"),
        "S3DataDistributionType": "ShardedByS3Key",
    }
    arguments = {
        "AlgorithmSpecification": {"TrainingImage": image_uri(place.region), "TrainingInputMode": "File"},
        "RoleArn": get("Parameters.RoleArn"),
        "HyperParameters": {
            "feature_dim": text(json_get("Preprocess", "Dataset", "feature_dim")),
            "num_trees": text(get("Parameters.NumTrees")),
            "num_samples_per_tree": text(get("Parameters.NumSamplesPerTree")),
        },
        "InputDataConfig": [
            {"ChannelName": "train", "ContentType": CSV_WITHOUT_LABEL, "DataSource": {"S3DataSource": source}}
        ],
        "OutputDataConfig": {"S3OutputPath": place.uri("model/"), "KmsKeyId": place.key_arn},
        "ResourceConfig": _instance(place, "TrainingInstanceType", VolumeSizeInGB=10),
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    }
    return {"Name": "Train", "Type": "Training", "Arguments": arguments}


def _model(place: Place) -> dict[str, Any]:
    arguments = {"ExecutionRoleArn": get("Parameters.RoleArn"), "PrimaryContainer": _container(place)}
    return {"Name": "Model", "Type": "Model", "Arguments": arguments}


def _score(place: Place, name: str, kind: str) -> dict[str, Any]:
    """A transform job over the parts of one kind."""
    source = {"S3DataType": "S3Prefix", "S3Uri": place.uri(f"features/{kind}/")}
    arguments = {
        "ModelName": get("Steps.Model.ModelName"),
        "MaxPayloadInMB": MAX_PAYLOAD_MB,
        "BatchStrategy": "MultiRecord",
        "TransformInput": {
            "DataSource": {"S3DataSource": source},
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        "TransformOutput": {
            "S3OutputPath": place.uri(f"transformed/{kind}"),
            "Accept": "application/jsonlines",
            "AssembleWith": "Line",
            "KmsKeyId": place.key_arn,
        },
        "TransformResources": _instance(place, "ProcessingInstanceType"),
    }
    return {"Name": name, "Type": "Transform", "Arguments": arguments}


def _evaluate(place: Place) -> dict[str, Any]:
    inputs = [
        ("dataset", get("Steps.Preprocess.ProcessingOutputConfig.Outputs['dataset'].S3Output.S3Uri")),
        ("validation", get("Steps.ScoreValidation.TransformOutput.S3OutputPath")),
        ("planted", get("Steps.ScorePlanted.TransformOutput.S3OutputPath")),
    ]
    environment = _environment(["ThresholdStrategy", "ReviewBudget", "PrecisionFloor", "FBeta"])
    return {
        "Name": "Evaluate",
        "Type": "Processing",
        "Arguments": _processing(place, "evaluate", environment, inputs, ("evaluation", "pipeline/evaluation")),
        "PropertyFiles": [
            {"PropertyFileName": "Evaluation", "OutputName": "evaluation", "FilePath": "evaluation.json"}
        ],
    }


def _is_good_enough(place: Place) -> dict[str, Any]:
    def figure(name: str) -> Expression:
        return json_get("Evaluate", "Evaluation", name)

    precise = compare("GreaterThanOrEqualTo", figure("precision"), get("Parameters.LeastPrecision"))
    unlabelled = compare("Equals", figure("labelled"), 0)
    caught = compare("GreaterThanOrEqualTo", figure("caught"), get("Parameters.LeastCaught"))
    refusal = join("The model of this run is not registered: see ", place.uri("pipeline/evaluation/evaluation.json"))
    return {
        "Name": "IsGoodEnough",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [{"Type": "Or", "Conditions": [unlabelled, precise]}, caught],
            "IfSteps": [_register(place)],
            "ElseSteps": [{"Name": "Refuse", "Type": "Fail", "Arguments": {"ErrorMessage": refusal}}],
        },
    }


def _register(place: Place) -> dict[str, Any]:
    evaluation = {"ContentType": "application/json", "S3Uri": place.uri("pipeline/evaluation/evaluation.json")}
    arguments = {
        "ModelPackageGroupName": get("Parameters.ModelPackageGroupName"),
        "ModelApprovalStatus": "PendingManualApproval",
        "InferenceSpecification": {
            "Containers": [_container(place)],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["application/json", "application/jsonlines"],
            "SupportedTransformInstanceTypes": INSTANCE_TYPES,
            "SupportedRealtimeInferenceInstanceTypes": INSTANCE_TYPES,
        },
        "ModelMetrics": {"ModelQuality": {"Statistics": evaluation}},
        "CustomerMetadataProperties": {"run": RUN},  # not the upload: metadata take few of the characters of a key
    }
    return {"Name": "Register", "Type": "RegisterModel", "Arguments": arguments}


def _container(place: Place) -> dict[str, Any]:
    return {"Image": image_uri(place.region), "ModelDataUrl": get("Steps.Train.ModelArtifacts.S3ModelArtifacts")}


def _processing(
    place: Place, work: str, environment: dict[str, Any], inputs: list[tuple[str, Expression]], output: tuple[str, str]
) -> dict[str, Any]:
    """A processing job that runs `work` of steps.py. `inputs`: names and URIs; `output`: name and folder of the run."""
    code = f"{DATA}/code/{place.code.rpartition('/')[2]}"
    name, folder = output
    everywhere = {
        "PYTHONPATH": code,
        "AWS_REGION": place.region,
        "AWS_DEFAULT_REGION": place.region,
        "DATA_BUCKET": place.bucket,
        "RUN": RUN,
    }
    return {
        "ProcessingInputs": [_input("code", f"s3://{place.bucket}/{place.code}"), *(_input(*each) for each in inputs)],
        "ProcessingOutputConfig": {
            "KmsKeyId": place.key_arn,
            "Outputs": [
                {
                    "OutputName": name,
                    "S3Output": {
                        "S3Uri": place.uri(folder),
                        "LocalPath": f"{DATA}/{name}",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ],
        },
        "ProcessingResources": {"ClusterConfig": _instance(place, "ProcessingInstanceType", VolumeSizeInGB=VOLUME_GB)},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "AppSpecification": {
            "ImageUri": IMAGE.format(region=place.region),
            "ContainerEntrypoint": ["python3", "-m", "pipelines.steps"],
            "ContainerArguments": [work, DATA, MESSAGE, code],
        },
        "Environment": everywhere | environment,
        "RoleArn": get("Parameters.RoleArn"),
    }


def _input(name: str, uri: str | Expression) -> dict[str, Any]:
    source = {"S3Uri": uri, "LocalPath": f"{DATA}/{name}", "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {"InputName": name, "S3Input": source}


def _environment(names: list[str]) -> dict[str, Expression]:
    """Parameters as the library's settings: `SplitSeed` is SPLIT_SEED."""
    kinds = {name: kind for name, kind, *_ in PARAMETERS}
    values = {name: get(f"Parameters.{name}") for name in names}
    return {
        "".join(f"_{each}" if each.isupper() and place else each for place, each in enumerate(name)).upper(): (
            value if kinds[name] == "String" else text(value)
        )
        for name, value in values.items()
    }


def _instance(place: Place, parameter: str, **more: Any) -> dict[str, Any]:
    return {
        "InstanceType": get(f"Parameters.{parameter}"),
        "InstanceCount": 1,
        "VolumeKmsKeyId": place.key_arn,
        **more,
    }
