import json
import sys
import traceback

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, IncompleteReadError, NoCredentialsError
from botocore.parsers import ResponseParserError
from msgspec import ValidationError

from suspicious_lines.errors import AwsRefusedError, AwsUnavailableError, QuotaExceededError
from suspicious_lines.messages import FailureReport
from suspicious_lines.observability import count, entry_point, logger
from suspicious_lines.suppressing import Suppressions
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


ENDED = {"name": "run", "executionArn": "arn", "status": "FAILED", "startDate": 1_767_311_999_999}


@pytest.mark.parametrize(
    ("model", "event", "told"),
    [
        (DeployRequest, {"run": "a/secret", "job_name": "job"}, "Expected `str` matching regex"),
        (FailureReport, ENDED | {"status": "a secret - at `$.secret`"}, "Invalid value - at `$.status`"),
        (FailureReport, ENDED | {"startDate": "secret"}, "Invalid value - at `$.startDate`"),
        (FailureReport, ENDED | {"error": ["secret"]}, "Expected `str | null`, got `array` - at `$.error`"),
        (Suppressions, {"suppressions": [], "secret": ""}, "Invalid value"),
        (DeployRequest, {"run": "run", "secret": ""}, "Object missing required field `job_name`"),
    ],
)
def test_a_refused_event_names_its_fault_without_its_values(context, capsys, model, event, told):
    handler = entry_point(model)(lambda request: request)
    with pytest.raises(ValidationError) as refused:
        handler(event, context)
    assert type(refused.value).__name__ == "ValidationError"  # which operators and documents know it by
    assert str(refused.value).startswith(told)
    assert "secret" not in "".join(traceback.format_exception(refused.value))
    assert "secret" not in "".join(capsys.readouterr())


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
