"""The Task state: calls what its Resource names and records it as Step Functions does."""

import json
from typing import Any

from ministack.core.responses import get_region, new_uuid
from ministack.services import stepfunctions as sfn

from . import integrations
from .execution import Scope
from .paths import StateError, insert, resolve, select, template
from .retry import attempts


def run(state: dict[str, Any], data: Any, scope: Scope, ctx: dict[str, Any]) -> tuple[Any, str | None]:
    def attempt() -> Any:
        chosen = select(state.get("InputPath", "$"), data, ctx, "InputPath")
        if ".waitForTaskToken" in state["Resource"]:
            ctx["Task"] = {"Token": new_uuid()}
        parameters = template(state["Parameters"], chosen, ctx) if "Parameters" in state else chosen
        result = _call(state, parameters, chosen, scope, ctx)
        if "ResultSelector" in state:
            result = template(state["ResultSelector"], result, ctx)
        output = insert(state.get("ResultPath", "$"), data, result)
        return select(state.get("OutputPath", "$"), output, ctx, "OutputPath")

    return attempts(state, data, scope, ctx, attempt)


def _call(state: dict[str, Any], parameters: Any, chosen: Any, scope: Scope, ctx: dict[str, Any]) -> Any:
    resource = state["Resource"]
    timeout = state.get("TimeoutSeconds")
    if "TimeoutSecondsPath" in state:
        timeout = resolve(state["TimeoutSecondsPath"], chosen, ctx, "TimeoutSecondsPath")
    history = _History(scope, resource, parameters, timeout)
    history.scheduled()
    try:
        integrations.machine.set(integrations.Machine(ctx["StateMachine"]["Name"], ctx["Execution"]["RoleArn"]))
        if ".waitForTaskToken" in resource:
            token = ctx["Task"]["Token"]
            result = scope.call(lambda: sfn._invoke_with_callback(resource, parameters, token, state), timeout)
        else:
            result = scope.call(lambda: sfn._invoke_resource(resource, parameters), timeout)
    except TimeoutError:
        history.timed_out()
        raise StateError("States.Timeout", "") from None
    except StateError as error:
        history.failed(error)
        raise
    history.succeeded(result)
    return result


class _History:
    """The events of one call, named for the kind of resource: a function's own ARN or an integration."""

    def __init__(self, scope: Scope, resource: str, parameters: Any, timeout: float | None) -> None:
        self._scope = scope
        self._resource = resource
        self._parameters = parameters
        self._timeout = {} if timeout is None else {"timeoutInSeconds": int(timeout)}
        self._lambda = resource.startswith("arn:aws:lambda:")
        *_, kind, action = resource.rsplit(":", 2)
        self._names = {"resourceType": f"aws-sdk:{kind}" if ":aws-sdk:" in resource else kind, "resource": action}

    def _event(self, kind: str, **details: Any) -> None:
        family, names = ("LambdaFunction", {}) if self._lambda else ("Task", self._names)
        key = f"{family[0].lower()}{family[1:]}{kind}EventDetails"
        self._scope.event(f"{family}{kind}", **({key: {**names, **details}} if names or details else {}))

    def scheduled(self) -> None:
        if self._lambda:
            self._event("Scheduled", resource=self._resource, input=json.dumps(self._parameters), **self._timeout)
        else:
            self._event("Scheduled", region=get_region(), parameters=json.dumps(self._parameters), **self._timeout)
        self._event("Started")

    def succeeded(self, result: Any) -> None:
        self._event("Succeeded", output=json.dumps(result), outputDetails={"truncated": False})

    def failed(self, error: StateError) -> None:
        self._event("Failed", error=error.error, cause=error.cause)

    def timed_out(self) -> None:
        self._event("TimedOut", error="States.Timeout")
