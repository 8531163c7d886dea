"""Training jobs: their life, what they read, what they refuse at once and what makes them fail later."""

import io
import tarfile
import time
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from .clients import BUCKET, IMAGE, SageMaker, channel, csv_of, wait_for

# About a minute of training: time enough to stop it.
LONG = {"feature_dim": "2", "num_trees": "1000", "num_samples_per_tree": "2048"}


@pytest.fixture(scope="module")
def many_rows() -> bytes:
    return csv_of(np.random.default_rng(3).normal(size=(40_000, 2)).round(3))


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return error.value.response["Error"]["Code"]


def artifact_bytes(sagemaker: SageMaker, job: dict[str, Any]) -> bytes:
    key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix(f"s3://{BUCKET}/")
    return sagemaker.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()


def test_a_job_completes_and_leaves_its_artifact_in_s3(sagemaker: SageMaker, normal_rows: np.ndarray) -> None:
    request = sagemaker.job_request(sagemaker.put(normal_rows), Tags=[{"Key": "run", "Value": "7"}])
    arn = sagemaker.control.create_training_job(**request)["TrainingJobArn"]
    name = request["TrainingJobName"]
    assert arn == f"arn:aws:sagemaker:us-east-1:000000000000:training-job/{name}"
    assert sagemaker.control.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "run", "Value": "7"}]

    job = sagemaker.ended(name)
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Completed"
    statuses = [transition["Status"] for transition in job["SecondaryStatusTransitions"]]
    assert statuses == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert job["CreationTime"] <= job["TrainingStartTime"] <= job["TrainingEndTime"] == job["LastModifiedTime"]
    assert job["TrainingTimeInSeconds"] == job["BillableTimeInSeconds"] >= 1
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{BUCKET}/models/{name}/output/model.tar.gz"
    for echoed in ("HyperParameters", "InputDataConfig", "ResourceConfig", "RoleArn", "StoppingCondition"):
        assert job[echoed] == request[echoed]
    with tarfile.open(fileobj=io.BytesIO(artifact_bytes(sagemaker, job))) as archive:
        assert archive.getnames() == ["model_algo-1"]


def test_the_same_data_and_hyperparameters_give_the_same_model(sagemaker: SageMaker, normal_rows: np.ndarray) -> None:
    first, second, other = (
        artifact_bytes(sagemaker, sagemaker.train(sagemaker.put(rows)))
        for rows in (normal_rows, normal_rows, normal_rows[:-1])
    )
    assert first == second
    assert first != other


def test_all_the_objects_under_the_prefix_are_read(sagemaker: SageMaker, normal_rows: np.ndarray) -> None:
    whole = sagemaker.train(sagemaker.put(normal_rows))
    prefix = sagemaker.put(normal_rows[:3000])
    key = prefix.removeprefix(f"s3://{BUCKET}/")
    sagemaker.s3.put_object(Bucket=BUCKET, Key=f"{key}part-1.csv", Body=csv_of(normal_rows[3000:]))
    sagemaker.s3.put_object(Bucket=BUCKET, Key=f"{key}part-2.csv", Body=b"")
    assert artifact_bytes(sagemaker, sagemaker.train(prefix)) == artifact_bytes(sagemaker, whole)


@pytest.mark.parametrize("samples", ["1", "2048"])
def test_the_extremes_of_num_samples_per_tree_train(
    sagemaker: SageMaker, normal_rows: np.ndarray, samples: str
) -> None:
    sizes = {"feature_dim": "2", "num_trees": "50", "num_samples_per_tree": samples}
    job = sagemaker.train(sagemaker.put(normal_rows), HyperParameters=sizes)
    assert job["TrainingJobStatus"] == "Completed"


