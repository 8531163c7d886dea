import json
import sys

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, IncompleteReadError, NoCredentialsError
from botocore.parsers import ResponseParserError
from pydantic import ValidationError

from suspicious_lines.errors import AwsRefusedError, AwsUnavailableError, QuotaExceededError
from suspicious_lines.observability import count, entry_point, logger
from suspicious_lines.train_messages import DeployRequest


def client_error(code, status=400):
    response = {"Error": {"Code": code, "Message": "told"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "Operation")


@pytest.mark.parametrize(
    ("raised", "leaves"),
    [
        (client_error("ThrottlingException"), AwsUnavailableError),
        (client_error("Whatever", 503), AwsUnavailableError),
        (client_error("SlowDown", 503), AwsUnavailableError),
        (ConnectTimeoutError(endpoint_url="https://x"), AwsUnavailableError),
        (ResponseParserError("cut off"), AwsUnavailableError),
        (IncompleteReadError(actual_bytes=1, expected_bytes=2), AwsUnavailableError),
        (client_error("ResourceLimitExceeded"), QuotaExceededError),
        (client_error("AccessDenied", 403), AwsRefusedError),
        (NoCredentialsError(), AwsRefusedError),
    ],
)
def test_aws_errors_leave_under_the_names_the_state_machine_knows(context, raised, leaves):
    @entry_point(DeployRequest)
    def handler(request):
        raise raised

    with pytest.raises(leaves) as left:
        handler({"run": "run", "job_name": "job"}, context)
    assert type(left.value) is leaves


def test_every_record_carries_the_run(context, capsys, monkeypatch):
    monkeypatch.setattr(logger.registered_handler, "stream", sys.stdout)

    @entry_point(DeployRequest)
    def handler(request):
        logger.info("Working")
        count(LinesRead=7)
        return request

    assert handler({"run": "run-7", "job_name": "job"}, context) == {
        "run": "run-7",
        "family": "",
        "job_name": "job",
    }
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["correlation_id"] for record in records if "message" in record] == ["run-7"]
    assert [record["LinesRead"] for record in records if "_aws" in record] == [[7.0]]


def test_a_refused_event_does_not_show_its_values(context):
    @entry_point(DeployRequest)
    def handler(request):
        return request

    with pytest.raises(ValidationError) as refused:
        handler({"run": "a/b", "job_name": "secret-value"}, context)
    assert "a/b" not in str(refused.value)


def test_a_failure_leaves_a_record_with_the_run_and_without_its_message(context, capsys, monkeypatch):
    monkeypatch.setattr(logger.registered_handler, "stream", sys.stdout)

    @entry_point(DeployRequest)
    def handler(request):
        raise ValueError("a line of the file")

    with pytest.raises(ValueError, match="a line"):
        handler({"run": "run-8", "job_name": "job"}, context)
    (record,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (record["correlation_id"], record["error"]) == ("run-8", "ValueError")
    assert "a line of the file" not in json.dumps(record)
