"""Plays a cell, and says what does not hold: the invariants of docs/reliability.md."""

import dataclasses
import hashlib
import inspect
import io
import json
import re
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pandas as pd

from local.cloud import STACK
from suspicious_lines import errors
from suspicious_lines.layout import LIVE_MODEL_KEY, resource_name
from tests.faults import upkeep
from tests.faults.cells import Call, Cell
from tests.faults.naming import undated
from tests.faults.stage import WATCHED_DAY, Run, Stage
from tests.faults.upkeep import Upkeep
from tests.faults.workflows import WORKFLOWS, Workflow, execute, live_facts

VOCABULARY = {name for name, _ in inspect.getmembers(errors, inspect.isclass)}
VOCABULARY |= {"TrainingFailedError", "EndpointFailedError"}  # the machines' own
AWS_ERRORS = re.compile(r"(Lambda|SageMaker|Runtime|Sandbox|States)\.\w+")
FAILED_MAIL = "Run failed: "
SETTLE_SECONDS = 8
REPORTING_SECONDS = 30  # ReportFailure's three tries, each in a process that may have to start first


@dataclass(frozen=True)
class Ending:
    """What a run has left: how a cell's is compared with that of the run in which nothing was broken."""

    results: dict[str, str]
    receipt: dict[str, Any] | None
    mails: Counter[tuple[str, str]]
    live: dict[str, Any]
    hosted: dict[str, list[str]]
    parked: int
    claimed: bool

    @classmethod
    def of(cls, stage: Stage, run: Run) -> "Ending":
        receipt = stage.find(f"runs/{run.name}/receipt.json")
        hosted = {
            kind: sorted(name.replace(resource_name(STACK, run.name), "<run>") for name in names)
            for kind, names in stage.hosted().items()
        }
        return cls(
            _results(stage, run.name),
            receipt and {name: receipt[name] for name in ("status", "error", "counts", "threshold")},
            stage.mails(),
            json.loads(json.dumps(live_facts(stage)).replace(run.name, "<run>")),
            hosted,
            len(stage.keys("parked/")),
            stage.holds_claim(run.name),
        )


@dataclass(frozen=True)
class Rehearsal:
    """A workflow in which nothing broke: what was live and hosted before, how it ended (an Ending; of upkeep, what was
    found), which calls it made."""

    before: dict[str, Any]
    hosted: dict[str, set[str]]
    ending: Any
    calls: list[Call]


@dataclass(frozen=True)
class Outcome:
    """A line of the runner's results."""

    cell: str
    problems: list[str]
    status: str
    error: str
    met: int
    handed_on: bool
    seconds: float


def rehearse(workflow: Workflow | Upkeep, stage: Stage) -> Rehearsal:
    """Raises AssertionError where the workflow does not even end as it must when nothing breaks."""
    if isinstance(workflow, Upkeep):
        found, calls = upkeep.rehearse(workflow, stage)
        return Rehearsal({}, {}, found, calls)
    given = workflow.begin(stage)
    before, hosted, since = live_facts(stage), stage.hosted(), time.time()
    stage.calls.take()
    run = execute(workflow, stage, given, *stage.start(workflow.machine, given))
    _settle(workflow, stage, run, since)
    ending = Ending.of(stage, run)
    assert (run.status, run.error) == (workflow.status, workflow.error), run
    assert _left_over(stage, hosted) == []
    return Rehearsal(before, hosted, ending, stage.take_calls(workflow.machine, run.name))


def distinct(rehearsals: dict[str, Rehearsal]) -> dict[str, list[str]]:
    """The enumeration that clean runs make: of several workflows of one machine the first that makes a call has it."""
    made: dict[str, list[str]] = {}
    seen: set[tuple[str, ...]] = set()
    for name, rehearsal in rehearsals.items():
        workflow = WORKFLOWS[name]
        calls = {
            (workflow.machine, str(call), workflow.way if call.function in workflow.own else ""): str(call)
            for call in rehearsal.calls
        }
        made[name] = [text for known, text in calls.items() if known not in seen]
        seen |= set(calls)
    return made


def play(cell: Cell, rehearsal: Rehearsal, stage: Stage) -> Outcome:
    """Runs the workflow with the cell's fault, and once more without where it failed."""
    began, workflow = time.monotonic(), WORKFLOWS[cell.workflow]
    if isinstance(workflow, Upkeep):
        problems, error, met = upkeep.play(workflow, cell, rehearsal.ending, stage)
        if not met:
            problems.append("the fault met no call")
        seconds = round(time.monotonic() - began, 2)
        return Outcome(str(cell), problems, "FAILED" if error else "SUCCEEDED", error, met, False, seconds)
    given = workflow.begin(stage)
    name, since = stage.new_name(), time.time()
    stage.order(cell, name)
    run = execute(workflow, stage, given, *stage.start(workflow.machine, given, name))
    problems, undelivered = _settled_problems(cell, workflow, rehearsal, stage, run, since)
    met = stage.calls.cancel()
    if undelivered:
        for message in undelivered:
            stage.hand_on(message)
        problems = _problems(cell, workflow, rehearsal, stage, run, met)
    if not met:
        problems.append("the fault met no call")
    if run.status != "SUCCEEDED" and workflow.again and not problems:
        problems += _again(workflow, rehearsal, stage, given)
    seconds = round(time.monotonic() - began, 2)
    return Outcome(str(cell), problems, run.status, run.error, met, bool(undelivered), seconds)


