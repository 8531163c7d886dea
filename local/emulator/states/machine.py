"""Runs the states of a machine and writes the history that GetExecutionHistory shows."""

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

from ministack.core.responses import now_iso
from ministack.services import stepfunctions as sfn

from ..releases import definition_of
from . import choice, map_state, parallel_state, task_state
from .execution import Execution, Halted, Scope
from .paths import StateError, as_state_error, expression, insert, resolve, select, template

_PAYLOAD_LIMIT = 262_144  # bytes, of a state's input or output
_running: dict[str, Execution] = {}
_logger = logging.getLogger("states")

Output = tuple[Any, str | None]  # and the name of the next state


def run_execution(stock: Callable[[str], None], prepare: Callable[[str], None], arn: str) -> None:
    """Run an execution to its end, on the thread that ministack started for it."""
    record = sfn._executions.get(arn)
    machine = sfn._state_machines.get(record["stateMachineArn"]) if record else None
    if record is None or machine is None:
        return
    text = definition_of(machine)
    definition = json.loads(text)
    if definition.get("QueryLanguage") == "JSONata":
        stock(arn)
        return
    prepare(text)
    execution = Execution(record)
    _running[arn] = execution
    timer = _limit(execution, definition.get("TimeoutSeconds"))
    context = {
        "Execution": {
            "Id": arn,
            "Input": json.loads(record["input"]),
            "Name": record["name"],
            "RoleArn": machine["roleArn"],
            "StartTime": record["startDate"],
            "RedriveCount": 0,
        },
        "StateMachine": {"Id": record["stateMachineArn"], "Name": machine["name"]},
    }
    try:
        output = json.dumps(
            run_states(
                definition["States"], definition["StartAt"], context["Execution"]["Input"], execution.root, context
            )
        )
        execution.finish(
            "SUCCEEDED", "ExecutionSucceeded", {"executionSucceededEventDetails": {"output": output}}, output=output
        )
    except Halted:
        pass
    except Exception as error:
        if not isinstance(error, StateError):
            _logger.exception("execution %s", arn)
        failure = as_state_error(error)
        details = {"error": failure.error, "cause": failure.cause}
        execution.finish("FAILED", "ExecutionFailed", {"executionFailedEventDetails": details}, **details)
    finally:
        _running.pop(arn, None)
        if timer:
            timer.cancel()


def _limit(execution: Execution, seconds: int | None) -> threading.Timer | None:
    """The machine's own TimeoutSeconds."""
    if seconds is None:
        return None
    arguments: tuple[str, str, dict] = ("TIMED_OUT", "ExecutionTimedOut", {"executionTimedOutEventDetails": {}})
    timer = threading.Timer(seconds, execution.finish, arguments)
    timer.daemon = True
    timer.start()
    return timer


def stop_execution(stock: Callable[[dict], tuple], data: dict[str, Any]) -> tuple:
    """StopExecution: ministack marks the record and tells EventBridge; what is under way here ends as well."""
    execution = _running.get(data.get("executionArn", ""))
    if execution is None:
        return stock(data)
    with execution.lock:
        answer = stock(data)
    execution.root.halt()
    return answer


def run_sub_machine(states: dict, start_at: str, data: Any, record: dict[str, Any], ctx: dict[str, Any]) -> Any:
    """One child execution of a Distributed Map, whose bookkeeping is ministack's; it is stopped with its parent."""
    child = Execution(record).root
    if parent := _running.get(ctx["Execution"]["Id"]):
        parent.root.adopt(child)
    return run_states(states, start_at, data, child, ctx)


def run_states(states: dict[str, Any], start_at: str, data: Any, scope: Scope, ctx: dict[str, Any]) -> Any:
    """Run from a state to the end of its line of control and return the last output."""
    name: str | None = start_at
    while name is not None:
        state = states[name]
        ctx["State"] = {"Name": name, "EnteredTime": now_iso(), "RetryCount": 0}
        entered = {"name": name, "input": _checked(name, data), "inputDetails": {"truncated": False}}
        number = scope.event(f"{state['Type']}StateEntered", stateEnteredEventDetails=entered)
        try:
            output, following = _HANDLERS[state["Type"]](state, data, scope, ctx)
            exited = {"name": name, "output": _checked(name, output), "outputDetails": {"truncated": False}}
        except StateError as error:
            if error.error != "States.Runtime":
                raise
            where = f"An error occurred while executing the state '{name}' (entered at the event id #{number}). "
            raise StateError("States.Runtime", where + error.cause) from error
        scope.event(f"{state['Type']}StateExited", stateExitedEventDetails=exited)
        data, name = output, following
    return data


