"""Clients of an engine as any user would make them, and the shortest way to a job, a model and an endpoint."""

import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
import numpy as np
from botocore.config import Config

REGION = "us-east-1"
ROLE = "arn:aws:iam::000000000000:role/engine-tests"
IMAGE = "382416733822.dkr.ecr.us-east-1.amazonaws.com/randomcutforest:1"
BUCKET = "engine-tests"
# Every answer is the engine's own: neither checked before it is sent nor retried.
PLAIN = Config(retries={"total_max_attempts": 1}, parameter_validation=False, max_pool_connections=20, read_timeout=70)


def client(service: Any, url: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=PLAIN,
    )


def wait_for(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """The first true answer of `condition`, asked every 20 ms."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)
    return answer


def csv_of(rows: np.ndarray) -> bytes:
    return "\n".join(",".join(map(repr, row)) for row in rows.tolist()).encode()


@dataclass
class SageMaker:
    """Both of the engine's clients and the shortest way to a job, a model and an endpoint."""

    url: str
    s3: Any
    control: Any
    runtime: Any

    def put(self, rows: bytes | np.ndarray) -> str:
        """A new S3 prefix that holds `rows` as one CSV."""
        prefix = f"data/{uuid.uuid4().hex}/"
        body = rows if isinstance(rows, bytes) else csv_of(rows)
        self.s3.put_object(Bucket=BUCKET, Key=f"{prefix}part-0.csv", Body=body)
        return f"s3://{BUCKET}/{prefix}"

    def job_request(self, train: str, **changes: Any) -> dict[str, Any]:
        return {
            "TrainingJobName": f"job-{uuid.uuid4().hex}",
            "HyperParameters": {"feature_dim": "2", "num_trees": "50", "num_samples_per_tree": "64"},
            "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            "RoleArn": ROLE,
            "InputDataConfig": [channel("train", train)],
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/models/"},
            "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 10},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        } | changes

    def train(self, train: str, **changes: Any) -> dict[str, Any]:
        """The description of a job that has ended."""
        request = self.job_request(train, **changes)
        self.control.create_training_job(**request)
        return self.ended(request["TrainingJobName"])

    def ended(self, job: str) -> dict[str, Any]:
        def description() -> dict[str, Any] | None:
            found = self.control.describe_training_job(TrainingJobName=job)
            return found if found["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None

        return wait_for(description)

    def model(self, artifact: str) -> str:
        name = f"model-{uuid.uuid4().hex}"
        self.control.create_model(
            ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE, "ModelDataUrl": artifact}
        )
        return name

    def config(self, model: str, concurrency: int = 5, **changes: Any) -> str:
        """A configuration of one serverless variant, which `changes` alter; None removes a member."""
        name = f"config-{uuid.uuid4().hex}"
        serverless = {"MemorySizeInMB": 2048, "MaxConcurrency": concurrency}
        variant = {"VariantName": "AllTraffic", "ModelName": model, "ServerlessConfig": serverless} | changes
        variant = {member: value for member, value in variant.items() if value is not None}
        self.control.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        return name

    def endpoint(self, config: str) -> str:
        """An endpoint that has left Creating."""
        name = f"endpoint-{uuid.uuid4().hex}"
        self.control.create_endpoint(EndpointName=name, EndpointConfigName=config)
        self.settled(name)
        return name

    def settled(self, endpoint: str) -> dict[str, Any]:
        def description() -> dict[str, Any] | None:
            found = self.control.describe_endpoint(EndpointName=endpoint)
            return found if found["EndpointStatus"] not in ("Creating", "Updating", "RollingBack") else None

        return wait_for(description)

    def scores(self, endpoint: str, rows: np.ndarray) -> list[float]:
        answer = self.runtime.invoke_endpoint(EndpointName=endpoint, ContentType="text/csv", Body=csv_of(rows))
        return [each["score"] for each in json.loads(answer["Body"].read())["scores"]]

    def own_path(self, method: str, path: str, body: dict[str, Any] | None = None) -> int:
        """Call one of the engine's own paths; the HTTP status."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data, method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code


def channel(name: str, prefix: str, **changes: Any) -> dict[str, Any]:
    """A channel as RCF wants it; S3DataDistributionType and ContentType can be altered."""
    labels, distribution = (0, "ShardedByS3Key") if name == "train" else (1, "FullyReplicated")
    source = {"S3DataType": "S3Prefix", "S3Uri": prefix, "S3DataDistributionType": distribution}
    source |= {key: changes.pop(key) for key in list(changes) if key in source}
    return {
        "ChannelName": name,
        "ContentType": f"text/csv;label_size={labels}",
        "DataSource": {"S3DataSource": source},
    } | changes


def connect(engine_url: str, s3_url: str) -> SageMaker:
    return SageMaker(
        engine_url, client("s3", s3_url), client("sagemaker", engine_url), client("sagemaker-runtime", engine_url)
    )