def _settle(workflow: Workflow, stage: Stage, run: Run, since: float) -> None:
    """Waits for what goes on after a run: executions that it started, and the rule that reports a failure again."""
    if workflow.starts:
        for started in stage.started_since(workflow.starts, since):
            stage.end(*started)
    if run.status == "SUCCEEDED":
        return
    deadline = time.monotonic() + 2
    expected = 1 if workflow.stop else 2
    while stage.reports(run.name) < expected and time.monotonic() < deadline and workflow.reported:
        time.sleep(0.02)
    stage.quiet()


def _settled_problems(
    cell: Cell, workflow: Workflow, rehearsal: Rehearsal, stage: Stage, run: Run, since: float
) -> tuple[list[str], list[dict[str, Any]]]:
    """What does not hold when all is quiet, and the messages of ReportFailure's that nobody took."""
    _settle(workflow, stage, run, since)
    reporting = cell.call.caller == "ReportFailure"
    deadline = time.monotonic() + (REPORTING_SECONDS if reporting else SETTLE_SECONDS)
    while True:
        problems = _problems(cell, workflow, rehearsal, stage, run, stage.calls.met())
        undelivered = stage.undelivered() if problems else []
        if not problems or undelivered or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    if undelivered and (cell.once or not reporting):
        problems.append("ReportFailure's message is in the dead-letter queue, though it was not broken for good")
        undelivered = []
    return problems, undelivered


def _problems(cell: Cell, workflow: Workflow, rehearsal: Rehearsal, stage: Stage, run: Run, met: int) -> list[str]:
    ending, clean = Ending.of(stage, run), rehearsal.ending
    problems = _left_over(stage, rehearsal.hosted)
    if cell.loses_champion:
        clean = _without_champion(stage, run, ending, clean)
    if run.status == "SUCCEEDED" or workflow.status != "SUCCEEDED":
        problems += _differences(workflow, ending, clean, run)
    else:
        problems += _of_a_failure(cell, workflow, ending, rehearsal, run)
    return problems + _of_mails(cell, workflow, ending, clean, run, met)


def _without_champion(stage: Stage, run: Run, ending: Ending, clean: Ending) -> Ending:
    """How a run must end whose live model does not score any more: it is replaced without a comparison."""
    key = "runs/<run>/results/comparison.json"
    told = stage.find(key.replace("<run>", run.name)) or {}
    results = {name: digest for name, digest in clean.results.items() if "/scores/champion/" not in name}
    if (told.get("by"), told.get("promoted")) == ("nothing", True):
        results[key] = ending.results[key]
    return dataclasses.replace(clean, results=results)


def _differences(workflow: Workflow, ending: Ending, clean: Ending, run: Run) -> list[str]:
    """Of a run that must have ended as if nothing had happened."""
    problems = []
    if (run.status, run.error) != (workflow.status, workflow.error):
        problems.append(f"ended as {run.status} {run.error}, not as {workflow.status} {workflow.error}")
    for name in ("results", "receipt", "live", "hosted", "parked", "claimed"):
        found, expected = getattr(ending, name), getattr(clean, name)
        if found != expected:
            problems.append(f"{name}: {_difference(found, expected)}")
    return problems


def _difference(found: Any, expected: Any) -> str:
    if isinstance(found, dict) and isinstance(expected, dict):
        names = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
        return ", ".join(f"{name} is {found.get(name)}, not {expected.get(name)}" for name in names)
    return f"{found}, not {expected}"


def _of_a_failure(cell: Cell, workflow: Workflow, ending: Ending, rehearsal: Rehearsal, run: Run) -> list[str]:
    """Of a run that a fault has failed: it says so, in known words, and what is there of its results is exact."""
    problems = []
    if cell.not_recovered is None:
        problems.append(f"did not recover: {run.status} {run.error}")
    if run.error not in VOCABULARY and not AWS_ERRORS.fullmatch(run.error):
        problems.append(f"{run.error} is none of our errors and none of AWS's")
    if workflow.reported:
        told = ending.receipt or {}
        if (told.get("status"), told.get("error")) != (run.status, run.error):
            problems.append(f"the receipt says {told.get('status')} {told.get('error')}, not {run.error}")
    clean = rehearsal.ending
    wrong = [key for key, digest in ending.results.items() if clean.results.get(key, digest) != digest]
    if wrong:
        problems.append(f"wrong results: {', '.join(wrong)}")
    if ending.live not in (rehearsal.before, clean.live):
        problems.append(f"live is {ending.live}")
    if ending.claimed != (run.error == "InvalidUploadError"):
        problems.append("the claim is held" if ending.claimed else "the claim is not held")
    return problems


