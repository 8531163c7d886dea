"""The run's model, endpoint configuration and endpoint: all three have one name, derived from the run and its mode.
Where models share an endpoint, the model alone is the run's, with a copy of its artifact.

What differs from mode to mode is in hosting_modes.py; the modes' own names keep an endpoint from being taken for, or
updated into, one of another mode. What makes them is in deploying.py, which functions that only ask do not import.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from suspicious_lines import store
from suspicious_lines.aws import client, error_code, error_message, found
from suspicious_lines.errors import EndpointBusyError
from suspicious_lines.hosting_modes import MODES, host_of, mode_of
from suspicious_lines.layout import SHARED_PREFIX, resource_name, shared_artifact
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
    """Whether there is an endpoint of this name, in whatever state; or a model, of a mode without endpoints of their
    own."""
    return _described(name) is not None


def can_score(name: str) -> bool:
    """Whether there is an endpoint of this name that takes requests; or a model, of a mode without endpoints of their
    own, and the endpoint that it shares takes requests."""
    described = _described(name)
    if described is not None and mode_of(name).shared:
        described = _described(host_of(name))
    return described is not None and described.get("EndpointStatus", "InService") in SCORING


def _described(name: str) -> dict[str, Any] | None:
    if _has_endpoint(name):
        return found(client("sagemaker").describe_endpoint, EndpointName=name)
    return found(client("sagemaker").describe_model, ModelName=name)


def _has_endpoint(name: str) -> bool:
    """Whether there would be an endpoint of this name."""
    mode = mode_of(name)
    return mode.endpoint and not mode.shared


def settle(name: str, seconds: float) -> None:
    """Waits until an endpoint can be deleted, if there is one: SageMaker refuses while it is being created or updated.

    Raises:
        EndpointBusyError: it is still changing after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        endpoint = _described(name) if _has_endpoint(name) else None
        if not endpoint or endpoint["EndpointStatus"] not in CHANGING:
            return
        time.sleep(SETTLE_POLL_SECONDS)
    raise EndpointBusyError(f"{name} is still changing after {seconds:g} seconds")


def delete_endpoint(name: str) -> list[str]:
    """Deletes the endpoint, configuration and model of this name, and ends its scaling; returns which of the three
    there were. Where its model shares an endpoint, the copy of the artifact goes first.

    Raises:
        EndpointBusyError: the endpoint is changing and cannot be deleted yet.
    """
    sagemaker = client("sagemaker")
    endpoint: list[tuple[str, Callable[..., Any], str]] = [
        ("endpoint", sagemaker.delete_endpoint, "EndpointName"),
        ("endpoint configuration", sagemaker.delete_endpoint_config, "EndpointConfigName"),
    ]
    model: tuple[str, Callable[..., Any], str] = ("model", sagemaker.delete_model, "ModelName")
    if mode_of(name).shared and (made := _described(name)):
        bucket = urlsplit(made["PrimaryContainer"]["ModelDataUrl"]).netloc
        store.delete(bucket, SHARED_PREFIX + shared_artifact(name))
    stop_scaling(name)  # before the endpoint: what scales is named after it
    deleted = []
    for what, delete, parameter in [*(endpoint if _has_endpoint(name) else []), model]:
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


def delete_failed_host(name: str) -> list[str]:
    """Deletes the endpoint that a model of this name would share, where it could not start: it serves nobody, and the
    next run makes it anew. Returns and raises as `delete_endpoint`."""
    host = host_of(name)
    endpoint = _described(host) if host != name else None
    return delete_endpoint(host) if endpoint and endpoint["EndpointStatus"] == "Failed" else []
