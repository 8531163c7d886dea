import json

import msgspec
import pytest
from botocore.stub import Stubber

from suspicious_lines import training
from suspicious_lines.errors import SettingsError
from suspicious_lines.layout import resource_name
from suspicious_lines.settings import TrainingSettings
from suspicious_lines.train_messages import Training, TrainingRequest
from suspicious_lines.training import image_uri, start_training, training_job

REQUEST = TrainingRequest(
    run="5fd423f0-9d47-447d-ad4a-eddc953dcf86_e70f4f7c-c1ab-4422-b995-bfe2e1a20fc5", feature_dim=24, lines_judged=0
)


@pytest.fixture
def sagemaker(monkeypatch, clients):
    monkeypatch.setattr(training, "client", lambda service: clients.sagemaker)
    with Stubber(clients.sagemaker) as stubber:
        yield stubber


def test_the_job_reads_the_run_and_satisfies_sagemakers_model(sagemaker):
    settings = TrainingSettings.from_environment()
    job = training_job(REQUEST, settings)
    # The stubber validates the request against SageMaker's own service model.
    sagemaker.add_response(
        "create_training_job", {"TrainingJobArn": "arn:aws:sagemaker:us-east-1:0:training-job/x"}, job
    )
    assert start_training(REQUEST, settings) == Training(job_name=job["TrainingJobName"], poll_seconds=20)
    assert job["HyperParameters"] == {"feature_dim": "24", "num_trees": "100", "num_samples_per_tree": "256"}
    assert job["AlgorithmSpecification"]["TrainingImage"].endswith("us-east-1.amazonaws.com/randomcutforest:1")


def test_judged_lines_make_a_test_channel_as_the_algorithm_documents_it(sagemaker):
    settings = TrainingSettings.from_environment()
    job = training_job(msgspec.structs.replace(REQUEST, lines_judged=3), settings)
    train, test = job["InputDataConfig"]
    assert [train] == training_job(REQUEST, settings)["InputDataConfig"]
    assert (test["ChannelName"], test["ContentType"]) == ("test", "text/csv;label_size=1")
    source = test["DataSource"]["S3DataSource"]
    assert source["S3DataDistributionType"] == "FullyReplicated"
    assert source["S3Uri"].endswith(f"/runs/{REQUEST.run}/features/test/")
    assert json.loads(job["HyperParameters"]["eval_metrics"]) == ["accuracy", "precision_recall_fscore"]


@pytest.mark.parametrize(
    ("instance_type", "has_volume"),
    [("ml.m5.large", True), ("ml.c5n.xlarge", True), ("ml.m7i.large", True), ("ml.m5d.large", False)]
    + [(f"ml.{family}.2xlarge", False) for family in ("c5d", "m5dn", "c6gd", "c6id", "r6idn", "m7gd")],
)
def test_output_and_volume_have_the_key_where_the_instance_has_a_volume(instance_type, has_volume):
    settings = msgspec.structs.replace(TrainingSettings.from_environment(), training_instance_type=instance_type)
    job = training_job(REQUEST, settings)
    assert job["OutputDataConfig"]["KmsKeyId"] == settings.data_key_arn
    assert job["ResourceConfig"].get("VolumeKmsKeyId") == (settings.data_key_arn if has_volume else None)


def test_training_is_in_no_network_of_ours_unless_the_stack_has_one():
    settings = TrainingSettings.from_environment()
    assert not {"VpcConfig", "EnableNetworkIsolation"} & set(training_job(REQUEST, settings))
    network = {"training_subnet_ids": "subnet-0a,subnet-0b", "training_group_id": "sg-0c"}
    job = training_job(REQUEST, msgspec.structs.replace(settings, **network))
    assert job["VpcConfig"] == {"Subnets": ["subnet-0a", "subnet-0b"], "SecurityGroupIds": ["sg-0c"]}
    assert job["EnableNetworkIsolation"] is True


def test_a_second_start_finds_the_first(sagemaker):
    sagemaker.add_client_error("create_training_job", "ResourceInUse", "Training job names must be unique")
    settings = TrainingSettings.from_environment()
    assert start_training(REQUEST, settings).job_name == resource_name("suspicious-lines", REQUEST.run)


def test_images_follow_the_region():
    assert image_uri("eu-west-1") == "438346466558.dkr.ecr.eu-west-1.amazonaws.com/randomcutforest:1"
    assert image_uri("cn-north-1").endswith(".dkr.ecr.cn-north-1.amazonaws.com.cn/randomcutforest:1")
    with pytest.raises(SettingsError, match="mx-central-1"):
        image_uri("mx-central-1")


def test_names_fit_sagemaker_and_differ_by_run():
    names = {resource_name("a" * 40, run) for run in (REQUEST.run, REQUEST.run[:-1], "_" * 80, "x")}
    assert len(names) == 4
    assert all(len(name) <= 63 and "_" not in name for name in names)
