"""The run's model, endpoint configuration and endpoint: all three have one name, derived from the run and its mode.

What differs from mode to mode is in hosting_modes.py; the modes' own names keep an endpoint from being taken for, or
updated into, one of another mode. What makes them is in deploying.py, which functions that only ask do not import.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

from botocore.exceptions import ClientError

from suspicious_lines.aws import client, error_code, error_message, found
from suspicious_lines.errors import EndpointBusyError
from suspicious_lines.hosting_modes import MODES, mode_of
from suspicious_lines.layout import resource_name
from suspicious_lines.scaling import stop_scaling

SETTLE_POLL_SECONDS = 2
# In these an endpoint is not to be deleted or updated; but for the first it answers, and as well where it is a mix of
# two configurations because a rolling update and its rollback failed.
CHANGING = {"Creating", "Updating", "SystemUpdating", "RollingBack"}
SCORING = {"InService", "Updating", "SystemUpdating", "RollingBack", "UpdateRollbackFailed"}


def hosted_names(prefix: str, run: str, modes: Iterable[str] = MODES) -> list[str]:
    """The names that a run's model has in these modes."""
    return [resource_name(prefix, run, mark=MODES[mode].mark) for mode in dict.fromkeys(modes)]


def exists(name: str) -> bool:
    """Whether there is an endpoint of this name, in whatever state; or a model, of a mode without endpoints."""
    return _described(name) is not None


def can_score(name: str) -> bool:
    """Whether there is an endpoint of this name that takes requests; or a model, of a mode without endpoints."""
    described = _described(name)
    return described is not None and described.get("EndpointStatus", "InService") in SCORING


def _described(name: str) -> dict[str, Any] | None:
    if mode_of(name).endpoint:
        return found(client("sagemaker").describe_endpoint, EndpointName=name)
    return found(client("sagemaker").describe_model, ModelName=name)


def settle(name: str, seconds: float) -> None:
    """Waits until an endpoint can be deleted, if there is one: SageMaker refuses while it is being created or updated.

    Raises:
        EndpointBusyError: it is still changing after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        endpoint = _described(name) if mode_of(name).endpoint else None
        if not endpoint or endpoint["EndpointStatus"] not in CHANGING:
            return
        time.sleep(SETTLE_POLL_SECONDS)
    raise EndpointBusyError(f"{name} is still changing after {seconds:g} seconds")


def delete_endpoint(name: str) -> list[str]:
    """Deletes the endpoint, configuration and model of this name, and ends its scaling; returns which of the three
    there were.

    Raises:
        EndpointBusyError: the endpoint is changing and cannot be deleted yet.
    """
    sagemaker = client("sagemaker")
    endpoint: list[tuple[str, Callable[..., Any], str]] = [
        ("endpoint", sagemaker.delete_endpoint, "EndpointName"),
        ("endpoint configuration", sagemaker.delete_endpoint_config, "EndpointConfigName"),
    ]
    model: tuple[str, Callable[..., Any], str] = ("model", sagemaker.delete_model, "ModelName")
    stop_scaling(name)  # before the endpoint: what scales is named after it
    deleted = []
    for what, delete, parameter in [*(endpoint if mode_of(name).endpoint else []), model]:
        try:
            delete(**{parameter: name})
        except ClientError as error:
            message = error_message(error)
            if "Could not find" in message:
                continue
            if "in-progress" in message or error_code(error) == "ResourceInUse":
                raise EndpointBusyError(f"{name}: {message}") from error
            raise
        deleted.append(what)
    return deleted
