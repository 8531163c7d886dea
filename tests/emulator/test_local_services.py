"""S3's events and conditional writes, e-mails, and the stack, as the product uses them."""

import email
import email.policy
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from local.cloud import STACK as STACK_NAME
from local.emulator.deploy import DeployError, deploy

STACK = Path(__file__).parent / "stack" / "template.yaml"


def recordings(cloud, key):
    """What the machine started by an upload was given."""
    s3, bucket = cloud.client("s3"), cloud.outputs["DataBucketName"]
    items = s3.list_objects_v2(Bucket=bucket, Prefix="recorded/").get("Contents", [])
    events = [json.loads(s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()) for item in items]
    return [event for event in events if event["upload"]["object"]["key"] == key]


def test_an_upload_starts_the_machine_with_the_objects_version(cloud, eventually):
    key = f"incoming/a b+c%20{uuid.uuid4().hex}.csv"
    put = cloud.client("s3").put_object(Bucket=cloud.outputs["DataBucketName"], Key=key, Body=b"a,b\n")
    [event] = eventually(lambda: recordings(cloud, key))
    upload = event["upload"]
    assert upload["bucket"]["name"] == cloud.outputs["DataBucketName"]
    assert upload["object"]["version-id"] == put["VersionId"]
    assert upload["object"]["etag"] == put["ETag"].strip('"')
    assert upload["object"]["size"] == 4
    assert int(upload["object"]["sequencer"], 16) > 0
    assert upload["reason"] == "PutObject"
    event_id, other = event["run"].split("_")
    assert uuid.UUID(event_id)
    assert uuid.UUID(other)
    assert event["label"] == f"run {event['run']}"


def test_other_uploads_start_nothing(cloud):
    sfn = cloud.client("stepfunctions")
    before = len(sfn.list_executions(stateMachineArn=cloud.outputs["OnUploadStateMachineArn"])["executions"])
    cloud.client("s3").put_object(Bucket=cloud.outputs["DataBucketName"], Key="elsewhere/x.csv", Body=b"x")
    time.sleep(0.3)
    assert len(sfn.list_executions(stateMachineArn=cloud.outputs["OnUploadStateMachineArn"])["executions"]) == before


def test_conditional_writes(cloud):
    s3, bucket = cloud.client("s3"), cloud.outputs["DataBucketName"]

    def put(**condition):
        return s3.put_object(Bucket=bucket, Key="models/current.json", Body=uuid.uuid4().bytes, **condition)["ETag"]

    def refusal(**condition):
        with pytest.raises(ClientError) as refused:
            put(**condition)
        return refused.value.response["Error"]["Code"]

    assert refusal(IfMatch='"0"') == "NoSuchKey"
    first = put(IfNoneMatch="*")
    assert refusal(IfNoneMatch="*") == "PreconditionFailed"
    second = put(IfMatch=first)
    assert second != first
    assert refusal(IfMatch=first) == "PreconditionFailed"


@pytest.mark.parametrize("size", [20, 9_000_000], ids=["one put", "multipart"])
def test_the_aws_cli_uploads(cloud, tmp_path, eventually, size):
    file = tmp_path / f"{uuid.uuid4().hex}.csv"
    file.write_bytes(os.urandom(size))
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_DEFAULT_REGION": "us-east-1"}
    environment |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    target = f"s3://{cloud.outputs['DataBucketName']}/incoming/"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "awscli",
            "s3",
            "cp",
            str(file),
            target,
            "--endpoint-url",
            cloud.endpoint_url,
            "--only-show-errors",
        ],
        env=environment,
        check=True,
    )
    key = f"incoming/{file.name}"
    [event] = eventually(lambda: recordings(cloud, key))
    assert event["upload"]["object"]["size"] == size
    assert event["upload"]["object"]["version-id"]
    stored = cloud.client("s3").get_object(Bucket=cloud.outputs["DataBucketName"], Key=key)["Body"].read()
    assert stored == file.read_bytes()


def test_emails_reach_the_outbox(cloud):
    subject, text = "12 of 400 lines to query, 1,234.50 € at stake", "Größe ≥ 3\n.\nFrom here on\n" + "long " * 100
    answer = cloud.client("sns").publish(TopicArn=cloud.outputs["Topic"], Subject=subject, Message=text)
    files = [path for path in sorted(cloud.outbox.glob("*.eml")) if answer["MessageId"][:8] in path.name]
    messages = [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in files]
    assert {message["To"] for message in messages} == {"reviewer@example.com", "operator@example.com"}
    for message in messages:
        assert message["Subject"] == subject
        assert message["From"]
        assert message["Message-ID"]
        assert abs(message["Date"].datetime.timestamp() - time.time()) < 60
        assert message["Content-Transfer-Encoding"] == "quoted-printable"
        assert message.get_content().replace("\r\n", "\n").rstrip("\n") == text.rstrip("\n")
    assert all(len(line) < 999 for line in files[0].read_bytes().splitlines())
    assert not list(cloud.outbox.glob(".*"))


