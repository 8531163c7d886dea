"""AWS's clients as Lambda needs them, and its errors in our own vocabulary.

They are botocore's: boto3 makes the same ones, and brings into every cold start what only awswrangler uses.
"""

import functools
from collections.abc import Callable
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
)
from botocore.parsers import ResponseParserError

from suspicious_lines.errors import AwsRefusedError, AwsUnavailableError, QuotaExceededError

BUSY_CODES = {
    "ConditionalRequestConflict",
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "InternalServiceError",
    "OperationAborted",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
}
_BROKEN_OFF = (ConnectionError, HTTPClientError, IncompleteReadError, FlexibleChecksumError, ResponseParserError)
# Left to whoever tries the function again: a throttled endpoint, for which Step Functions waits at no cost, and what a
# try whose answer was lost has perhaps done: an e-mail, or a run's end handed to ReportFailure, which two at once might
# tell twice.
_TRIED_ONCE = {"sagemaker-runtime", "sns", "lambda"}
_QUOTA_CODES = {"ResourceLimitExceeded", "LimitExceededException"}


@functools.cache
def client(service: str) -> Any:
    """The process's client for an AWS service: botocore's own retries first, Step Functions' after them.

    The read timeout outlasts the 60 s that SageMaker gives an invocation.
    """
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1 if service in _TRIED_ONCE else 4},
        connect_timeout=5,
        read_timeout=75,
        # For the links in e-mails, which must name the bucket's region to be valid there.
        signature_version="s3v4" if service == "s3" else None,
        s3={"addressing_style": "virtual"},
    )
    return session().create_client(service, config=config)


@functools.cache
def session() -> botocore.session.Session:
    """One for all the clients: it keeps what they read of endpoints and credentials."""
    return botocore.session.get_session()


def error_code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")


def error_message(error: ClientError) -> str:
    """Its message; throttled invocations have none."""
    return error.response.get("Error", {}).get("Message") or ""


def found(describe: Callable[..., dict[str, Any]], **request: str) -> dict[str, Any] | None:
    """What SageMaker describes, or None where there is no such thing; it has no error code of its own for that."""
    try:
        return describe(**request)
    except ClientError as error:
        message = error_message(error).lower()
        if "could not find" in message or "not found" in message:
            return None
        raise


def translate(error: ClientError | BotoCoreError | ResponseParserError) -> Exception:
    """The error of our vocabulary that says whether `error` is worth a retry."""
    if isinstance(error, ClientError):
        code = error_code(error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        text = f"{error.operation_name}: {code}: {error_message(error)}"
        if code in _QUOTA_CODES:
            return QuotaExceededError(text)
        if code in BUSY_CODES or status >= 500 or status == 429:
            return AwsUnavailableError(text)
        return AwsRefusedError(text)
    if isinstance(error, _BROKEN_OFF):
        return AwsUnavailableError(str(error))
    return AwsRefusedError(str(error))
