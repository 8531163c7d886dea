"""A second forest on the live model's real-time endpoint: split, shadowed, or moved to step by step.

Usage: variants.py ACTION [--config dev|prod], where ACTION is
  train --trees N --samples N   trains another forest on the live run's features, and prints its job
  split --job JOB --weight W    gives it W percent of the requests         weights --weight W   changes that
  shadow --job JOB              gives it a copy of each request            report               compares the answers
  shift [--job JOB] --type canary|linear|all-at-once --size PERCENT --wait SECONDS [--alarm NAME ...]
  alone                         leaves the one variant of the live model, and deletes what the others left

The variants of an endpoint are asked with the same features, so that both forests must have been trained on those of
one run. For models of two runs on serverless endpoints there is trial.py. docs/deployment-strategies.md says more.
"""

import argparse
import json
import re
import sys
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from captures import compare, records
from deployed import Stack, add_stack_options, find_stack
from msgspec.structs import asdict

from suspicious_lines.layout import LIVE_MODEL_KEY, RunFiles, resource_name
from suspicious_lines.ranking import Reference

CHALLENGER = "challenger"
POLL_SECONDS = 1.0
KEPT = ("DataCaptureConfig", "KmsKeyId", "ExecutionRoleArn", "VpcConfig", "EnableNetworkIsolation")
Variant = dict[str, Any]


class Live:
    """The live model's endpoint, as SageMaker and models/current.json have it."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.bucket = stack, stack.output("DataBucketName")
        self.s3, self.sagemaker = stack.client("s3"), stack.client("sagemaker")
        self.document, self._etag = self._read()
        self.run, self.name = self.document["run"], self.document["endpoint_name"]
        self.prefix = re.sub(r"-[a-z0-9]{0,8}-[a-z0-9]{12}$", "", self.name)
        used = self.sagemaker.describe_endpoint(EndpointName=self.name)["EndpointConfigName"]
        self.config = self.sagemaker.describe_endpoint_config(EndpointConfigName=used)
        self.production = self.config["ProductionVariants"][0]
        if "ServerlessConfig" in self.production:
            raise RuntimeError(f"{self.name} is serverless and has no variants: see make trial")
        if "AsyncInferenceConfig" in self.config:
            raise RuntimeError(f"{self.name} is asynchronous and has one variant only")

    def _read(self) -> tuple[dict[str, Any], str]:
        found = self.s3.get_object(Bucket=self.bucket, Key=LIVE_MODEL_KEY)
        return json.loads(found["Body"].read()), found["ETag"]

    def job(self, name: str) -> dict[str, Any]:
        """A training job that read the live run's features. Raises RuntimeError for any other."""
        job = self.sagemaker.describe_training_job(TrainingJobName=name)
        trained = job["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"]
        if trained != f"s3://{self.bucket}/{RunFiles(self.run).train_features}":
            raise RuntimeError(f"{name} was trained on {trained}: variants must share the live run's features")
        if job["TrainingJobStatus"] != "Completed":
            raise RuntimeError(f"{name} is {job['TrainingJobStatus']}")
        return job

    def model(self, job_name: str) -> str:
        """The name of the model of a job, which is made where it is not there."""
        job, name = self.job(job_name), resource_name(self.prefix, self.run, job_name)
        self.note(name)
        like = self.sagemaker.describe_model(ModelName=self.production["ModelName"])
        container = {
            "Image": like["PrimaryContainer"]["Image"],
            "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"],
        }
        try:
            role = like["ExecutionRoleArn"]
            self.sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=role)
        except ClientError as error:
            if "already exist" not in str(error):
                raise
        return name

    def note(self, *names: str, forget: bool = False) -> None:
        """Keeps DeleteOrphans from what is beside the endpoint, or lets it go; on condition, as all writes are."""
        self.document, self._etag = self._read()
        if self.document["run"] != self.run:
            raise RuntimeError(f"the model of run {self.document['run']} went live meanwhile: begin again")
        before = [name for name in self.document.get("beside", []) if name not in names]
        self.document["beside"] = before if forget else [*before, *names]
        body = json.dumps(self.document, indent=2) + "\n"
        self.s3.put_object(Bucket=self.bucket, Key=LIVE_MODEL_KEY, Body=body, IfMatch=self._etag)

    def change(self, variants: list[Variant], deployment: dict[str, Any] | None = None, **members: Any) -> None:
        """Updates the endpoint to a configuration of these variants, and waits.

        Raises:
            RuntimeError: the update was rolled back.
        """
        name = resource_name(self.prefix, self.run, f"config at {time.time()}")
        self.note(name)
        # As the endpoint was deployed: a capture for a shadow ends with it.
        first = self.sagemaker.describe_endpoint_config(EndpointConfigName=self.name)
        kept = {member: first[member] for member in KEPT if member in first}
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants, **kept | members)
        more = {"DeploymentConfig": deployment} if deployment else {}
        self.sagemaker.update_endpoint(EndpointName=self.name, EndpointConfigName=name, **more)
        self.settled()
        ended = self.sagemaker.describe_endpoint(EndpointName=self.name)
        if ended["EndpointConfigName"] != name:
            raise RuntimeError(f"the update was rolled back: {ended.get('FailureReason', 'SageMaker gives no reason')}")

    def settled(self) -> None:
        while self.sagemaker.describe_endpoint(EndpointName=self.name)["EndpointStatus"] not in ("InService", "Failed"):
            time.sleep(POLL_SECONDS)


