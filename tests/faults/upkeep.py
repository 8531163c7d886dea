"""The functions of upkeep in the matrix: schedules invoke them, and Lambda tries what fails twice more or parks it.

A cell breaks one invocation, and lets the next one do its work: then everything must be as after two in which nothing
broke.
"""

import email
import email.policy
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local.cloud import STACK
from suspicious_lines.layout import RUN_TAG, resource_name
from tests.faults.cells import Call, Cell
from tests.faults.naming import LIVE
from tests.faults.stage import Stage

ENDING_SECONDS, SETTLE_SECONDS = 60, 10


@dataclass(frozen=True)
class Upkeep:
    """`function`: its logical id; `done`: what it logs last; `prepare` leaves what an invocation finds, in the name of
    a run; `later`: what passes until the next invocation; `found`: what must be the same in the end."""

    name: str
    function: str
    done: str
    prepare: Callable[[Stage, str], None]
    later: Callable[[Stage], None]
    found: Callable[[Stage], dict[str, Any]]
    status: str = "SUCCEEDED"
    way: str = ""
    own: tuple[str, ...] = ()

    @property
    def machine(self) -> str:
        """Who makes its calls."""
        return self.function


def rehearse(upkeep: Upkeep, stage: Stage) -> tuple[dict[str, Any], list[Call]]:
    """What is found in the end when nothing breaks, and the calls of both invocations."""
    name = _begin(upkeep, stage)
    first = _invoke(upkeep, stage, name)
    calls = stage.take_calls(upkeep.function, name)
    upkeep.later(stage)
    second = _invoke(upkeep, stage, stage.new_name())
    if first or second:
        raise AssertionError(f"{upkeep.name} was parked: {first or second}")
    stage.at_rest()
    return _facts(upkeep, stage, name), calls


def play(upkeep: Upkeep, cell: Cell, clean: dict[str, Any], stage: Stage) -> tuple[list[str], str, int]:
    """(What does not hold, the error with which the broken invocation was parked or "", how often it met the fault.)"""
    name = _begin(upkeep, stage)
    stage.order(cell, name)
    parked = _invoke(upkeep, stage, name)
    met = stage.calls.cancel()
    stage.empty_queue()
    upkeep.later(stage)
    deadline = time.monotonic() + SETTLE_SECONDS
    again = _invoke(upkeep, stage, stage.new_name())
    stage.at_rest()  # a second execution of an upload must not begin when the next cell has taken its claim away
    while (problems := _problems(_facts(upkeep, stage, name), clean, cell, met)) and time.monotonic() < deadline:
        time.sleep(0.2)
    if again:
        problems.append(f"the next invocation was parked: {again}")
    if parked and cell.not_recovered != "persistent":  # Lambda tries again whatever failed
        problems.append(f"did not recover: {parked}")
    return problems, parked, met


def _begin(upkeep: Upkeep, stage: Stage) -> str:
    stage.reset()
    name = stage.new_name()
    upkeep.prepare(stage, name)
    stage.calls.take()
    return name


def _invoke(upkeep: Upkeep, stage: Stage, name: str) -> str:
    """Invokes as a schedule does and waits for the end: the error with which Lambda parked it, or ""."""
    given, since = {"run": name}, int(time.time() * 1000)
    stage.lambdas.invoke(
        FunctionName=stage.physical[upkeep.function], InvocationType="Event", Payload=json.dumps(given).encode()
    )
    deadline = time.monotonic() + ENDING_SECONDS
    while time.monotonic() < deadline:
        if any(line.get("message") == upkeep.done for line in stage.logged(name, since)):
            return ""
        for letter in stage.undelivered():
            if letter["requestPayload"] == given:
                return letter["responsePayload"]["errorType"]
        time.sleep(0.03)
    raise TimeoutError(f"{upkeep.function} came to no end")


def _facts(upkeep: Upkeep, stage: Stage, name: str) -> dict[str, Any]:
    hosted = {kind: sorted(names) for kind, names in stage.hosted().items()}
    return {"told": _told(stage, name), "hosted": hosted, "parked": stage.undelivered()} | upkeep.found(stage)


def _told(stage: Stage, name: str) -> Counter[tuple[str, str, str]]:
    """(addressee, subject without its number, what the e-mail lists), each as often as it was told."""
    told: Counter[tuple[str, str, str]] = Counter()
    for path in stage.cloud.outbox.glob("*.eml"):
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        subject = re.sub(r"\b\d+ (\w+?)s?$", r"\1", re.sub(r"(\d+) (dropped file)s?", r"\1 \2", mail["Subject"]))
        text = mail.get_content().replace(resource_name(STACK, name), "<run-resource>")
        listed = re.findall(r"^\* (.*)$", text, re.MULTILINE)
        told.update((mail["To"].partition("@")[0], subject, line.strip()) for line in listed or [""])
    return told


def _problems(found: dict[str, Any], clean: dict[str, Any], cell: Cell, met: int) -> list[str]:
    spare = met if cell.may_tell_twice else 0
    problems = [
        f"{what} is {found[what]}, not {clean[what]}" for what in clean if what != "told" and found[what] != clean[what]
    ]
    for each in {*found["told"], *clean["told"]}:
        told, expected = found["told"][each], clean["told"][each]
        if not expected <= told <= expected + (spare if expected else 0):
            problems.append(f"told {told} times, not {expected}: {each}")
    return problems


# --- DeleteOrphans: an endpoint, its configuration and model, and a job, of a run that is no more ---------------------


def _leave(stage: Stage, run: str) -> None:
    name = resource_name(STACK, run)
    stage.host_orphan(name)
    stage.order_of_engine(target="TransformJob", error="Hanging")
    place = f"s3://{stage.bucket}/runs/{LIVE}/features/train/"
    stage.sagemaker.create_transform_job(
        TransformJobName=name,
        ModelName=resource_name(STACK, LIVE),
        TransformInput={"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": place}}},
        TransformOutput={"S3OutputPath": place.replace("features", "transformed")},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        Tags=[{"Key": RUN_TAG, "Value": run}],
    )


ORPHANS = Upkeep("upkeep: orphans", "DeleteOrphans", "Deleted", _leave, lambda stage: None, lambda stage: {})
SWEEP = Upkeep(
    "upkeep: uploads",
    "SweepUploads",
    "Swept",
    lambda stage, _: stage.dropped.reset(),
    lambda stage: stage.dropped.later(),
    lambda stage: {"fates": stage.dropped.fates(), "waiting": stage.keys("parked/")},
)
