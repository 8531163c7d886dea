"""What each hosting mode asks of SageMaker and Application Auto Scaling, checked against their own service models."""

import boto3
import msgspec
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from suspicious_lines import hosting, scaling
from suspicious_lines.hosting_modes import MODES, host_of, mode_for, mode_of
from suspicious_lines.layout import MARKS, RunFiles, is_resource_name, mark_of, resource_name
from suspicious_lines.settings import HostingSettings, ScalingSettings

PREFIX = "suspicious-lines"
KEY = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555"
TOPICS = {
    "success_topic_arn": "arn:aws:sns:us-east-1:000000000000:suspicious-lines-scored",
    "error_topic_arn": "arn:aws:sns:us-east-1:000000000000:suspicious-lines-not-scored",
}


def settings(**changed) -> HostingSettings:
    return msgspec.structs.replace(HostingSettings.from_environment(), **changed)


def scales(**changed) -> ScalingSettings:
    return msgspec.structs.replace(ScalingSettings.from_environment(), **changed)


def name_in(mode: str) -> str:
    return resource_name(PREFIX, "run", mark=MODES[mode].mark)


def configuration(mode: str, **changed) -> dict:
    """The CreateEndpointConfig request of a mode, which SageMaker's service model must accept."""
    asked, made = settings(hosting_mode=mode, **changed), MODES[mode]
    request = {
        "EndpointConfigName": name_in(mode),
        "ProductionVariants": [{"VariantName": "forest", "ModelName": name_in(mode), **made.variant(asked)}],
        **made.configuration(asked, RunFiles("run")),
    }
    client = boto3.client("sagemaker")
    with Stubber(client) as stubber:
        arn = f"arn:aws:sagemaker:us-east-1:000000000000:endpoint-config/{name_in(mode)}"
        stubber.add_response("create_endpoint_config", {"EndpointConfigArn": arn}, request)
        client.create_endpoint_config(**request)
    return request


def test_each_mode_has_a_name_of_its_own_that_tells_it():
    names = {mode: name_in(mode) for mode in MODES}
    assert len(set(names.values())) == len(MODES) == len(MARKS)
    assert {mode.mark for mode in MODES.values()} == set(MARKS)
    for mode, name in names.items():
        assert (mode_of(name).name, mark_of(name)) == (mode, MODES[mode].mark)
        assert is_resource_name(PREFIX, name)
        assert len(resource_name("a" * 40, "run" * 20, mark=MODES[mode].mark)) <= 63
    assert hosting.hosted_names(PREFIX, "run") == list(names.values())
    assert hosting.hosted_names(PREFIX, "run", ("async", "async")) == [names["async"]]


@pytest.mark.parametrize("digest", ["rt", "rt12345678xx", "zz0123456789", "rt0123456789a", "rt012345678"])
def test_other_names_are_not_ours(digest):
    assert not is_resource_name(PREFIX, f"{PREFIX}-run-{digest}")