def train(live: Live, options: argparse.Namespace) -> list[str]:
    like = live.sagemaker.describe_training_job(TrainingJobName=resource_name(live.prefix, live.run))
    sizes = {"num_trees": str(options.trees), "num_samples_per_tree": str(options.samples)}
    name = resource_name(live.prefix, live.run, f"{options.trees} trees of {options.samples}")
    members = ("RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition", "VpcConfig")
    request = {member: like[member] for member in members if member in like}
    image = {name: like["AlgorithmSpecification"][name] for name in ("TrainingImage", "TrainingInputMode")}
    live.sagemaker.create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification=image,
        HyperParameters=like["HyperParameters"] | sizes,
        InputDataConfig=like["InputDataConfig"][:1],
        **request,
    )
    while (job := live.sagemaker.describe_training_job(TrainingJobName=name))["TrainingJobStatus"] == "InProgress":
        time.sleep(POLL_SECONDS)
    return [f"{name} is {job['TrainingJobStatus']}"]


def split(live: Live, options: argparse.Namespace) -> list[str]:
    both = [
        live.production | {"InitialVariantWeight": 100 - options.weight},
        live.production
        | {"VariantName": CHALLENGER, "ModelName": live.model(options.job), "InitialVariantWeight": options.weight},
    ]
    live.change(both)
    return [f"{options.weight} % of the requests are answered by the forest of {options.job}"]


def weights(live: Live, options: argparse.Namespace) -> list[str]:
    names = [variant["VariantName"] for variant in live.config["ProductionVariants"]]
    if CHALLENGER not in names:
        raise RuntimeError("the endpoint has one variant: begin with split")
    shares = {live.production["VariantName"]: 100 - options.weight, CHALLENGER: options.weight}
    wanted = [{"VariantName": name, "DesiredWeight": shares[name]} for name in names]
    live.sagemaker.update_endpoint_weights_and_capacities(EndpointName=live.name, DesiredWeightsAndCapacities=wanted)
    live.settled()
    return [f"{options.weight} % of the requests are answered by the challenger"]


def shadow(live: Live, options: argparse.Namespace) -> list[str]:
    other = live.production | {"VariantName": CHALLENGER, "ModelName": live.model(options.job)}
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{live.bucket}/{RunFiles(live.run).captured}",
        "KmsKeyId": live.stack.output("DataKeyArn"),
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
    }
    live.change([live.production], ShadowProductionVariants=[other], DataCaptureConfig=capture)
    return [f"the forest of {options.job} gets a copy of each request; what both answer is captured"]