@pytest.mark.parametrize("subject", ["x" * 100, "two\nlines"], ids=["long", "line break"])
def test_a_subject_that_sns_refuses(cloud, subject):
    with pytest.raises(ClientError) as refused:
        cloud.client("sns").publish(TopicArn=cloud.outputs["Topic"], Subject=subject, Message="m")
    assert refused.value.response["Error"]["Code"] == "InvalidParameter"


def test_emails_sort_by_time(cloud):
    for number in range(3):
        cloud.client("sns").publish(TopicArn=cloud.outputs["Topic"], Message=f"number {number}")
    texts = [path.read_text() for path in sorted(cloud.outbox.glob("*.eml"))[-6:]]
    assert [text.rstrip()[-1] for text in texts] == ["0", "0", "1", "1", "2", "2"]


def test_the_stack_is_updated_in_place(cloud, invoke):
    clients = cloud.client("s3"), cloud.client("cloudformation")
    before, _ = invoke({"do": "environment"})
    outputs = deploy(STACK, STACK_NAME, {"Label": "second"}, *clients)
    assert outputs == cloud.outputs
    after, _ = invoke({"do": "environment"})
    assert (before["LABEL"], after["LABEL"]) == ("first", "second")
    assert deploy(STACK, STACK_NAME, {"Label": "second"}, *clients) == outputs, "nothing to update is no failure"


def test_new_code_is_deployed(cloud, tmp_path):
    clients = cloud.client("s3"), cloud.client("cloudformation")
    folder = shutil.copytree(STACK.parent, tmp_path / "stack")
    code = folder / "functions" / "record" / "app.py"
    code.write_text("def handler(event, context):\n    return VERSION\nVERSION = 1\n")
    (folder / "template.yaml").write_text(
        "Transform: AWS::Serverless-2016-10-31\nResources:\n  F:\n    Type: AWS::Serverless::Function\n"
        "    Properties: {CodeUri: functions/record, Handler: app.handler, Runtime: python3.13}\n"
        "Outputs: {Name: {Value: !Ref F}}\n"
    )

    def version():
        name = deploy(folder / "template.yaml", "other", {}, *clients)["Name"]
        return json.loads(cloud.client("lambda").invoke(FunctionName=name)["Payload"].read())

    assert version() == 1
    code.write_text(code.read_text().replace("VERSION = 1", "VERSION = 2"))
    assert version() == 2


def test_a_nested_stack_runs(cloud):
    sfn, machine = cloud.client("stepfunctions"), cloud.outputs["NestedStateMachineArn"]
    assert machine.endswith("stateMachine:suspicious-lines-nested")
    arn = sfn.start_execution(stateMachineArn=machine, input=json.dumps({"do": "environment"}))["executionArn"]
    deadline = time.monotonic() + 20
    while (found := sfn.describe_execution(executionArn=arn))["status"] == "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert json.loads(found["output"])["LABEL"] == "nested"
    environment = json.loads((cloud.outbox.parent / "env.json").read_text())
    assert environment["NestedActFunction"]["LABEL"] == "nested"
    tables = cloud.client("glue").get_tables(DatabaseName="nested")["TableList"]
    assert [table["Name"] for table in tables] == ["lines"]


def test_a_failing_nested_stack_says_why(cloud, tmp_path):
    (tmp_path / "child.yaml").write_text(
        "Transform: AWS::Serverless-2016-10-31\nResources:\n  Machine:\n    Type: AWS::StepFunctions::StateMachine\n"
        "    Properties:\n      RoleArn: arn:aws:iam::000000000000:role/r\n"
        "      DefinitionS3Location: {Bucket: nowhere, Key: nothing}\n"
    )
    template = tmp_path / "template.yaml"
    template.write_text(
        "Transform: AWS::Serverless-2016-10-31\nResources:\n  Child:\n    Type: AWS::Serverless::Application\n"
        "    Properties: {Location: child.yaml}\n"
    )
    with pytest.raises(DeployError, match=r"(?s)AWS::CloudFormation::Stack Child:.*nowhere"):
        deploy(template, "failing-parent", {}, cloud.client("s3"), cloud.client("cloudformation"))


def test_a_failing_stack_says_why(cloud, tmp_path):
    template = tmp_path / "template.yaml"
    template.write_text(
        "Resources:\n  Machine:\n    Type: AWS::StepFunctions::StateMachine\n    Properties:\n"
        "      RoleArn: arn:aws:iam::000000000000:role/r\n"
        "      DefinitionS3Location: {Bucket: nowhere, Key: nothing}\n"
    )
    with pytest.raises(DeployError, match=r"(?s)failing.*AWS::StepFunctions::StateMachine Machine:.*nowhere"):
        deploy(template, "failing", {}, cloud.client("s3"), cloud.client("cloudformation"))
    template.write_text("Resources:\n  Thing: {Type: AWS::Nothing::Thing}\n")
    with pytest.raises(DeployError, match="Unrecognized resource types"):
        deploy(template, "refused", {}, cloud.client("s3"), cloud.client("cloudformation"))
