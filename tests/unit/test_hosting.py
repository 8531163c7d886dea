import pytest
from botocore.exceptions import ClientError

from suspicious_lines import deploying, hosting
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


def deploy():
    return deploy_endpoint(DeployRequest(run="run", job_name="job"), HostingSettings.from_environment())


def test_the_endpoint_serves_the_runs_own_model_serverless(sagemaker):
    assert deploy().endpoint_name == NAME
    assert sagemaker.existing["model"]["PrimaryContainer"]["ModelDataUrl"].endswith("job/output/model.tar.gz")
    (variant,) = sagemaker.existing["endpoint_config"]["ProductionVariants"]
    assert variant["ServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    assert {request.get("EndpointName", NAME) for request in sagemaker.existing.values()} == {NAME}


def test_what_the_endpoint_captures_lies_under_the_run_that_trained_the_model(sagemaker):
    settings = HostingSettings.from_environment().model_copy(update={"hosting_mode": "real-time", "capture_percent": 9})
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
