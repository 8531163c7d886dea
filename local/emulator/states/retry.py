"""Retry and Catch, as the Amazon States Language has them."""

import random
from collections.abc import Callable
from typing import Any

from .execution import Scope
from .paths import StateError, insert

_UNCATCHABLE = ("States.DataLimitExceeded", "States.Runtime")


def error_matches(names: list[str], error: str) -> bool:
    """Whether an ErrorEquals list matches an error name.

    States.ALL matches all but the terminal errors; States.TaskFailed all but those and States.Timeout.
    """
    if error in names:
        return True
    if error in _UNCATCHABLE:
        return False
    return "States.ALL" in names or ("States.TaskFailed" in names and error != "States.Timeout")


def delay(retrier: dict[str, Any], count: int) -> float:
    """Seconds before the retry that follows `count` earlier ones."""
    seconds = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** count
    seconds = min(seconds, retrier.get("MaxDelaySeconds", seconds))
    return random.uniform(0, seconds) if retrier.get("JitterStrategy") == "FULL" else seconds  # noqa: S311


def attempts(
    state: dict[str, Any], data: Any, scope: Scope, ctx: dict[str, Any], attempt: Callable[[], Any]
) -> tuple[Any, str | None]:
    """Run an attempt under the state's Retry and Catch. Returns (output, name of the next state)."""
    own = ctx["State"]
    counts = [0] * len(state.get("Retry", []))
    while True:
        ctx["State"] = {**own, "RetryCount": sum(counts)}
        try:
            return attempt(), None if state.get("End") else state["Next"]
        except StateError as error:
            failure = error
        retrier = _first(state.get("Retry", []), failure.error)
        if retrier is not None and counts[retrier] < state["Retry"][retrier].get("MaxAttempts", 3):
            scope.sleep(delay(state["Retry"][retrier], counts[retrier]))
            counts[retrier] += 1
            continue
        catcher = _first(state.get("Catch", []), failure.error)
        if catcher is None:
            raise failure
        chosen = state["Catch"][catcher]
        caught = {"Error": failure.error, "Cause": failure.cause}
        return insert(chosen.get("ResultPath", "$"), data, caught), chosen["Next"]


def _first(rules: list[dict[str, Any]], error: str) -> int | None:
    """The first rule that matches decides, even when its attempts are used up."""
    return next((index for index, rule in enumerate(rules) if error_matches(rule["ErrorEquals"], error)), None)
