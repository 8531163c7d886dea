"""The errors the engine answers with, in AWS's vocabulary."""

from typing import Any


class ApiError(Exception):
    """An error a client sees: `code` is what boto3 calls `Error.Code`, `members` are further members of its body."""

    def __init__(self, code: str, message: str | None, status: int = 400, **members: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.members = members


class DataError(Exception):
    """Rows that the algorithm cannot read; the message says where and why."""


class AlgorithmError(Exception):
    """A training job fails with this text after "ClientError: " as its FailureReason."""


def invalid(message: str) -> ApiError:
    """The control plane's answer to a request that is well-formed and wrong."""
    return ApiError("ValidationException", message)


def model_error(endpoint: str, original_status: int, original_message: str, region: str, account: str) -> ApiError:
    """The runtime's answer when the container refuses (4xx) or fails (5xx or 0: it did not answer in time)."""
    side = "client" if 400 <= original_status < 500 else "server"
    log_group = f"/aws/sagemaker/Endpoints/{endpoint}"
    console = (
        f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#logEventViewer:group={log_group}"
    )
    return ApiError(
        "ModelError",
        f'Received {side} error ({original_status}) from primary with message "{original_message}". '
        f"See {console} in account {account} for more information.",
        424,
        OriginalStatusCode=original_status,
        OriginalMessage=original_message,
        LogStreamArn=f"arn:aws:logs:{region}:{account}:log-group:{log_group}",
    )