def report(live: Live, options: argparse.Namespace) -> list[str]:
    import io

    import pandas as pd

    files = RunFiles(live.run)
    if "ShadowProductionVariants" not in live.config:
        raise RuntimeError("the endpoint has no shadow variant: begin with shadow")
    since = live.config["CreationTime"].replace(microsecond=0)  # what is older may be another forest's

    def captured(variant: str) -> list[dict[str, Any]]:
        place = f"{files.captured}/{live.name}/{variant}/"
        pages = live.s3.get_paginator("list_objects_v2").paginate(Bucket=live.bucket, Prefix=place)
        objects = [found for page in pages for found in page.get("Contents", [])]
        keys = [found["Key"] for found in objects if found["LastModified"] >= since]
        return records(live.s3.get_object(Bucket=live.bucket, Key=key)["Body"].read() for key in keys)

    past = live.s3.get_object(Bucket=live.bucket, Key=files.result("scored_lines.parquet"))["Body"].read()
    reference = Reference.of(pd.read_parquet(io.BytesIO(past))["model_score"].to_numpy(), {}, [])
    names = live.production["VariantName"], CHALLENGER
    found, requests = compare(*map(captured, names), reference, live.document["threshold"])
    if not requests:
        raise RuntimeError("nothing was captured of both yet: SageMaker writes it within minutes")
    told = {name: value for name, value in asdict(found).items() if name != "differences"}
    return [f"{requests} requests", *(f"{name:18}{value}" for name, value in told.items())]


def shift(live: Live, options: argparse.Namespace) -> list[str]:
    kind = options.type.upper().replace("-", "_")
    size = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}.get(kind)
    routing = {"Type": kind, "WaitIntervalInSeconds": options.wait}
    if size:
        routing[size] = {"Type": "CAPACITY_PERCENT", "Value": options.size}
    policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": options.wait}
    deployment: dict[str, Any] = {"BlueGreenUpdatePolicy": policy}
    if options.alarm:
        deployment["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": name} for name in options.alarm]}
    model = {"ModelName": live.model(options.job)} if options.job else {}
    live.change([live.production | model], deployment)
    return [f"{live.name} has moved, {options.type}"]


def alone(live: Live, options: argparse.Namespace) -> list[str]:
    if len(live.config["ProductionVariants"]) > 1 or "ShadowProductionVariants" in live.config:
        live.change([live.production])
    used = live.sagemaker.describe_endpoint(EndpointName=live.name)["EndpointConfigName"]
    gone = [name for name in live.document.get("beside", []) if name not in (used, live.production["ModelName"])]
    deletes = (
        (live.sagemaker.delete_endpoint_config, "EndpointConfigName"),
        (live.sagemaker.delete_model, "ModelName"),
    )
    for name in gone:
        for delete, member in deletes:
            try:
                delete(**{member: name})
            except ClientError as error:  # a name is that of one of the two
                if "Could not find" not in str(error):
                    raise
    live.note(*gone, forget=True)
    return [f"{live.name} has the one variant {live.production['VariantName']}"]


ACTIONS = {each.__name__: each for each in (train, split, weights, shadow, report, shift, alone)}


def main() -> int:
    options = _parser().parse_args()
    try:
        stack = find_stack(options.config, options.home)
        print(f"{options.action}: {stack.where}", flush=True)
        print("\n".join(ACTIONS[options.action](Live(stack), options)))
    except (BotoCoreError, ClientError, RuntimeError) as error:
        print(f"variants: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="variants.py", description=(__doc__ or "").splitlines()[0])
    actions = parser.add_subparsers(dest="action", required=True)
    each = {name: actions.add_parser(name) for name in ACTIONS}
    for name in ("split", "shadow", "shift"):
        each[name].add_argument(
            "--job", required=name != "shift", default="", help="whose forest is beside the live one"
        )
    for name in ("split", "weights"):
        each[name].add_argument("--weight", type=int, choices=range(101), metavar="0..100", required=True)
    each["train"].add_argument("--trees", type=int, required=True)
    each["train"].add_argument("--samples", type=int, required=True)
    each["shift"].add_argument("--type", choices=["canary", "linear", "all-at-once"], default="canary")
    each["shift"].add_argument("--size", type=int, default=10, help="percent of the capacity in a step")
    each["shift"].add_argument(
        "--wait", type=int, default=300, help="seconds between steps, and before the old fleet ends"
    )
    each["shift"].add_argument("--alarm", action="append", default=[], help="rolls the update back when it goes off")
    for action in each.values():
        add_stack_options(action)
    return parser


if __name__ == "__main__":
    sys.exit(main())
