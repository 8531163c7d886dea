"""A running execution: its history, its clock, and the ways it is stopped while something is under way."""

import contextvars
import os
import queue
import threading
from collections.abc import Callable
from typing import Any

from ministack.core.responses import now_iso
from ministack.services import stepfunctions as sfn

# Of one execution's history: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
_MOST_EVENTS = 25_000
_WAIT_SCALE = float(os.environ.get("SFN_WAIT_SCALE", "1"))  # tests shorten waits and retry intervals with it


class Halted(Exception):
    """The execution, or the iteration of a Map, was stopped from outside: nothing more happens in it."""


class Execution:
    """The record of an execution (as ministack keeps it) and its line of control, `root`."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.record = record
        self.lock = threading.RLock()
        self.root = Scope(self, len(record["events"]))

    def add_event(self, kind: str, previous: int, details: dict[str, Any]) -> int:
        """Append to the history and return the event's id. Raises Halted once the execution has ended, which the last
        event that a history has room for does."""
        with self.lock:
            if self.record["status"] != "RUNNING":
                raise Halted
            number = len(self.record["events"]) + 1
            if number == _MOST_EVENTS and not kind.startswith("Execution"):
                cause = f"The execution reached the maximum number of history events ({_MOST_EVENTS})."
                details = {"error": "States.Runtime", "cause": cause}
                self.finish("FAILED", "ExecutionFailed", {"executionFailedEventDetails": details}, **details)
                raise Halted
            event = {"id": number, "previousEventId": previous, "type": kind, "timestamp": now_iso(), **details}
            self.record["events"].append(event)
            return number

    def finish(self, status: str, kind: str, details: dict[str, Any], **fields: Any) -> None:
        """End with a status, unless it has ended; tells EventBridge and stops what is under way."""
        with self.lock:
            if self.record["status"] != "RUNNING":
                return
            self.root.event(kind, **details)
            self.record.update(stopDate=now_iso(), **fields)
            self.record["status"] = status
        self.root.halt()
        sfn._emit_execution_status_event(self.record)


class Scope:
    """A line of control: the execution itself, one iteration of a Map, one branch of a Parallel."""

    def __init__(self, execution: Execution, last_event: int) -> None:
        self.execution = execution
        self.last_event = last_event
        self._halted = False
        self._inboxes: set[queue.SimpleQueue] = set()
        self._children: list[Scope] = []

    def event(self, kind: str, **details: Any) -> int:
        self.last_event = self.execution.add_event(kind, self.last_event, details)
        return self.last_event

    def child(self) -> "Scope":
        scope = Scope(self.execution, self.last_event)
        self.adopt(scope)
        return scope

    def adopt(self, scope: "Scope") -> None:
        """Halt `scope`, perhaps of another execution, with this one."""
        with self.execution.lock:
            scope._halted = self._halted
            self._children.append(scope)

    def halt(self) -> None:
        """Raise Halted in whatever waits in this scope or in one below it."""
        with self.execution.lock:
            self._halted = True
            inboxes, children = list(self._inboxes), list(self._children)
        for inbox in inboxes:
            inbox.put(("halted", None))
        for child in children:
            child.halt()

    def sleep(self, seconds: float) -> None:
        """Wait, scaled by SFN_WAIT_SCALE."""
        try:
            self._wait(lambda inbox: None, seconds * _WAIT_SCALE)
        except queue.Empty:
            return

    def call(self, function: Callable[[], Any], timeout: float | None) -> Any:
        """Run a function that may block, on a thread of its own. Raises TimeoutError after `timeout` seconds.

        As on AWS, what was called runs on when its state has timed out or its execution was stopped.
        """

        def run(inbox: queue.SimpleQueue) -> None:
            try:
                inbox.put(("value", function()))
            except Exception as error:
                inbox.put(("error", error))

        def start(inbox: queue.SimpleQueue) -> None:
            # ministack keeps account and region in context variables.
            threading.Thread(target=contextvars.copy_context().run, args=(run, inbox), daemon=True).start()

        try:
            kind, result = self._wait(start, timeout)
        except queue.Empty:
            raise TimeoutError from None
        if kind == "error":
            raise result
        return result

    def _wait(self, start: Callable[[queue.SimpleQueue], None], timeout: float | None) -> tuple[str, Any]:
        inbox: queue.SimpleQueue = queue.SimpleQueue()
        with self.execution.lock:
            if self._halted:
                raise Halted
            self._inboxes.add(inbox)
        try:
            start(inbox)
            kind, result = inbox.get(timeout=timeout) if timeout is None or timeout > 0 else inbox.get_nowait()
        finally:
            with self.execution.lock:
                self._inboxes.discard(inbox)
        if kind == "halted":
            raise Halted
        return kind, result