def test_a_labelled_test_channel_gives_the_f1_of_the_containers_own_cutoff(sagemaker: SageMaker) -> None:
    rows = np.random.default_rng(2).normal(size=(1000, 2))
    rows[:10] += 12
    labelled = np.column_stack([np.arange(1000) < 10, rows])
    train, test = sagemaker.put(rows), sagemaker.put(labelled)
    job = sagemaker.train(train, InputDataConfig=[channel("train", train), channel("test", test)])
    (metric,) = job["FinalMetricDataList"]
    assert metric["MetricName"] == "test:f1"
    assert metric["Value"] > 0.7

    only_accuracy = {"feature_dim": "2", "num_trees": "50", "eval_metrics": '["accuracy"]'}
    channels = [channel("train", train), channel("test", test)]
    assert "FinalMetricDataList" not in sagemaker.train(train, InputDataConfig=channels, HyperParameters=only_accuracy)


@pytest.mark.parametrize(
    ("hyperparameters", "reason"),
    [
        ({}, "No value(s) were specified for 'feature_dim'"),
        ({"feature_dim": "0"}, "The value '0' is not valid for the 'feature_dim' hyperparameter"),
        ({"feature_dim": "10001"}, "'10001' is not valid for the 'feature_dim'"),
        ({"feature_dim": "2.0"}, "'2.0' is not valid for the 'feature_dim'"),
        ({"feature_dim": "2", "num_trees": "49"}, "an integer from 50 to 1000"),
        ({"feature_dim": "2", "num_trees": "1001"}, "an integer from 50 to 1000"),
        ({"feature_dim": "2", "num_samples_per_tree": "0"}, "an integer from 1 to 2048"),
        ({"feature_dim": "2", "num_samples_per_tree": "2049"}, "an integer from 1 to 2048"),
        ({"feature_dim": "2", "eval_metrics": "f1"}, "A JSON list of accuracy and precision_recall_fscore"),
        ({"feature_dim": "2", "num_tree": "50"}, "Additional hyperparameter(s) are not allowed: 'num_tree'"),
        ({"feature_dim": "3"}, "has 2 columns, feature_dim asks for 3"),
    ],
)
def test_bad_hyperparameters_fail_the_job(
    sagemaker: SageMaker, normal_rows: np.ndarray, hyperparameters: dict[str, str], reason: str
) -> None:
    job = sagemaker.train(sagemaker.put(normal_rows[:100]), HyperParameters=hyperparameters)
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: ")
    assert reason in job["FailureReason"]
    assert "ModelArtifacts" not in job


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"minutes,fee\n1,2\n", "line 1 looks like a header row ('minutes' ...)"),
        (b"1,2\n3,\n", "line 2, column 2 is empty"),
        (b"1,2\n3,NaN\n", "line 2, column 2 is 'NaN', which is not a finite number"),
        (b"1,2\ninf,3\n", "line 2, column 1 is 'inf'"),
        (b"1,True\n", "line 1, column 2 is 'True'"),
        (b"1,2\n3,4\nPartner,5\n", "line 3, column 1 is 'Partner'"),
        (b"1,2\n3,4,5\n", "line 2 has 3 columns, the lines before it have 2"),
        (b"\x89PNG\r\n\x1a\n", "Unable to read data channel 'train'"),
        (b"\n\n", "there are no rows"),
    ],
)
def test_bad_data_fails_the_job_and_names_the_place(sagemaker: SageMaker, data: bytes, reason: str) -> None:
    prefix = sagemaker.put(data)
    job = sagemaker.train(prefix)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Unable to read data channel 'train'.")
    assert f"{prefix}part-0.csv" in job["FailureReason"]
    assert reason in job["FailureReason"]


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("train", {"S3DataDistributionType": "FullyReplicated"}, "'FullyReplicated' is not one of ['ShardedByS3Key']"),
        (
            "train",
            {"ContentType": "text/csv"},
            "'text/csv' is not one of ['text/csv;label_size=0', 'application/x-recordio-protobuf']",
        ),
        ("train", {"ContentType": "text/csv;label_size=1"}, "is not one of ['text/csv;label_size=0', "),
        ("train", {"CompressionType": "Gzip"}, "uncompressed S3Prefix and ManifestFile only"),
        ("test", {"S3DataDistributionType": "ShardedByS3Key"}, "'ShardedByS3Key' is not one of ['FullyReplicated']"),
        ("test", {"ContentType": "text/csv;label_size=0"}, "is not one of ['text/csv;label_size=1', "),
        ("test", {}, "has 2 columns, feature_dim asks for 2 after the label column"),
        ("validation", {}, "Additional channel(s) are not allowed: 'validation'"),
    ],
)
def test_bad_channels_fail_the_job(
    sagemaker: SageMaker, normal_rows: np.ndarray, name: str, changes: dict[str, str], reason: str
) -> None:
    prefix = sagemaker.put(normal_rows[:100])
    channels = [channel(name, prefix, **changes)]
    if name != "train":
        channels.append(channel("train", prefix))
    job = sagemaker.train(prefix, InputDataConfig=channels)
    assert job["TrainingJobStatus"] == "Failed"
    assert reason in job["FailureReason"]


