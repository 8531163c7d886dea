"""The Map state: inline iterations with their own history events, or a Distributed Map by ministack's bookkeeping."""

import contextvars
import copy
import threading
from collections.abc import Callable
from typing import Any

from ministack.services import stepfunctions as sfn

from .execution import Halted, Scope
from .paths import StateError, as_state_error, insert, resolve, select, template
from .retry import attempts

_INLINE_CONCURRENCY = 40  # the most iterations of an inline Map that Step Functions runs at once


def run(
    state: dict[str, Any], data: Any, scope: Scope, ctx: dict[str, Any], run_states: Callable[..., Any]
) -> tuple[Any, str | None]:
    """Run the iterations under the state's Retry and Catch."""

    def attempt() -> Any:
        chosen = select(state.get("InputPath", "$"), data, ctx, "InputPath")
        processor = state.get("ItemProcessor") or state["Iterator"]
        if (processor.get("ProcessorConfig") or {}).get("Mode") == "DISTRIBUTED":
            resolved = {**state, "MaxConcurrency": _concurrency(state, chosen, ctx)}
            output, _ = sfn._run_distributed_map(resolved, data, chosen, processor, scope.execution.record, ctx)
            return output
        items = resolve(state.get("ItemsPath", "$"), chosen, ctx, "ItemsPath")
        if not isinstance(items, list):
            raise StateError(
                "States.Runtime", f"Reference path '{state.get('ItemsPath', '$')}' must point to an array."
            )
        result = _Iterations(state, processor, items, chosen, scope, ctx, run_states).run()
        if "ResultSelector" in state:
            result = template(state["ResultSelector"], result, ctx)
        output = insert(state.get("ResultPath", "$"), data, result)
        return select(state.get("OutputPath", "$"), output, ctx, "OutputPath")

    return attempts(state, data, scope, ctx, attempt)


def _concurrency(state: dict[str, Any], chosen: Any, ctx: dict[str, Any]) -> int:
    if "MaxConcurrencyPath" in state:
        return int(resolve(state["MaxConcurrencyPath"], chosen, ctx, "MaxConcurrencyPath"))
    return int(state.get("MaxConcurrency", 0))


class _Iterations:
    """The iterations of one attempt: a bounded number at once; the first failure stops the others."""

    def __init__(
        self,
        state: dict[str, Any],
        processor: dict[str, Any],
        items: list[Any],
        chosen: Any,
        scope: Scope,
        ctx: dict[str, Any],
        run_states: Callable[..., Any],
    ) -> None:
        self._state, self._processor, self._items, self._chosen = state, processor, items, chosen
        self._scope, self._ctx, self._run_states = scope, ctx, run_states
        self._name = ctx["State"]["Name"]
        self._all = scope.child()
        self._lock = threading.Lock()
        self._results: list[Any] = [None] * len(items)
        self._next = 0
        self._failure: StateError | None = None

    def run(self) -> list[Any]:
        self._scope.event("MapStateStarted", mapStateStartedEventDetails={"length": len(self._items)})
        limit = min(_concurrency(self._state, self._chosen, self._ctx) or _INLINE_CONCURRENCY, _INLINE_CONCURRENCY)
        workers = [
            threading.Thread(target=contextvars.copy_context().run, args=(self._work,), daemon=True)
            for _ in range(min(limit, len(self._items)))
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if self._failure:
            self._scope.event("MapStateFailed")
            raise self._failure
        self._scope.event("MapStateSucceeded")  # raises Halted when the execution was stopped meanwhile
        return self._results

    def _work(self) -> None:
        try:
            while True:
                with self._lock:
                    index, self._next = self._next, self._next + 1
                if index >= len(self._items) or self._failure:
                    return
                self._iterate(index)
        except Halted:
            return

    def _iterate(self, index: int) -> None:
        line = self._all.child()
        line.last_event = self._scope.last_event
        details = {"name": self._name, "index": index}
        line.event("MapIterationStarted", mapIterationStartedEventDetails=details)
        ctx = copy.copy(self._ctx)
        ctx["Map"] = {"Item": {"Index": index, "Value": self._items[index]}}
        selector = self._state.get("ItemSelector") or self._state.get("Parameters")
        try:
            item = template(selector, self._chosen, ctx) if selector else self._items[index]
            self._results[index] = self._run_states(
                self._processor["States"], self._processor["StartAt"], item, line, ctx
            )
            line.event("MapIterationSucceeded", mapIterationSucceededEventDetails=details)
        except Halted:
            raise
        except Exception as error:
            line.event("MapIterationFailed", mapIterationFailedEventDetails=details)
            self._failure = self._failure or as_state_error(error)
            self._all.halt()
