"""Calls, cells, and how a cell must end. The enumeration is calls.json, and a test compares it with a new recording."""

import functools
import json
import re
from pathlib import Path
from typing import NamedTuple

import botocore.session

from local.emulator.calls import KINDS, STATES

ENUMERATION = Path(__file__).with_name("calls.json")
FOR_EVER = 100_000
# What a placeholder of a name stands for; the stage replaces those of runs (<run>, <live>, ...) by their own.
PLACEHOLDERS = {
    "<version>": r"[0-9a-f-]+",
    "<day>": r"\d{4}-\d\d-\d\d",
    "<hour>": r"\d{4}/\d\d/\d\d/\d\d",
    "<upload>": r"[0-9a-f]{64}",
    "<text>": r"[0-9a-f]{16}",
    "<layers>": r"[0-9a-f]{16}",
    "<n>": r"\d{5}",
}

# A processing job runs the code of Preprocess and EncodeLines, whose calls meet every fault in these. What differs is
# how the job tells that it failed: by words, or not at all.
BATCH_ROLE = "BatchRole"
BATCH_KINDS = ("denied", "crash", "truncated")

LOST_ANSWERS = {"timeout", "truncated", "crash"}


class Call(NamedTuple):
    """A call as all runs make it: `names` has placeholders for what differs from run to run."""

    caller: str
    service: str
    operation: str
    names: dict[str, str]

    def __str__(self) -> str:
        return " ".join([*self[:3], *(f"{name}={value}" for name, value in self.names.items())])

    @classmethod
    def parse(cls, text: str) -> "Call":
        caller, service, operation, *names = text.split(" ")
        return cls(caller, service, operation, dict(name.split("=", 1) for name in names))

    @property
    def function(self) -> str:
        """Which function makes the call, or is called by it."""
        return self.names.get("FunctionName", "") if self.caller == STATES else self.caller

    def kinds(self) -> list[str]:
        """The faults that it can meet."""
        if self.caller == BATCH_ROLE:
            return [kind for kind in BATCH_KINDS if kind != "truncated" or has_body(self.service, self.operation)]
        without = set()
        if self.operation != "InvokeEndpoint":
            without.add("miscounted")
        if self.caller == STATES and self.service != "lambda":
            without.add("crash")  # Step Functions' own processes are AWS's affair
        if not has_body(self.service, self.operation):
            without.add("truncated")
        return [kind for kind in KINDS if kind not in without]


@functools.cache
def has_body(service: str, operation: str) -> bool:
    """Whether an answer has a body that can break off: S3's PutObject, for one, answers by headers only."""
    if service == "lambda":
        return True
    shape = botocore.session.get_session().get_service_model(service).operation_model(operation).output_shape
    return shape is not None and any("location" not in member.serialization for member in shape.members.values())


class Cell(NamedTuple):
    """One fault at one call of one workflow, once or at every call."""

    workflow: str
    call: Call
    kind: str
    once: bool

    def __str__(self) -> str:
        return " | ".join([self.workflow, str(self.call), self.kind, "once" if self.once else "persistent"])

    @property
    def not_recovered(self) -> str | None:
        """Why one fault may fail the run; None where the run must end as if nothing had happened."""
        if not self.once:
            return None if self.kind == "slow" else "persistent"
        return next((why for why, applies in NOT_RECOVERED.items() if applies(self)), None)

    @property
    def loses_champion(self) -> bool:
        """Whether the live model never answers as many scores as it is sent lines while it is compared."""
        champion = self.call.function == "ScoreLines" and self.call.names.get("EndpointName") == "<live-resource>"
        return champion and self.workflow.startswith("train") and self.kind == "miscounted" and not self.once

    @property
    def may_tell_twice(self) -> bool:
        return self.call.operation == "Publish" and self.kind in LOST_ANSWERS


# The one table of what is not recovered from though it happened once, by design.
NOT_RECOVERED = {
    "access denied is a fault of the deployment, which no retry mends: AwsRefusedError": (
        lambda cell: cell.kind == "denied" and cell.call.caller != STATES
    ),
    "a processing job whose process dies has failed, and is not started again: PreprocessingFailedError": (
        lambda cell: cell.kind == "crash" and cell.call.caller == BATCH_ROLE
    ),
}
# And of what may happen twice.
TOLD_TWICE = (
    "SNS took the message and its answer was lost. It keeps no key by which a second try could be told from a second "
    "message (its FIFO topics do, and send no e-mail), and a lost e-mail would be worse than a second one"
)


def enumeration() -> dict[str, list[Call]]:
    """The calls by workflow; of several workflows of one state machine the first that makes a call has it."""
    return {name: [Call.parse(text) for text in calls] for name, calls in json.loads(ENUMERATION.read_text()).items()}


def cells() -> list[Cell]:
    return [
        Cell(workflow, call, kind, once)
        for workflow, calls in enumeration().items()
        for call in calls
        for kind in call.kinds()
        for once in (True, False)
    ]


def pattern(value: str, actual: dict[str, str]) -> str:
    """The regular expression of a name: placeholders as `actual` or PLACEHOLDERS have them."""
    known = PLACEHOLDERS | {placeholder: re.escape(name) for placeholder, name in actual.items()}
    parts = re.split("(<[a-z-]+>)", value)
    return ".*" + "".join(known[part] if part in known else re.escape(part) for part in parts)