def test_labels_other_than_0_and_1_fail_the_job(sagemaker: SageMaker, normal_rows: np.ndarray) -> None:
    train, test = sagemaker.put(normal_rows[:100]), sagemaker.put(b"2,1,1\n")
    job = sagemaker.train(train, InputDataConfig=[channel("train", train), channel("test", test)])
    assert "labels other than 0 and 1" in job["FailureReason"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"TrainingJobName": "has_underscore"}, "Member must satisfy regular expression pattern"),
        ({"RoleArn": "arn:aws:s3:::not-a-role-at-all"}, "at 'roleArn' failed to satisfy constraint"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "greater than or equal to 1"),
        (
            {"ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.huge", "VolumeSizeInGB": 1}},
            "at 'resourceConfig.instanceType' failed to satisfy constraint: Member must satisfy enum value set",
        ),
        (
            {"ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.p3.2xlarge", "VolumeSizeInGB": 1}},
            "does not support GPU instances; ml.p3.2xlarge was requested",
        ),
        (
            {"AlgorithmSpecification": {"TrainingImage": IMAGE.replace("east", "west"), "TrainingInputMode": "File"}},
            "must be in the region us-east-1",
        ),
        (
            {"AlgorithmSpecification": {"TrainingImage": "xgboost:1", "TrainingInputMode": "File"}},
            "built-in image randomcutforest:1 only, not xgboost:1",
        ),
        (
            {
                "AlgorithmSpecification": {
                    "TrainingImage": IMAGE,
                    "TrainingInputMode": "File",
                    "MetricDefinitions": [{"Name": "f1", "Regex": "f1=(.*)"}],
                }
            },
            "You can't override the metric definitions",
        ),
        ({"InputDataConfig": [channel("train", f"s3://{BUCKET}/nothing-here/")]}, "No S3 objects found under S3 URL"),
        ({"InputDataConfig": [channel("train", "s3://no-such-bucket/x")]}, "NoSuchBucket"),
    ],
)
def test_bad_requests_are_refused_at_once(
    sagemaker: SageMaker, normal_rows: np.ndarray, changes: dict[str, Any], reason: str
) -> None:
    request = sagemaker.job_request(sagemaker.put(normal_rows[:10])) | changes
    with pytest.raises(ClientError) as refused:
        sagemaker.control.create_training_job(**request)
    assert code(refused) == "ValidationException"
    assert reason in refused.value.response["Error"]["Message"]
    with pytest.raises(ClientError, match=r"resource not found|1 validation error"):
        sagemaker.control.describe_training_job(TrainingJobName=request["TrainingJobName"])


def test_a_name_is_used_once(sagemaker: SageMaker, normal_rows: np.ndarray) -> None:
    request = sagemaker.job_request(sagemaker.put(normal_rows))
    sagemaker.control.create_training_job(**request)
    with pytest.raises(sagemaker.control.exceptions.ResourceInUse, match="names must be unique"):
        sagemaker.control.create_training_job(**request)
    sagemaker.ended(request["TrainingJobName"])


