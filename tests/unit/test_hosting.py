from types import SimpleNamespace

import msgspec
import pytest
from botocore.exceptions import ClientError

from frames import BUCKET
from suspicious_lines import deploying, hosting, scaling, store
from suspicious_lines.deploying import deploy_endpoint
from suspicious_lines.errors import EndpointBusyError
from suspicious_lines.hosting import delete_endpoint, settle
from suspicious_lines.layout import resource_name
from suspicious_lines.settings import HostingSettings
from suspicious_lines.train_messages import DeployRequest

NAME = resource_name("suspicious-lines", "run")


class SageMaker:
    """Remembers what exists and answers as SageMaker does."""

    def __init__(self, status="InService"):
        self.existing = {}
        self.status = status
        self.created = []

    def describe_training_job(self, TrainingJobName):
        return {
            "ModelArtifacts": {"S3ModelArtifacts": f"s3://bucket/runs/run/model/{TrainingJobName}/output/model.tar.gz"}
        }

    def describe_endpoint(self, EndpointName):
        return {"EndpointStatus": self.status}

    def __getattr__(self, operation):
        verb, what = operation.split("_", 1)

        def call(**request):
            if verb == "create":
                if what in self.existing:
                    raise self._error(f"Cannot create already existing {what}")
                self.existing[what] = request
                self.created.append(what)
            elif what not in self.existing:
                raise self._error(f"Could not find {what}")
            elif self.status == "Updating" and what == "endpoint":
                raise self._error("Cannot delete in-progress endpoint")
            else:
                del self.existing[what]

        return call

    @staticmethod
    def _error(message):
        return ClientError({"Error": {"Code": "ValidationException", "Message": message}}, "x")


@pytest.fixture
def sagemaker(monkeypatch):
    fake = SageMaker()
    for module in (deploying, hosting):
        monkeypatch.setattr(module, "client", lambda service: fake)
    return fake


def deploy(family=""):
    return deploy_endpoint(DeployRequest(run="run", family=family, job_name="job"), HostingSettings.from_environment())


