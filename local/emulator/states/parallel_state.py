"""The Parallel state: its branches run at once; the first failure stops the others."""

import contextvars
import copy
import threading
from collections.abc import Callable
from typing import Any

from .execution import Halted, Scope
from .paths import StateError, as_state_error, insert, select, template
from .retry import attempts


def run(
    state: dict[str, Any], data: Any, scope: Scope, ctx: dict[str, Any], run_states: Callable[..., Any]
) -> tuple[Any, str | None]:
    """Run the branches under the state's Retry and Catch."""

    def attempt() -> Any:
        chosen = select(state.get("InputPath", "$"), data, ctx, "InputPath")
        parameters = template(state["Parameters"], chosen, ctx) if "Parameters" in state else chosen
        result: Any = _branches(state["Branches"], parameters, scope, ctx, run_states)
        if "ResultSelector" in state:
            result = template(state["ResultSelector"], result, ctx)
        output = insert(state.get("ResultPath", "$"), data, result)
        return select(state.get("OutputPath", "$"), output, ctx, "OutputPath")

    return attempts(state, data, scope, ctx, attempt)


def _branches(
    branches: list[dict[str, Any]], data: Any, scope: Scope, ctx: dict[str, Any], run_states: Callable[..., Any]
) -> list[Any]:
    scope.event("ParallelStateStarted")
    group = scope.child()
    results: list[Any] = [None] * len(branches)
    failures: list[StateError] = []

    def work(index: int) -> None:
        branch = branches[index]
        try:
            results[index] = run_states(branch["States"], branch["StartAt"], data, group.child(), copy.copy(ctx))
        except Halted:
            return
        except Exception as error:
            failures.append(as_state_error(error))
            group.halt()

    threads = [
        threading.Thread(target=contextvars.copy_context().run, args=(work, index), daemon=True)
        for index in range(len(branches))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        scope.event("ParallelStateFailed")
        raise failures[0]
    scope.event("ParallelStateSucceeded")
    return results
