"""One logger, tracer and metrics for all the functions, and the way every handler enters."""

import functools
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from msgspec import Struct, ValidationError, convert, to_builtins

from suspicious_lines.aws import translate

logger = Logger()
logging.getLogger("botocore").setLevel(logging.WARNING)
tracer = Tracer(patch_modules=["botocore"])  # by default it looks for all that X-Ray knows, and imports SQLite
metrics = Metrics()

Request = TypeVar("Request", bound=Struct)


def entry_point(
    model: type[Request],
) -> Callable[[Callable[[Request], Struct]], Callable[[dict[str, Any], LambdaContext], dict[str, Any]]]:
    """Makes `request -> answer` a Lambda handler.

    The event is validated against `model`; the run is the correlation id of every log record; what boto3 raises leaves
    as one of our errors, so that the state machine can tell what is worth a retry.
    """

    def decorate(handle: Callable[[Request], Struct]) -> Callable[[dict[str, Any], LambdaContext], dict[str, Any]]:
        @tracer.capture_lambda_handler(capture_response=False)
        @logger.inject_lambda_context(clear_state=True)
        @functools.wraps(handle)
        def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
            request = _request(event, model)
            logger.set_correlation_id(request.run)  # type: ignore[attr-defined]
            try:
                answer = handle(request)
            except (ClientError, BotoCoreError, ResponseParserError) as error:
                translated = translate(error)
                logger.error("AWS call failed", error=type(translated).__name__, detail=str(translated))
                raise translated from error
            except Exception as error:
                # Its name only: a message that is not ours may quote a line.
                logger.error("Failed", error=type(error).__name__)
                raise
            return to_builtins(answer)

        return handler

    return decorate


def _request(event: dict[str, Any], model: type[Request]) -> Request:
    """Raises ValidationError without the event's values, which may come from a file."""
    try:
        return convert(event, model)
    except ValidationError as error:
        told = str(error)
        if not told.startswith(("Expected ", "Object missing ")):
            told = "Invalid value" + "".join(re.findall(r" - at `\$[^`]*`\Z", told))
        raise ValidationError(told) from None


def count(**counts: int) -> None:
    """Writes counts to the function's log as CloudWatch metrics (embedded metric format)."""
    _write(MetricUnit.Count, counts)


def gauge(**values: float | None) -> None:
    """As `count`, for numbers that count nothing: shares, ages, dollars. What is None is not written."""
    _write(MetricUnit.NoUnit, {name: value for name, value in values.items() if value is not None})


def _write(unit: MetricUnit, values: Mapping[str, float]) -> None:
    for name, value in values.items():
        metrics.add_metric(name=name, unit=unit, value=value)
    if values:
        metrics.flush_metrics()
