"""What Task states call: Lambda functions, and any AWS API through boto3 with Step Functions' naming.

boto3 honours AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_<SERVICE>, so that SageMaker's calls reach the local engine.
"""

import contextvars
import functools
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from botocore.response import StreamingBody
from ministack import app
from ministack.services import lambda_svc
from ministack.services import stepfunctions as sfn

from .. import authority, calls
from .paths import StateError

# Step Functions names services as the AWS SDK for Java 2 does: (boto3's name, the prefix of error names).
_SERVICES = {
    "cloudwatch": ("cloudwatch", "CloudWatch"),
    "cloudwatchlogs": ("logs", "CloudWatchLogs"),
    "dynamodb": ("dynamodb", "DynamoDb"),
    "eventbridge": ("events", "EventBridge"),
    "lambda": ("lambda", "Lambda"),
    "s3": ("s3", "S3"),
    "sagemaker": ("sagemaker", "SageMaker"),
    "sagemakerruntime": ("sagemaker-runtime", "SageMakerRuntime"),
    "secretsmanager": ("secretsmanager", "SecretsManager"),
    "sfn": ("stepfunctions", "Sfn"),
    "sns": ("sns", "Sns"),
    "sqs": ("sqs", "Sqs"),
    "ssm": ("ssm", "Ssm"),
}


# How Step Functions names what keeps it from a function or from its answer, by the kinds of calls.KINDS.
_LAMBDA_FAULTS = {
    "throttle": "Lambda.TooManyRequestsException",
    "server-error": "Lambda.ServiceException",
    "denied": "Lambda.AWSLambdaException",
    "reset": "Lambda.SdkClientException",
    "timeout": "Lambda.SdkClientException",
    "truncated": "Lambda.SdkClientException",
    "crash": "Runtime.ExitError",
}


@dataclass(frozen=True)
class Machine:
    """The state machine that calls: its name and its role's ARN."""

    name: str
    role: str


_NOBODY = Machine("", "")
# Set by Task states; what ministack runs by itself (JSONata machines) leaves it unset.
machine: contextvars.ContextVar[Machine] = contextvars.ContextVar("machine", default=_NOBODY)


def call_lambda(function: str, event: Any) -> Any:
    """Invoke a function. A failed one raises its error's type; the cause is its answer, as JSON."""
    names = {"FunctionName": function.partition(":function:")[2] or function}  # with an alias, where it has one
    if app.AUTH and machine.get().role:
        key = authority.credentials(machine.get().role, machine.get().name)["AWS_ACCESS_KEY_ID"]
        if denied := authority.denial(key, {"service": "lambda", "operation": "Invoke", "names": names}):
            raise StateError("Lambda.AWSLambdaException", denied)
    recorded = calls.installed()
    if recorded is None:
        return _invoke(function, event)
    kind = recorded.meet(calls.STATES, "lambda", "Invoke", names, machine.get().name)
    answer = None if kind in ("throttle", "server-error", "denied", "reset") else _invoke(function, event)
    if kind == "slow":
        time.sleep(calls.SLOW_SECONDS)
    elif kind in _LAMBDA_FAULTS:
        raise StateError(_LAMBDA_FAULTS[kind], json.dumps({"errorMessage": "injected"}))
    return answer


def _invoke(function: str, event: Any) -> Any:
    func, config, name = lambda_svc._get_func_record_for_ref(function)
    if not func or not config:
        raise StateError("Lambda.ResourceNotFoundException", f"Function not found: {name}")
    record = lambda_svc._execution_record_for_config(func, config)
    result = lambda_svc._execute_function_with_config_scope(record, event)
    body = result.get("body")
    if result.get("throttle"):
        raise StateError("Lambda.TooManyRequestsException", body["message"])
    if result.get("error"):
        raise StateError(body.get("errorType") or "Lambda.Unknown", json.dumps(body))
    return json.loads(body) if isinstance(body, bytes) else body


def call_sdk(resource: str, parameters: Any) -> Any:
    """arn:aws:states:::aws-sdk:<service>:<action>"""
    *_, service, action = resource.split(":")
    if service not in _SERVICES:
        raise StateError("States.Runtime", f"The embedded AWS does not know the service of {resource}")
    name, prefix = _SERVICES[service]
    return _call(name, prefix, f"{prefix}Exception", action, parameters)


