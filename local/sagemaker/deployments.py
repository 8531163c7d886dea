"""Blue/green updates: how an endpoint's traffic moves from one fleet to the next, and back when an alarm goes off.

https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-blue-green.html
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from local.sagemaker.errors import invalid

POLL_SECONDS = 0.05
DEFAULT_TIMEOUT = 28_800
LINEAR_PERCENT = range(10, 51)
MOST_PERCENT = 50

# The states of these alarms, by name; those that CloudWatch does not have are left out.
ReadAlarms = Callable[[list[str]], dict[str, str]]


class AlarmWentOffError(Exception):
    """The argument names the alarms."""


def alarm_reader(cloudwatch: Any) -> ReadAlarms:
    """Asks CloudWatch by its client; without one there are no alarms."""

    def read(names: list[str]) -> dict[str, str]:
        if cloudwatch is None:
            return {}
        found = cloudwatch.describe_alarms(AlarmNames=names, AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        alarms = found.get("MetricAlarms", []) + found.get("CompositeAlarms", [])
        return {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms}

    return read


def check(deployment: dict[str, Any], config: dict[str, Any], serverless: bool, read_alarms: ReadAlarms) -> None:
    """Refuse a DeploymentConfig that SageMaker refuses for an update to `config`. Raises ApiError."""
    if serverless:
        raise invalid("DeploymentConfig is not supported for serverless endpoints.")
    if "RollingUpdatePolicy" in deployment:
        raise invalid("The local engine deploys by a BlueGreenUpdatePolicy only.")
    if policy := deployment.get("BlueGreenUpdatePolicy"):
        _check_policy(policy, _instances(config))
    names = alarms_of(deployment)
    if unknown := sorted(set(names) - set(read_alarms(names) if names else {})):
        raise invalid(f"AutoRollbackConfiguration names alarms that do not exist: {', '.join(unknown)}.")


def _check_policy(policy: dict[str, Any], instances: int) -> None:
    routing = policy["TrafficRoutingConfiguration"]
    kind = routing["Type"]
    wanted = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}.get(kind)
    for member in ("CanarySize", "LinearStepSize"):
        if member == wanted and member not in routing:
            raise invalid(f"TrafficRoutingConfiguration of type {kind} needs {member}.")
        if member != wanted and member in routing:
            raise invalid(f"TrafficRoutingConfiguration of type {kind} takes no {member}.")
    if wanted:
        size = routing[wanted]
        if size["Type"] == "INSTANCE_COUNT" and size["Value"] * 2 > instances:
            raise invalid(f"{wanted} of {size['Value']} instances is more than half of the new fleet's {instances}.")
        if size["Type"] == "CAPACITY_PERCENT":
            least = LINEAR_PERCENT[0] if kind == "LINEAR" else 1
            if not least <= size["Value"] <= MOST_PERCENT:
                raise invalid(f"{wanted} must be from {least} to {MOST_PERCENT} percent of the new fleet's capacity.")
    waits = routing["WaitIntervalInSeconds"] + policy.get("TerminationWaitInSeconds", 0)
    if policy.get("MaximumExecutionTimeoutInSeconds", DEFAULT_TIMEOUT) <= waits:
        raise invalid("MaximumExecutionTimeoutInSeconds must be larger than the total waiting time.")


def _instances(config: dict[str, Any]) -> int:
    return sum(variant["InitialInstanceCount"] for variant in config["ProductionVariants"])


def alarms_of(deployment: dict[str, Any]) -> list[str]:
    return [alarm["AlarmName"] for alarm in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])]


def shares(deployment: dict[str, Any], config: dict[str, Any]) -> Iterator[float]:
    """The new fleet's share of the traffic, step by step, up to 1."""
    routing = deployment.get("BlueGreenUpdatePolicy", {}).get("TrafficRoutingConfiguration", {"Type": "ALL_AT_ONCE"})
    size = routing.get("CanarySize") or routing.get("LinearStepSize")
    if size:
        whole = 100 if size["Type"] == "CAPACITY_PERCENT" else _instances(config)
        step = size["Value"]
        places = [step] if routing["Type"] == "CANARY" else range(step, whole, step)
        yield from (place / whole for place in places)
    yield 1.0


def shift(
    deployment: dict[str, Any], config: dict[str, Any], to: Callable[[float], None], read_alarms: ReadAlarms
) -> None:
    """Moves the traffic, waiting between the steps and before the old fleet ends.

    Raises AlarmWentOffError as soon as one of the alarms is in alarm.
    """
    policy = deployment.get("BlueGreenUpdatePolicy", {})
    interval = policy.get("TrafficRoutingConfiguration", {}).get("WaitIntervalInSeconds", 0)
    names = alarms_of(deployment)
    for share in shares(deployment, config):
        to(share)
        _wait(interval if share < 1 else policy.get("TerminationWaitInSeconds", 0), names, read_alarms)


def _wait(seconds: float, names: list[str], read_alarms: ReadAlarms) -> None:
    end = time.monotonic() + seconds
    while True:
        states = read_alarms(names) if names else {}
        if off := sorted(name for name, state in states.items() if state == "ALARM"):
            raise AlarmWentOffError(", ".join(off))
        if (left := end - time.monotonic()) <= 0:
            return
        time.sleep(min(POLL_SECONDS, left))