def test_a_running_job_is_stopped(sagemaker: SageMaker, many_rows: bytes) -> None:
    request = sagemaker.job_request(sagemaker.put(many_rows), HyperParameters=LONG)
    name = request["TrainingJobName"]
    sagemaker.control.create_training_job(**request)
    wait_for(lambda: sagemaker.control.describe_training_job(TrainingJobName=name)["SecondaryStatus"] == "Training")
    sagemaker.control.stop_training_job(TrainingJobName=name)
    job = sagemaker.ended(name)
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Stopped"
    assert [each["Status"] for each in job["SecondaryStatusTransitions"]][-2:] == ["Stopping", "Stopped"]
    assert "ModelArtifacts" not in job
    with pytest.raises(ClientError, match="the training job is in status Stopped"):
        sagemaker.control.stop_training_job(TrainingJobName=name)


def test_a_job_that_is_ordered_to_hang_is_in_progress_until_it_is_stopped(
    sagemaker: SageMaker, normal_rows: np.ndarray
) -> None:
    sagemaker.own_path("POST", "/_faults", {"target": "TrainingJob", "error": "Hanging"})
    request = sagemaker.job_request(sagemaker.put(normal_rows))
    name = request["TrainingJobName"]
    sagemaker.control.create_training_job(**request)
    time.sleep(1)  # another job on so few rows has ended by then
    assert sagemaker.control.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "InProgress"
    sagemaker.control.stop_training_job(TrainingJobName=name)
    assert sagemaker.ended(name)["TrainingJobStatus"] == "Stopped"


def test_a_job_that_runs_too_long_is_ended(sagemaker: SageMaker, many_rows: bytes) -> None:
    limit = {"MaxRuntimeInSeconds": 1}
    job = sagemaker.train(sagemaker.put(many_rows), HyperParameters=LONG, StoppingCondition=limit)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert 1 <= job["TrainingTimeInSeconds"] < 10


def test_unknown_jobs(sagemaker: SageMaker) -> None:
    for call in (sagemaker.control.describe_training_job, sagemaker.control.stop_training_job):
        with pytest.raises(ClientError, match="Requested resource not found") as refused:
            call(TrainingJobName="nobody")
        assert code(refused) == "ValidationException"


def test_more_instances_than_the_account_may_use(sagemaker: SageMaker, normal_rows: np.ndarray) -> None:
    fleet = {"InstanceCount": 21, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
    request = sagemaker.job_request(sagemaker.put(normal_rows), ResourceConfig=fleet)
    with pytest.raises(sagemaker.control.exceptions.ResourceLimitExceeded, match="is 20 Instances"):
        sagemaker.control.create_training_job(**request)


def test_jobs_are_listed_page_by_page(sagemaker: SageMaker, normal_rows: np.ndarray) -> None:
    prefix = sagemaker.put(normal_rows[:100])
    names = [f"paged-{number:02}-{prefix.split('/')[-2]}" for number in range(12)]
    for name in names:
        sagemaker.train(prefix, TrainingJobName=name)
    bad = sagemaker.train(prefix, TrainingJobName=f"bad-{names[0]}", HyperParameters={})

    def listed(**request: Any) -> list[str]:
        pages = sagemaker.control.get_paginator("list_training_jobs").paginate(
            NameContains=prefix.split("/")[-2], **request
        )
        return [job["TrainingJobName"] for page in pages for job in page["TrainingJobSummaries"]]

    assert listed(SortBy="Name") == [bad["TrainingJobName"], *names]
    assert listed(SortBy="CreationTime", SortOrder="Descending", PaginationConfig={"PageSize": 5}) == [
        bad["TrainingJobName"],
        *reversed(names),
    ]
    assert listed(StatusEquals="Failed") == [bad["TrainingJobName"]]
    assert listed(CreationTimeAfter=bad["CreationTime"]) == [bad["TrainingJobName"]]
    assert len(sagemaker.control.list_training_jobs()["TrainingJobSummaries"]) == 10
    with pytest.raises(ClientError, match="Invalid pagination token"):
        sagemaker.control.list_training_jobs(NextToken="nonsense")
    by_name = sagemaker.control.list_training_jobs(SortBy="Name", MaxResults=1)["NextToken"]
    with pytest.raises(ClientError, match="Invalid pagination token"):
        sagemaker.control.list_training_jobs(SortBy="CreationTime", NextToken=by_name)