def test_the_endpoint_serves_the_runs_own_model_serverless(sagemaker):
    assert deploy().endpoint_name == NAME
    assert sagemaker.existing["model"]["PrimaryContainer"]["ModelDataUrl"].endswith("job/output/model.tar.gz")
    (variant,) = sagemaker.existing["endpoint_config"]["ProductionVariants"]
    assert variant["ServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    assert {request.get("EndpointName", NAME) for request in sagemaker.existing.values()} == {NAME}


def test_what_the_endpoint_captures_lies_under_the_run_that_trained_the_model(sagemaker):
    settings = msgspec.structs.replace(HostingSettings.from_environment(), hosting_mode="real-time", capture_percent=9)
    made = deploy_endpoint(DeployRequest(run="approval", job_name="job"), settings)
    assert made.endpoint_name == resource_name("suspicious-lines", "approval", mark="rt")
    captured = sagemaker.existing["endpoint_config"]["DataCaptureConfig"]["DestinationS3Uri"]
    assert captured.endswith("/runs/run/captured")


def test_a_retry_finds_what_it_made(sagemaker):
    assert deploy() == deploy()
    assert sorted(sagemaker.created) == ["endpoint", "endpoint_config", "model"]


@pytest.mark.parametrize("status", ["InService", "Failed"])
def test_an_endpoint_that_has_settled_is_not_waited_for(sagemaker, status):
    deploy()
    sagemaker.status = status
    settle(NAME, seconds=1)


def test_an_endpoint_that_starts_is_waited_for_and_then_it_is_told(sagemaker, monkeypatch):
    monkeypatch.setattr(hosting, "SETTLE_POLL_SECONDS", 0.01)
    deploy()
    for sagemaker.status in ("Creating", "RollingBack"):
        with pytest.raises(EndpointBusyError, match="still changing"):
            settle(NAME, seconds=0.05)


def test_delete_takes_all_three_and_may_be_repeated(sagemaker):
    deploy()
    assert delete_endpoint(NAME) == ["endpoint", "endpoint configuration", "model"]
    assert sagemaker.existing == {}
    assert delete_endpoint(NAME) == []


def test_a_changing_endpoint_is_deleted_later(sagemaker):
    deploy()
    sagemaker.status = "Updating"
    with pytest.raises(EndpointBusyError):
        delete_endpoint(NAME)
    assert set(sagemaker.existing) == {"endpoint", "endpoint_config", "model"}


@pytest.mark.parametrize(
    ("status", "can"),
    [
        *((status, True) for status in ("InService", "Updating", "RollingBack", "UpdateRollbackFailed")),
        *((status, False) for status in ("Creating", "Failed", None)),
    ],
)
def test_only_an_endpoint_that_takes_requests_can_score(sagemaker, monkeypatch, status, can):
    sagemaker.status = status
    if status is None:

        def missing(EndpointName):
            raise sagemaker._error("Could not find endpoint")

        monkeypatch.setattr(sagemaker, "describe_endpoint", missing)
    assert hosting.can_score(NAME) is can


def test_a_model_of_batch_mode_has_no_endpoint_and_can_score_while_it_is_there(sagemaker, monkeypatch):
    monkeypatch.setenv("HOSTING_MODE", "batch")
    made = deploy()
    assert (made.endpoint_name, made.max_concurrency) == (resource_name("suspicious-lines", "run", mark="bt"), 0)
    assert set(sagemaker.existing) == {"model"}
    describe = lambda ModelName: {} if "model" in sagemaker.existing else sagemaker._raise()  # noqa: E731
    monkeypatch.setattr(sagemaker, "describe_model", describe, raising=False)
    monkeypatch.setattr(sagemaker, "_raise", lambda: (_ for _ in ()).throw(sagemaker._error("Could not find")), False)
    assert hosting.can_score(made.endpoint_name)
    settle(made.endpoint_name, seconds=1)
    assert delete_endpoint(made.endpoint_name) == ["model"]
    assert not hosting.exists(made.endpoint_name)


class Shared(SageMaker):
    """The same with things by name, for several models and one endpoint."""

    def __getattr__(self, operation):
        verb, what = operation.split("_", 1)

        def call(**request):
            name = next(
                value for key, value in request.items() if key in ("ModelName", "EndpointConfigName", "EndpointName")
            )
            if what == "endpoint":
                name = request["EndpointName"]
            if verb == "create" and (what, name) in self.existing:
                raise self._error(f"Cannot create already existing {what}")
            if verb == "create":
                self.existing[what, name] = request
            elif (what, name) not in self.existing:
                raise self._error(f"Could not find {what}")
            elif verb == "describe":
                return self.existing[what, name]
            else:
                del self.existing[what, name]
            return None

        return call

    def describe_endpoint(self, EndpointName):
        if ("endpoint", EndpointName) not in self.existing:
            raise self._error("Could not find endpoint")
        return {"EndpointStatus": self.status}


@pytest.fixture
def shared(cloud, monkeypatch):
    """A stack on instances, whose runs of a family share an endpoint; the artifacts are there."""
    monkeypatch.setenv("HOSTING_MODE", "real-time")
    fake = Shared()
    fake.describe_training_job = lambda TrainingJobName: {
        "ModelArtifacts": {"S3ModelArtifacts": f"s3://{BUCKET}/runs/x/model/{TrainingJobName}/output/model.tar.gz"}
    }
    for module in (deploying, hosting):
        monkeypatch.setattr(module, "client", lambda service: fake)
    monkeypatch.setattr(scaling, "client", lambda service: SimpleNamespace(deregister_scalable_target=lambda **_: None))
    store.put(BUCKET, "runs/x/model/job/output/model.tar.gz", b"forest", "application/gzip")
    return fake


def test_a_familys_model_is_a_copy_below_the_prefix_of_the_endpoint_that_all_share(shared):
    made = deploy("claims")
    assert made == deploy("claims"), "a retry finds what it made"
    assert (made.endpoint_name, made.host) == (
        resource_name("suspicious-lines", "run", mark="mm"), hosting.host_of(made.endpoint_name),
    )  # fmt: skip
    assert store.get_bytes(BUCKET, f"multi-model/{made.endpoint_name}.tar.gz") == b"forest"
    own = shared.existing["model", made.endpoint_name]["PrimaryContainer"]
    assert own["ModelDataUrl"].endswith("runs/x/model/job/output/model.tar.gz"), "transform jobs take this one"
    many = shared.existing["model", made.host]["PrimaryContainer"]
    assert (many["Mode"], many["ModelDataUrl"]) == ("MultiModel", f"s3://{BUCKET}/multi-model/")
    (variant,) = shared.existing["endpoint_config", made.host]["ProductionVariants"]
    assert (variant["ModelName"], variant["InstanceType"]) == (made.host, "ml.m5.large")
    assert hosting.exists(made.endpoint_name)
    assert hosting.can_score(made.endpoint_name)
    shared.status = "Creating"
    assert not hosting.can_score(made.endpoint_name)
    settle(made.endpoint_name, seconds=0.05)  # a copy can be deleted at any time


def test_a_familys_model_is_deleted_without_the_endpoint(shared):
    made, plain = deploy("claims"), deploy()
    assert delete_endpoint(made.endpoint_name) == ["model"]
    assert store.keys(BUCKET, "multi-model/") == []
    assert delete_endpoint(made.endpoint_name) == []
    assert not hosting.exists(made.endpoint_name)
    assert hosting.can_score(plain.endpoint_name)
    assert {name for what, name in shared.existing if what == "endpoint"} == {made.host, plain.host}
    assert hosting.delete_failed_host(made.endpoint_name) == []
    shared.status = "Failed"
    assert hosting.delete_failed_host(plain.endpoint_name) == [], "its own, which delete_endpoint deletes"
    assert hosting.delete_failed_host(made.endpoint_name) == ["endpoint", "endpoint configuration", "model"]
