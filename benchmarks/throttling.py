"""What becomes of runs that share an endpoint at its MaxConcurrency: a simulation with the state machine's own retry.

    python -m benchmarks.throttling --write docs/performance.md

Each run scores its parts, so many at once; a part that finds no room waits as the retry says, and a run whose part has
used up its tries has failed. Nothing is run; benchmarks.load has a burst that is.
"""

import argparse
import heapq
import json
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.tables import write
from local.emulator.states.retry import delay

MACHINE = Path(__file__).resolve().parents[1] / "statemachine" / "score.asl.json"
DRAWS = 20
BEFORE_SECONDS = 0.1  # of a try until it asks the endpoint
ARRIVAL_SECONDS = 1.0


@dataclass(frozen=True)
class Burst:
    runs: int
    parts: int
    room: int  # the endpoint's MaxConcurrency
    seconds: float = 1.0  # that a part takes the endpoint


BURSTS = [Burst(24, 8, 1, 0.07), Burst(24, 8, 1), Burst(24, 8, 5), Burst(100, 8, 5), Burst(1, 40, 5)]


@dataclass(frozen=True)
class Outcome:
    seconds: float
    throttled: int
    failed: int


class Simulation:
    """One burst: events are (time, number, what to do then)."""

    def __init__(self, burst: Burst, at_once: int, retrier: dict[str, Any]) -> None:
        self._burst, self._retrier = burst, retrier
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number, self._now, self._busy = 0, 0.0, 0
        self._throttled, self._ended, self._failed = 0, 0.0, set[int]()
        self._left = [burst.parts] * burst.runs
        self._waiting = [burst.parts] * burst.runs
        for run in range(burst.runs):
            for _ in range(min(at_once, burst.parts)):
                self._begin(run, random.uniform(0, ARRIVAL_SECONDS))

    def outcome(self) -> Outcome:
        while self._events:
            self._now, _, happen = heapq.heappop(self._events)
            happen()
        return Outcome(self._ended, self._throttled, len(self._failed))

    def _after(self, seconds: float, happen: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (self._now + seconds, self._number, happen))

    def _begin(self, run: int, seconds: float = 0.0) -> None:
        if self._waiting[run] and run not in self._failed:
            self._waiting[run] -= 1
            self._after(seconds + BEFORE_SECONDS, lambda: self._ask(run, 0))

    def _ask(self, run: int, tries: int) -> None:
        if run in self._failed:
            return
        if self._busy < self._burst.room:
            self._busy += 1
            self._after(self._burst.seconds, lambda: self._done(run))
            return
        self._throttled += 1
        if tries == self._retrier["MaxAttempts"]:
            self._failed.add(run)
        else:
            self._after(delay(self._retrier, tries) + BEFORE_SECONDS, lambda: self._ask(run, tries + 1))

    def _done(self, run: int) -> None:
        self._busy, self._ended = self._busy - 1, self._now
        self._left[run] -= 1
        self._begin(run)


def retrier_of_the_machine() -> dict[str, Any]:
    states = json.loads(MACHINE.read_text())["States"]
    retries = states["ScoreParts"]["ItemProcessor"]["States"]["ScoreLines"]["Retry"]
    return next(retry for retry in retries if retry["ErrorEquals"] == ["EndpointBusyError"])


def table() -> str:
    shown = [
        "| runs x parts at MaxConcurrency | a part | tries | at once in a run | last end | at best | throttled "
        "| runs failed |",
        "|---" * 8 + "|",
    ]
    own = retrier_of_the_machine()
    for burst in BURSTS:
        best = burst.runs * burst.parts * burst.seconds / burst.room
        for tries in (8, own["MaxAttempts"]):
            for at_once in dict.fromkeys([burst.room, (burst.room + 1) // 2, 1]):
                random.seed(0)
                found = [Simulation(burst, at_once, own | {"MaxAttempts": tries}).outcome() for _ in range(DRAWS)]
                seconds, throttled, failed = (
                    statistics.median(getattr(each, what) for each in found)
                    for what in ("seconds", "throttled", "failed")
                )
                shown.append(
                    f"| {burst.runs} x {burst.parts} at {burst.room} | {burst.seconds:g} s | {tries} | {at_once} "
                    f"| {seconds:,.0f} s | {best:,.0f} s | {throttled:,.0f} | {failed:,.0f} |"
                )
    return "\n".join(shown)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throttling", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--write", type=Path, help="put the table into this document instead of printing it")
    write(table(), parser.parse_args().write, "benchmarks.throttling")


if __name__ == "__main__":
    main()