def _checked(name: str, data: Any) -> str:
    text = json.dumps(data)
    if len(text) > _PAYLOAD_LIMIT and len(json.dumps(data, ensure_ascii=False).encode()) > _PAYLOAD_LIMIT:
        cause = f"The state/task '{name}' returned a result with a size exceeding the maximum number of bytes"
        cause += " service limit."
        raise StateError("States.DataLimitExceeded", cause)
    return text


def _following(state: dict[str, Any]) -> str | None:
    return None if state.get("End") else state["Next"]


def _pass(state: dict[str, Any], data: Any, scope: Scope, ctx: dict[str, Any]) -> Output:
    chosen = template(state["Parameters"], *_input(state, data, ctx)) if "Parameters" in state else None
    result = state["Result"] if "Result" in state else chosen if chosen is not None else _input(state, data, ctx)[0]
    output = insert(state.get("ResultPath", "$"), data, result)
    return select(state.get("OutputPath", "$"), output, ctx, "OutputPath"), _following(state)


def _input(state: dict[str, Any], data: Any, ctx: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return select(state.get("InputPath", "$"), data, ctx, "InputPath"), ctx


def _choice(state: dict[str, Any], data: Any, scope: Scope, ctx: dict[str, Any]) -> Output:
    chosen, _ = _input(state, data, ctx)
    following = next((rule["Next"] for rule in state["Choices"] if choice.matches(rule, chosen, ctx)), None)
    following = following or state.get("Default")
    if following is None:
        raise StateError("States.NoChoiceMatched", "No choice rule matched and the state has no Default")
    return select(state.get("OutputPath", "$"), chosen, ctx, "OutputPath"), following


def _wait(state: dict[str, Any], data: Any, scope: Scope, ctx: dict[str, Any]) -> Output:
    chosen, _ = _input(state, data, ctx)
    if "Seconds" in state or "SecondsPath" in state:
        seconds = state.get("Seconds")
        if seconds is None:
            seconds = resolve(state["SecondsPath"], chosen, ctx, "SecondsPath")
        if not sfn._is_num(seconds) or seconds < 0 or seconds != int(seconds):
            raise StateError(
                "States.Runtime", f"The SecondsPath parameter does not reference a positive integer: {seconds}"
            )
        scope.sleep(seconds)
    else:
        stamp = state.get("Timestamp") or resolve(state["TimestampPath"], chosen, ctx, "TimestampPath")
        scope.sleep(max((sfn._parse_ts(stamp) - sfn._parse_ts(now_iso())).total_seconds(), 0))
    return select(state.get("OutputPath", "$"), chosen, ctx, "OutputPath"), _following(state)


def _succeed(state: dict[str, Any], data: Any, scope: Scope, ctx: dict[str, Any]) -> Output:
    chosen, _ = _input(state, data, ctx)
    return select(state.get("OutputPath", "$"), chosen, ctx, "OutputPath"), None


def _fail_state(state: dict[str, Any], data: Any, scope: Scope, ctx: dict[str, Any]) -> Output:
    texts = []
    for field, default in (("Error", "States.Fail"), ("Cause", "")):
        path = state.get(f"{field}Path")
        text = expression(path, data, ctx, f"{field}Path") if path else state.get(field, default)
        if not isinstance(text, str):
            raise StateError(
                "States.Runtime", f"The value of {field}Path must be a string, but it was: {json.dumps(text)}"
            )
        texts.append(text)
    raise StateError(*texts)


_HANDLERS: dict[str, Callable[[dict[str, Any], Any, Scope, dict[str, Any]], Output]] = {
    "Pass": _pass,
    "Task": task_state.run,
    "Choice": _choice,
    "Wait": _wait,
    "Succeed": _succeed,
    "Fail": _fail_state,
    "Map": lambda state, data, scope, ctx: map_state.run(state, data, scope, ctx, run_states),
    "Parallel": lambda state, data, scope, ctx: parallel_state.run(state, data, scope, ctx, run_states),
}
