"""The permissions that a call needs, by the Service Authorization Reference."""

import pytest

from local.emulator.calls import MISSING, SIGNED, names_in
from local.emulator.needs import needs

ROLE = "arn:aws:iam::000000000000:role/trainer"
IMAGE = "382416733822.dkr.ecr.us-east-1.amazonaws.com/randomcutforest:1"
JOB = {
    "TrainingJobName": "stack-1",
    "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
    "RoleArn": ROLE,
    "InputDataConfig": [
        {"ChannelName": name, "DataSource": {"S3DataSource": {"S3Uri": f"s3://b/runs/1/features/{name}/"}}}
        for name in ("train", "test")
    ],
    "OutputDataConfig": {"S3OutputPath": "s3://b/runs/1/model/"},
    "Tags": [{"Key": "run", "Value": "1"}],
}
MODEL = {
    "ModelName": "stack-1",
    "PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": "s3://b/runs/1/model/model.tar.gz"},
    "ExecutionRoleArn": ROLE,
}


def needed(service, operation, request, remark=None):
    call = {"service": service, "operation": operation, "names": names_in(request), "remark": remark}
    return needs(call)


@pytest.mark.parametrize(
    ("operation", "request_", "remark", "action", "resource"),
    [
        ("GetObject", {"Bucket": "b", "Key": "k"}, None, "s3:GetObject", "arn:aws:s3:::b/k"),
        ("GetObject", {"Bucket": "b", "Key": "k", "VersionId": "1"}, None, "s3:GetObjectVersion", "arn:aws:s3:::b/k"),
        ("GetObject", {"Bucket": "b", "Key": "k"}, SIGNED, "s3:GetObject", "arn:aws:s3:::b/k"),
        ("GetObject", {"Bucket": "b", "Key": "k"}, MISSING, "s3:ListBucket", "arn:aws:s3:::b"),
        ("HeadObject", {"Bucket": "b", "Key": "k"}, None, "s3:GetObject", "arn:aws:s3:::b/k"),
        ("ListObjectsV2", {"Bucket": "b", "Prefix": "k"}, None, "s3:ListBucket", "arn:aws:s3:::b"),
        ("UploadPart", {"Bucket": "b", "Key": "k"}, None, "s3:PutObject", "arn:aws:s3:::b/k"),
        ("ListObjectVersions", {"Bucket": "b"}, None, "s3:ListBucketVersions", "arn:aws:s3:::b"),
        (
            "DeleteObjects",
            {"Bucket": "b", "Delete": {"Objects": [{"Key": "k"}]}},
            None,
            "s3:DeleteObject",
            "arn:aws:s3:::b/k",
        ),
    ],
)
def test_of_s3(operation, request_, remark, action, resource):
    (need,) = needed("s3", operation, request_, remark)
    assert (need.action, need.resource, need.role) == (action, resource, None)


def test_a_training_job_needs_its_caller_to_tag_it_and_to_pass_the_role():
    own = [need for need in needed("sagemaker", "CreateTrainingJob", JOB) if need.role is None]
    assert [need.action for need in own] == ["sagemaker:CreateTrainingJob", "sagemaker:AddTags", "iam:PassRole"]
    assert own[2].context == (("iam:PassedToService", "sagemaker.amazonaws.com"),)


def test_the_passed_role_reads_each_channel_and_writes_the_model():
    found = {
        (need.action, need.resource) for need in needed("sagemaker", "CreateTrainingJob", JOB) if need.role == ROLE
    }
    assert ("s3:GetObject", "arn:aws:s3:::b/runs/1/features/train/part-00000.csv") in found
    assert ("s3:GetObject", "arn:aws:s3:::b/runs/1/features/test/part-00000.csv") in found
    assert ("s3:PutObject", "arn:aws:s3:::b/runs/1/model/stack-1/output/model.tar.gz") in found
    assert ("ecr:BatchGetImage", "arn:aws:ecr:us-east-1:382416733822:repository/randomcutforest") in found


def test_a_model_is_read_in_the_name_of_its_role():
    found = {(need.action, need.resource, need.role) for need in needed("sagemaker", "CreateModel", MODEL)}
    assert ("s3:GetObject", "arn:aws:s3:::b/runs/1/model/model.tar.gz", ROLE) in found
    assert all(action != "sagemaker:AddTags" for action, _, _ in found)


def test_an_endpoint_needs_its_configuration_as_well():
    found = needed("sagemaker", "CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
    assert [need.resource.rsplit(":", 1)[1] for need in found] == ["endpoint/e", "endpoint-config/c"]


@pytest.mark.parametrize(("service", "operation"), [("s3", "CopyObject"), ("iam", "CreateUser")])
def test_a_call_that_nobody_has_looked_up_is_no_call_without_needs(service, operation):
    with pytest.raises(LookupError):
        needed(service, operation, {"Bucket": "b", "Key": "k"})