def test_serverless_is_as_it_was():
    request = configuration("serverless")
    assert request["ProductionVariants"][0]["ServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    assert set(request) == {"EndpointConfigName", "ProductionVariants"}
    assert MODES["serverless"].scaling(name_in("serverless"), scales()) is None


def test_provisioned_keeps_some_of_the_concurrency_awake_and_scales_to_all_of_it():
    (variant,) = configuration("provisioned", provisioned_concurrency=2)["ProductionVariants"]
    size = {"MemorySizeInMB": 2048, "MaxConcurrency": 5, "ProvisionedConcurrency": 2}
    assert variant["ServerlessConfig"] == size
    found = MODES["provisioned"].scaling("x", scales(provisioned_concurrency=2))
    assert (found.dimension, found.least, found.most) == ("sagemaker:variant:DesiredProvisionedConcurrency", 2, 5)


def test_no_more_is_kept_awake_than_there_may_be():
    (variant,) = configuration("provisioned", provisioned_concurrency=9)["ProductionVariants"]
    assert variant["ServerlessConfig"]["ProvisionedConcurrency"] == 5
    assert MODES["provisioned"].scaling("x", scales(provisioned_concurrency=9)).least == 5


def test_real_time_has_instances_never_fewer_than_one_and_captures_what_is_asked_for():
    request = configuration("real-time", endpoint_instances=2, capture_percent=25)
    (variant,) = request["ProductionVariants"]
    assert (variant["InstanceType"], variant["InitialInstanceCount"]) == ("ml.m5.large", 2)
    captured = request["DataCaptureConfig"]
    assert captured["InitialSamplingPercentage"] == 25
    assert captured["DestinationS3Uri"].endswith("/runs/run/captured")
    assert {option["CaptureMode"] for option in captured["CaptureOptions"]} == {"Input", "Output"}
    assert (captured["KmsKeyId"], request["KmsKeyId"]) == (KEY, KEY)
    assert "DataCaptureConfig" not in configuration("real-time")
    assert "KmsKeyId" not in configuration("real-time", endpoint_instance_type="ml.m5d.large")
    found = MODES["real-time"].scaling("x", scales(endpoint_max_instances=4, invocations_per_instance=90))
    assert (found.dimension, found.least, found.most) == ("sagemaker:variant:DesiredInstanceCount", 1, 4)
    ((kind, policy),) = found.policies.values()
    assert kind == "TargetTrackingScaling"
    assert policy["PredefinedMetricSpecification"] == {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    assert policy["TargetValue"] == 90


def test_async_answers_in_the_runs_folder_tells_two_topics_and_scales_to_none():
    output = configuration("async", **TOPICS)["AsyncInferenceConfig"]["OutputConfig"]
    assert output["S3OutputPath"].endswith("/runs/run/async/answers")
    assert output["S3FailurePath"].endswith("/runs/run/async/failures")
    assert set(output["NotificationConfig"].values()) == set(TOPICS.values())
    found = MODES["async"].scaling("x", scales(endpoint_max_instances=3))
    assert (found.least, found.most) == (0, 3)
    assert {kind for kind, _ in found.policies.values()} == {"TargetTrackingScaling", "StepScaling"}


@pytest.fixture
def autoscaling(monkeypatch):
    """Stubbed clients of Application Auto Scaling and CloudWatch: requests must satisfy the services' models."""
    clients = {name: boto3.client(name) for name in ("application-autoscaling", "cloudwatch")}
    monkeypatch.setattr(scaling, "client", clients.__getitem__)
    stubbers = {name: Stubber(client) for name, client in clients.items()}
    for stubber in stubbers.values():
        stubber.activate()
    yield stubbers
    for stubber in stubbers.values():
        stubber.assert_no_pending_responses()


@pytest.mark.parametrize("mode", [name for name, mode in MODES.items() if not mode.shared])
def test_what_starts_scaling_and_what_stops_it_is_the_same(autoscaling, mode):
    name, applied = name_in(mode), autoscaling["application-autoscaling"]
    found = MODES[mode].scaling(name, scales(provisioned_concurrency=1))
    if found:
        applied.add_response("register_scalable_target", {"ScalableTargetARN": "arn"})
        for policy in found.policies:
            applied.add_response("put_scaling_policy", {"PolicyARN": f"arn:{policy}", "Alarms": []})
        applied.add_response("deregister_scalable_target", {}, {
            "ServiceNamespace": "sagemaker", "ResourceId": f"endpoint/{name}/variant/forest",
            "ScalableDimension": found.dimension,
        })  # fmt: skip
    if mode == "async":
        autoscaling["cloudwatch"].add_response("put_metric_alarm", {})
        autoscaling["cloudwatch"].add_response("delete_alarms", {}, {"AlarmNames": [f"{name}-wake"]})
    scaling.start_scaling(name, scales(provisioned_concurrency=1))
    scaling.stop_scaling(name)


def test_models_that_share_an_endpoint_let_that_one_scale(autoscaling):
    names = [resource_name(PREFIX, run, mark=MODES["multi-model"].mark) for run in ("one", "other")]
    (host,) = {host_of(name) for name in names}
    assert host.startswith(f"{PREFIX}-families-rt")
    assert is_resource_name(PREFIX, host)
    assert (mode_of(host).name, host_of(host)) == ("real-time", host)
    assert host_of(resource_name("other-stack", "one", mark="mm")) != host
    applied = autoscaling["application-autoscaling"]
    target = {
        "ServiceNamespace": "sagemaker", "ResourceId": f"endpoint/{host}/variant/forest",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }  # fmt: skip
    applied.add_response(
        "register_scalable_target", {"ScalableTargetARN": "arn"}, target | {"MinCapacity": 1, "MaxCapacity": 2}
    )
    applied.add_response("put_scaling_policy", {"PolicyARN": "arn", "Alarms": []})
    scaling.start_scaling(names[0], scales())
    scaling.stop_scaling(names[0])  # one of several: the endpoint scales on


def test_only_families_on_instances_share_an_endpoint():
    assert mode_for("real-time", "claims").name == "multi-model"
    assert mode_for("real-time", "").name == "real-time"
    assert {mode_for(mode, "claims").name for mode in ("serverless", "provisioned", "async", "batch")} == {
        "serverless", "provisioned", "async", "batch",
    }  # fmt: skip
    assert "KmsKeyId" in configuration("multi-model", capture_percent=25)
    assert "DataCaptureConfig" not in configuration("multi-model", capture_percent=25)


def test_what_never_scaled_is_stopped_all_the_same(autoscaling):
    autoscaling["application-autoscaling"].add_client_error("deregister_scalable_target", "ObjectNotFoundException")
    scaling.stop_scaling(name_in("real-time"))
    autoscaling["application-autoscaling"].add_client_error("deregister_scalable_target", "ValidationException")
    with pytest.raises(ClientError):
        scaling.stop_scaling(name_in("real-time"))