def _of_mails(
    cell: Cell, workflow: Workflow, ending: Ending, clean: Ending, run: Run, met: int
) -> list[str]:  # fmt: skip
    """One e-mail of each kind: all of them on success; on failure the operators' that says so."""
    spare = met if cell.may_tell_twice else 0
    failed = run.status != "SUCCEEDED" and workflow.status == "SUCCEEDED"
    problems = []
    mails, expected = ending.mails, clean.mails
    if failed and workflow.reported:
        told = sum(number for (to, subject), number in mails.items() if _says_failed(to, subject))
        if not 1 <= told <= 1 + spare:
            problems.append(f"operators were told of the failure {told} times")
    for mail in {*mails, *expected}:
        if failed and _says_failed(*mail):
            continue
        fewest, most = (0 if failed else expected[mail]), expected[mail] + spare
        if not fewest <= mails[mail] <= most:
            problems.append(f"{mails[mail]} e-mails to {mail[0]}: {mail[1]}, not {expected[mail]}")
    return problems


def _says_failed(to: str, subject: str) -> bool:
    return to == "operators" and subject.startswith(FAILED_MAIL)


def _left_over(stage: Stage, before: dict[str, set[str]]) -> list[str]:
    """Nothing is hosted but what was before, the models of models/current.json, and those that the next promotion will
    delete; what can serve is there."""
    live = stage.find(LIVE_MODEL_KEY) or {}
    serving = {resource_name(STACK, known["run"]) for known in [live, *live.get("former", [])] if known}
    dropped = {resource_name(STACK, known["run"]) for known in live.get("dropped", [])}
    problems = []
    for kind, names in stage.hosted().items():
        if kind != "jobs" and (missing := serving - names):
            problems.append(f"{kind} that should serve are gone: {missing}")
        spare = serving | dropped if kind != "jobs" else set()
        if orphans := names - spare - before[kind]:
            problems.append(f"{kind} are left over: {orphans}")
    return problems


def _results(stage: Stage, run: str) -> dict[str, str]:
    """Digests of everything that a run wrote but for its receipt, SageMaker's model and what is noted and answered
    of jobs, by key, with the run's name, the hour and the moments in it left out."""
    keys = stage.keys(f"runs/{run}/") + stage.keys(f"monitoring/dt={WATCHED_DAY}/")
    keys += [key for prefix in ("scored/", "judged/", "ground-truth/") for key in stage.keys(prefix) if run in key]
    left_out = tuple(f"runs/{run}/{name}" for name in ("model/", "receipt.json", "preprocessing/", "transform"))
    return {
        undated(key.replace(run, "<run>")): _digest(stage, key, run) for key in keys if not key.startswith(left_out)
    }


def _digest(stage: Stage, key: str, run: str) -> str:
    body = stage.get(key)
    if key.endswith(".parquet"):
        frame = pd.read_parquet(io.BytesIO(body))
        body = frame.drop(columns="judged_at", errors="ignore").to_csv().encode()
    if key.endswith(".html"):
        body = re.sub(rb"nonce[-=][^ ;>]+", b"", body)  # of the page's policy
    return hashlib.sha256(body.replace(run.encode(), b"<run>")).hexdigest()[:16]


def _again(workflow: Workflow, rehearsal: Rehearsal, stage: Stage, given: Any) -> list[str]:
    """The same upload once more, now that nothing is broken."""
    for mail in stage.cloud.outbox.glob("*.eml"):
        mail.unlink()
    run = stage.run(workflow.machine, given)
    if run.status != workflow.again:
        return [f"the same upload dropped again ended as {run.status} {run.error}"]
    stage.quiet()
    ending, clean = Ending.of(stage, run), rehearsal.ending
    problems = [f"dropped again: {problem}" for problem in _left_over(stage, rehearsal.hosted)]
    flagged = "runs/<run>/results/suspicious_lines.csv"
    if ending.results.get(flagged) != clean.results.get(flagged) and workflow.status == "SUCCEEDED":
        problems.append("dropped again, it lists other lines")
    if clean.receipt and workflow.status == "SUCCEEDED" and ending.receipt != clean.receipt:
        problems.append(f"dropped again: receipt {_difference(ending.receipt, clean.receipt)}")
    return problems
