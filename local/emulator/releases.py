"""Versions and aliases of state machines, as templates make them: an execution runs the version that it was started by.

A gradual deployment is over at once here: no time passes and no alarm goes off.
"""

import contextvars
import json
import random
from typing import Any

from ministack.services import stepfunctions as sfn

Made = tuple[str, dict[str, str]]  # a physical id and the attributes

# The version that the execution which is being started runs: its thread has a copy of the context.
version_arn: contextvars.ContextVar[str] = contextvars.ContextVar("version_arn", default="")


def started(data: dict[str, Any], stock: Any) -> Any:
    """StartExecution: by an alias, one of its versions, as its weights say."""
    arn = data.get("stateMachineArn", "")
    if alias := sfn._state_machine_aliases.get(arn):
        routes = alias["routingConfiguration"]
        (route,) = random.choices(routes, [one["weight"] for one in routes])  # noqa: S311
        arn = route["stateMachineVersionArn"]
    token = version_arn.set(arn if arn in sfn._state_machine_versions else "")
    try:
        return stock(data)
    finally:
        version_arn.reset(token)


def definition_of(machine: dict[str, Any]) -> str:
    """Of the version that this execution was started by, or else the machine's latest."""
    return (sfn._state_machine_versions.get(version_arn.get()) or machine)["definition"]


def _answer(response: tuple[int, Any, bytes]) -> dict[str, Any]:
    status, _, body = response
    if status >= 400:
        raise ValueError(json.loads(body).get("message", body.decode()))
    return json.loads(body)


def _publish(logical_id: str, props: dict[str, Any], stack_name: str) -> Made:
    arn = _answer(sfn._publish_state_machine_version({"stateMachineArn": props["StateMachineArn"]}))
    return arn["stateMachineVersionArn"], {"Arn": arn["stateMachineVersionArn"]}


def _publish_again(physical_id: str, old: dict[str, Any], props: dict[str, Any], stack_name: str) -> Made:
    return (physical_id, {"Arn": physical_id}) if props == old else _publish("", props, stack_name)


def _routing(props: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"stateMachineVersionArn": props["DeploymentPreference"]["StateMachineVersionArn"], "weight": 100}]


def _alias(logical_id: str, props: dict[str, Any], stack_name: str) -> Made:
    made = _answer(sfn._create_state_machine_alias({"name": props["Name"], "routingConfiguration": _routing(props)}))
    return made["stateMachineAliasArn"], {"Arn": made["stateMachineAliasArn"]}


def _shift(physical_id: str, old: dict[str, Any], props: dict[str, Any], stack_name: str) -> Made:
    changed = {"stateMachineAliasArn": physical_id, "routingConfiguration": _routing(props)}
    _answer(sfn._update_state_machine_alias(changed))
    return physical_id, {"Arn": physical_id}


HANDLERS = {
    "AWS::StepFunctions::StateMachineVersion": {
        "create": _publish,
        "update": _publish_again,
        "delete": lambda physical_id, props: sfn._delete_state_machine_version({"stateMachineVersionArn": physical_id}),
    },
    "AWS::StepFunctions::StateMachineAlias": {
        "create": _alias,
        "update": _shift,
        "delete": lambda physical_id, props: sfn._delete_state_machine_alias({"stateMachineAliasArn": physical_id}),
    },
}