def call_sagemaker(resource: str, parameters: Any) -> Any:
    """arn:aws:states:::sagemaker:<action>, the optimised integration, without .sync."""
    action = resource.rsplit(":", 1)[1]
    if "." in action:
        raise StateError(
            "States.Runtime", f"The embedded AWS has no .sync: {resource}. Wait, describe and choose instead."
        )
    return _call("sagemaker", "SageMaker", "AmazonSageMakerException", action, parameters)


@functools.cache
def _client(service: str, caller: Machine) -> Any:
    # The state machine's own Retry is what retries; a call of a built-in algorithm may take 60 seconds.
    own = authority.credentials(caller.role, caller.name) if app.AUTH and caller.role else {}
    create: Any = boto3.client  # a name that is not known beforehand has no typed client
    return create(
        service,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=70),
        **{name.lower(): value for name, value in own.items()},
    )


def _call(service: str, prefix: str, base_error: str, action: str, parameters: Any) -> Any:
    client = _client(service, machine.get())
    model = client.meta.service_model
    operation = action[0].upper() + action[1:]
    if operation not in model.operation_names:
        raise StateError("States.Runtime", f"The action {action} does not exist for {prefix}")
    shape = model.operation_model(operation)
    method = next(key for key, value in client.meta.method_to_api_mapping.items() if value == operation)
    try:
        result = getattr(client, method)(**(_request(parameters, shape.input_shape) if shape.input_shape else {}))
    except ParamValidationError as error:
        raise StateError("States.Runtime", str(error)) from error
    except ClientError as error:
        raise StateError(*_failure(error, model, prefix, base_error)) from error
    except BotoCoreError as error:
        raise StateError(f"{prefix}.SdkClientException", str(error)) from error
    result.pop("ResponseMetadata", None)
    return _response(result, shape.output_shape) if shape.output_shape else {}


def _failure(error: ClientError, model: Any, prefix: str, base_error: str) -> tuple[str, str]:
    """A modelled error by its own name, any other by the SDK's base class (ThrottlingException, for one)."""
    answer, metadata = error.response["Error"], error.response["ResponseMetadata"]
    code = answer["Code"]
    modelled = next((shape for shape in model.error_shapes if code in (shape.name, shape.error_code)), None)
    name = base_error
    if modelled is not None:
        name = modelled.name.removesuffix("Fault")
        name = name if name.endswith("Exception") else f"{name}Exception"
    status, request = metadata.get("HTTPStatusCode"), metadata.get("RequestId")
    cause = f"{answer.get('Message', '')} (Service: {prefix}, Status Code: {status}, Request ID: {request})"
    return f"{prefix}.{name}", cause


def _request(value: Any, shape: Any) -> Any:
    """Parameters in Step Functions' spelling (Arn, Kms) to boto3's."""
    if shape.type_name == "structure" and isinstance(value, dict):
        names = {sfn._api_name_to_sfn_key(name): name for name in shape.members}
        known = {key: names.get(key, key) for key in value}
        return {
            name: _request(value[key], shape.members[name]) if name in shape.members else value[key]
            for key, name in known.items()
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [_request(item, shape.member) for item in value]
    if shape.type_name == "map" and isinstance(value, dict):
        return {key: _request(item, shape.value) for key, item in value.items()}
    if shape.type_name == "blob" and not isinstance(value, str):
        return json.dumps(value)
    return value


def _response(value: Any, shape: Any) -> Any:
    """boto3's result in Step Functions' spelling: PascalCase keys, ISO timestamps, text instead of bytes."""
    if shape.type_name == "structure" and isinstance(value, dict):
        return {
            sfn._api_name_to_sfn_key(key): _response(item, shape.members[key])
            for key, item in value.items()
            if key in shape.members
        }
    if shape.type_name == "list":
        return [_response(item, shape.member) for item in value]
    if shape.type_name == "map":
        return {key: _response(item, shape.value) for key, item in value.items()}
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, StreamingBody):
        value = value.read()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
