"""Unit tests open no socket; AWS is moto, in the process."""

import importlib.util
import os
import sys
from types import SimpleNamespace

import boto3
import pytest
from hypothesis import settings
from moto import mock_aws
from pytest_socket import disable_socket

from frames import BUCKET, ROOT

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "POWERTOOLS_TRACE_DISABLED": "true",
    "POWERTOOLS_METRICS_NAMESPACE": "SuspiciousLines",
    "POWERTOOLS_SERVICE_NAME": "suspicious-lines",
    "DATA_BUCKET": BUCKET,
    "RESOURCE_PREFIX": "suspicious-lines",
    "CLAIM_TABLE": "claims",
    "DISTRIBUTED_ABOVE_MB": "100",
    "BATCH_ABOVE_MB": "400",
    "BATCH_ROLE_ARN": "arn:aws:iam::000000000000:role/suspicious-lines-batch",
    "BATCH_INSTANCE_TYPE": "ml.m5.xlarge",
    "BATCH_MAX_RUNTIME_SECONDS": "3600",
    "LAYERS": "arn:aws:lambda:us-east-1:000000000000:layer:core:1,arn:aws:lambda:us-east-1:000000000000:layer:data:2",
    "SPLIT_SEED": "1",
    "LINES_PER_PART": "5000",
    "FEATURE_GROUP": "",
    "TRAIN_ON_STORED_DAYS": "0",
    "TRAINING_ROLE_ARN": "arn:aws:iam::000000000000:role/suspicious-lines-sagemaker",
    "TRAINING_INSTANCE_TYPE": "ml.m5.large",
    "TRAINING_MAX_RUNTIME_SECONDS": "3600",
    "DATA_KEY_ARN": "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555",
    "TRAINING_SUBNET_IDS": "",
    "TRAINING_GROUP_ID": "",
    "NUM_TREES": "100",
    "NUM_SAMPLES_PER_TREE": "256",
    "POLL_SECONDS": "20",
    "ENDPOINT_MEMORY_MB": "2048",
    "ENDPOINT_MAX_CONCURRENCY": "5",
    "HOSTING_MODE": "serverless",
    "FORMER_HOSTING_MODE": "serverless",
    "PROVISIONED_CONCURRENCY": "1",
    "ENDPOINT_INSTANCE_TYPE": "ml.m5.large",
    "ENDPOINT_INSTANCES": "1",
    "ENDPOINT_MAX_INSTANCES": "2",
    "INVOCATIONS_PER_INSTANCE": "60",
    "CAPTURE_PERCENT": "0",
    "SUCCESS_TOPIC_ARN": "",
    "ERROR_TOPIC_ARN": "",
    "THRESHOLD_STRATEGY": "error-median",
    "REVIEW_BUDGET": "200",
    "PRECISION_FLOOR": "0.9",
    "F_BETA": "1",
    "RECALIBRATION_VERDICTS": "50",
    "SPREADSHEET_BOM": "false",
    "NOTIFY_BY_FIRM": "false",
    "MODELS_KEPT": "2",
    "REJECTED_PERCENT": "5",
    "PROMOTION_MARGIN": "0.02",
    "PROMOTION_AGREEMENT": "0.5",
    "SCORE_STATE_MACHINE_ARN": "arn:aws:states:us-east-1:000000000000:stateMachine:suspicious-lines-score",
    "TRAIN_STATE_MACHINE_ARN": "arn:aws:states:us-east-1:000000000000:stateMachine:suspicious-lines-train",
    "REVIEW_STATE_MACHINE_ARN": "arn:aws:states:us-east-1:000000000000:stateMachine:suspicious-lines-review",
    "REPORT_FAILURE_FUNCTION_ARN": "arn:aws:lambda:us-east-1:000000000000:function:report-failure",
    "SWEEP_MINUTES": "60",
    "RUN_RETENTION_DAYS": "365",
    "MODEL_PACKAGE_GROUP": "",
    "SWEEP_STATE_MACHINE_ARN": "",
    "MOST_SWEEP_DOLLARS": "1",
    "EXPERIMENT": "suspicious-lines-rcf-anomaly-detection",
    "MLFLOW_TRACKING_URI": "",
    "FAMILIES": "",
    "REVIEWERS_TOPIC_ARN": "arn:aws:sns:us-east-1:000000000000:reviewers",
    "OPERATORS_TOPIC_ARN": "arn:aws:sns:us-east-1:000000000000:operators",
}
# A machine that is busy with other things is not a failure.
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")
# Powertools reads the environment when it is imported, and X-Ray opens its socket.
os.environ.update(ENVIRONMENT)
importlib.import_module("suspicious_lines.observability")


@pytest.fixture(autouse=True)
def _closed_environment(monkeypatch):
    disable_socket(allow_unix_socket=True)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def clients():
    """Made once: botocore reads megabytes for each. Moto answers those made before it starts, too."""
    session = boto3.Session()
    return SimpleNamespace(**{name: session.client(name) for name in ("s3", "dynamodb", "sqs", "sns", "sagemaker")})


@pytest.fixture
def cloud(monkeypatch, clients):
    """moto's S3, DynamoDB, SNS and SageMaker, with what the template creates."""
    monkeypatch.setenv("MOTO_ACCOUNT_ID", "000000000000")
    s3, dynamodb, sqs, sns = clients.s3, clients.dynamodb, clients.sqs, clients.sns
    with mock_aws():
        s3.create_bucket(Bucket=BUCKET)
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        dynamodb.create_table(
            TableName="claims",
            AttributeDefinitions=[{"AttributeName": "upload", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "upload", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        queues = {}
        for topic in ("reviewers", "operators"):
            monkeypatch.setenv(f"{topic.upper()}_TOPIC_ARN", sns.create_topic(Name=topic)["TopicArn"])
            queues[topic] = sqs.create_queue(QueueName=topic)["QueueUrl"]
            arn = sqs.get_queue_attributes(QueueUrl=queues[topic], AttributeNames=["QueueArn"])["Attributes"][
                "QueueArn"
            ]
            sns.subscribe(TopicArn=f"arn:aws:sns:us-east-1:000000000000:{topic}", Protocol="sqs", Endpoint=arn)
        yield SimpleNamespace(s3=s3, dynamodb=dynamodb, sqs=sqs, queues=queues, sagemaker=clients.sagemaker)


@pytest.fixture
def load_handler():
    """Imports functions/<name>/app.py afresh, so that it reads this test's environment, and returns its handler."""

    def load(name):
        spec = importlib.util.spec_from_file_location(f"{name}_app", ROOT / "functions" / name / "app.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module.handler

    return load


@pytest.fixture
def context():
    return SimpleNamespace(
        function_name="test",
        memory_limit_in_mb=256,
        invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:test",
        aws_request_id="00000000-0000-0000-0000-000000000000",
    )
