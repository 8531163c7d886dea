"""Follows an execution state by state, from its history: live on a terminal, a line a state elsewhere."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

_POLL_SECONDS = 0.2
_SILENT = ("Choice", "Pass", "Succeed", "Fail")  # states that take no time and say nothing
_MOST_COUNTS = 6


@dataclass
class StateRun:
    """All visits of one state: how long it took, what it counted, how it went."""

    name: str
    kind: str
    started: datetime
    seconds: float = 0.0
    visits: int = 0
    running: bool = True
    retries: int = 0
    error: str = ""
    items: int | None = None  # of a Map
    items_done: int = 0
    counts: dict[str, int | float] = field(default_factory=dict)


@dataclass
class Outcome:
    """How an execution ended. `states` keeps the order of the first visit; times are in seconds."""

    arn: str
    name: str
    status: str
    error: str
    cause: str
    seconds: float
    states: dict[str, StateRun]


class NotStartedError(RuntimeError):
    """No execution took the upload."""


def find_execution(
    sfn: Any, machines: list[str], bucket: str, key: str, version: str | None, seconds: float = 30
) -> str:
    """The ARN of the first execution that an upload started.

    Args:
        sfn: a boto3 Step Functions client.
        machines: ARNs of the state machines that may have been started.
        version: the object's version id; None takes any.

    Raises:
        NotStartedError: none was started in time.
    """
    seen: set[str] = set()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for machine in machines:
            listed = sfn.list_executions(stateMachineArn=machine, maxResults=100)["executions"]
            for execution in sorted(listed, key=lambda item: item["startDate"]):
                arn = execution["executionArn"]
                if arn in seen:
                    continue
                seen.add(arn)
                upload = json.loads(sfn.describe_execution(executionArn=arn)["input"])
                if _is_upload(upload, bucket, key, version):
                    return arn
        time.sleep(0.05)
    raise NotStartedError(f"No execution was started for s3://{bucket}/{key} within {seconds:.0f} seconds.")


def _is_upload(detail: Any, bucket: str, key: str, version: str | None) -> bool:
    if not isinstance(detail, dict) or not isinstance(detail.get("object"), dict):
        return False
    same = (detail.get("bucket") or {}).get("name") == bucket and detail["object"].get("key") == key
    return same and (version is None or detail["object"].get("version-id") == version)


def follow(sfn: Any, arn: str, console: Console | None = None) -> Outcome:
    """Show the progress of an execution until it ends, and return how it went."""
    console = console or Console()
    story = _Story()
    if console.is_terminal:
        with Live(console=console, refresh_per_second=8) as live:
            for described in _polled(sfn, arn, story):
                live.update(story.table(described))
    else:
        told: set[str] = set()
        for described in _polled(sfn, arn, story):
            for line in story.lines(told, described["startDate"]):
                console.print(line, highlight=False, soft_wrap=True, markup=False)
    ended = described["stopDate"]
    outcome = Outcome(
        arn=arn,
        name=described["name"],
        status=described["status"],
        error=described.get("error", ""),
        cause=described.get("cause", ""),
        seconds=(ended - described["startDate"]).total_seconds(),
        states=story.states,
    )
    console.print(_ending(outcome), markup=False, highlight=False, soft_wrap=True)
    return outcome


def _ending(outcome: Outcome) -> str:
    line = f"{outcome.status} after {outcome.seconds:.1f} s"
    if outcome.error:
        line += f": {outcome.error}: {outcome.cause}"
    return line


def _polled(sfn: Any, arn: str, story: "_Story") -> Iterator[dict[str, Any]]:
    """Read the history until the execution has ended, and once more after it."""
    while True:
        described = sfn.describe_execution(executionArn=arn)
        pages = sfn.get_paginator("get_execution_history").paginate(executionArn=arn, maxResults=1000)
        story.read([event for page in pages for event in page["events"]])
        yield described
        if described["status"] != "RUNNING":
            return
        time.sleep(_POLL_SECONDS)


class _Story:
    """What the history says so far."""

    def __init__(self) -> None:
        self.states: dict[str, StateRun] = {}
        self._known = 0
        self._inside: set[int] = set()  # ids of events inside an iteration of a Map or a branch
        self._inputs: dict[str, Any] = {}
        self._current = ""

    def read(self, events: list[dict[str, Any]]) -> None:
        for event in events[self._known :]:
            self._take(event)
        self._known = len(events)

    def _take(self, event: dict[str, Any]) -> None:
        kind, number = event["type"], event["id"]
        current = self.states.get(self._current)
        if kind in ("MapIterationStarted", "ParallelStateStarted"):
            self._inside.add(number)
        elif kind in ("MapIterationSucceeded", "MapIterationFailed", "MapIterationAborted"):
            if current and kind == "MapIterationSucceeded":
                current.items_done += 1
        elif kind == "MapStateStarted" and current:
            current.items = event["mapStateStartedEventDetails"]["length"]
        elif kind in ("ParallelStateSucceeded", "ParallelStateFailed"):
            pass  # the end of what ParallelStateStarted began
        elif event.get("previousEventId") in self._inside:
            self._inside.add(number)
            if current and kind in ("TaskFailed", "TaskTimedOut"):
                current.retries += 1
        elif kind.endswith("StateEntered"):
            self._enter(event, kind.removesuffix("StateEntered"))
        elif kind.endswith("StateExited"):
            self._exit(event)
        elif current and kind in ("TaskFailed", "TaskTimedOut"):
            details = event.get("taskFailedEventDetails") or event.get("taskTimedOutEventDetails") or {}
            current.retries += 1
            current.error = details.get("error", "")

    def _enter(self, event: dict[str, Any], kind: str) -> None:
        details = event["stateEnteredEventDetails"]
        name = details["name"]
        run = self.states.setdefault(name, StateRun(name, kind, event["timestamp"]))
        run.started, run.running, run.error = event["timestamp"], True, ""
        run.visits += 1
        self._current = name
        self._inputs[name] = _parsed(details.get("input"))

    def _exit(self, event: dict[str, Any]) -> None:
        details = event["stateExitedEventDetails"]
        run = self.states[details["name"]]
        run.running = False
        run.seconds += (event["timestamp"] - run.started).total_seconds()
        output = _parsed(details.get("output"))
        if not run.error or not _caught(output, run.error):
            run.error = ""
            if run.kind not in _SILENT:
                run.counts |= _counted(output, self._inputs.get(run.name))

    def _shown(self) -> list[StateRun]:
        return [run for run in self.states.values() if run.kind not in _SILENT]

    def lines(self, told: set[str], since: datetime) -> list[str]:
        """A line for each state that ended and was not told yet."""
        lines = []
        for run in self._shown():
            if not run.running and run.kind != "Wait" and run.name not in told:
                told.add(run.name)
                at = (run.started - since).total_seconds() + run.seconds
                lines.append(f"{at:7.1f} s  {run.name:<20} {run.seconds:6.2f} s  {_remark(run)}".rstrip())
        return lines

    def table(self, described: dict[str, Any]) -> Table:
        now = described.get("stopDate") or datetime.now(described["startDate"].tzinfo)
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for run in self._shown():
            seconds, mark, style = run.seconds, "✓", "green"
            if run.error:
                mark, style = "✗", "red"
            elif run.running:
                seconds += (now - run.started).total_seconds()
                mark, style = "…", "yellow"
            table.add_row(
                Text(mark, style=style), run.name, Text(f"{seconds:.1f} s", justify="right"), Text(_remark(run))
            )
        elapsed = (now - described["startDate"]).total_seconds()
        table.add_row("", Text(described["status"].lower(), style="dim"), Text(f"{elapsed:.1f} s", style="dim"))
        return table


def _remark(run: StateRun) -> str:
    parts = []
    if run.error:
        parts.append(f"failed: {run.error}")
    if run.items is not None:
        parts.append(f"{run.items_done:,} of {run.items:,}")
    parts += [f"{name} {_figure(value)}" for name, value in run.counts.items()]
    if run.visits > 1:
        parts.append(f"{run.visits} times")
    failures = run.retries - (1 if run.error else 0)
    if failures > 0:
        parts.append(f"{failures} retried")
    return ", ".join(parts)


def _figure(value: int | float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.2f}" if abs(value) >= 100 else f"{value:.4g}"


def _parsed(text: str | None) -> Any:
    return json.loads(text) if text else None


def _caught(output: Any, error: str) -> bool:
    """Whether a state's output carries the error that its Catch put there."""
    if not isinstance(output, dict):
        return False
    return output.get("Error") == error or any(
        isinstance(value, dict) and value.get("Error") == error for value in output.values()
    )


def _counted(output: Any, before: Any) -> dict[str, int | float]:
    """The numbers that a state added to its input: its counts. A list counts as its length."""
    old = dict(_numbers(before))
    new = {
        name: value
        for name, value in _numbers(output)
        if old.get(name) != value and not name.endswith("_seconds")  # a setting of the next wait, not a count
    }
    return {name.rsplit(".", 1)[-1]: value for name, value in list(new.items())[:_MOST_COUNTS]}


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, int | float]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, f"{name}.{key}")
    elif isinstance(value, list):
        yield name, len(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield name, value
