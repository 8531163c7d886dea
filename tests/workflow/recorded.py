"""What the stack's roles needed in a run of this tier, in the words of the template: tests/template/calls.json."""

import json
import re
from pathlib import Path

from local.cloud import STACK, Cloud
from local.emulator.calls import STATES, Calls
from local.emulator.needs import Need, needs

RECORD = Path(__file__).parents[1] / "template" / "calls.json"
# What differs from run to run, in keys and names.
_VARIABLE = (
    (r"(?s)(:::\w+/(?:incoming|invoices|verdicts|parked)/).+", r"\1{upload}"),
    (r"(:::\w+/runs/)[^/]+", r"\1{run}"),
    (r"(:::\w+/models/)[^/]+/", r"\1{family}/"),
    (r"(:::\w+/multi-model/).+", r"\1{model}"),
    (rf"(:(?:training-job|processing-job|transform-job|model|endpoint-config|endpoint)/{STACK}-).+", r"\1{run}"),
    (rf"(/model/{STACK}-)[^/]+", r"\1{run}"),
    (rf"(:model-package/{STACK}-models/).+", r"\1*"),  # a version may also be what some layer is called
    (r"(:::\w+/features/).+", r"\1{store}"),
    (rf"(:experiment-trial-component/{STACK}-).+", r"\1{run}"),
    (rf"(:experiment-trial/{STACK}-rcf-anomaly-detection-).+", r"\1{month}"),
    (r"(:execution:[^:]+:).+", r"\1{run}"),
    (r"\d{4}-\d{2}-\d{2}", "{day}"),
    (r"(?:(?:planted|judged)-)?part-\d+", "part-{n}"),  # some are put beside others for one job
    (r"(/told/).+", r"\1{run}/{message}"),
    (r"(/sweep/)[^/]+", r"\1{sweep}"),
    (r"(/code/)[0-9a-f]+", r"\1{layers}"),
    (r"((?:invoices|champion|challenger|shadow)/)[0-9a-f]{8}/", r"\1{model}/"),
    (r"(/trials/)[^/]+/scores/[^/]+\.parquet$", r"\1{trial}/scores/{run}.parquet"),
    (r"(/trials/)[^/{]+/", r"\1{trial}/"),
    (r"(/transformed/)[^/]*/", r"\1{job}/"),
    (r"(/async/)[0-9a-f]{32}", r"\1{request}"),
    (r"(/async/(?:answers|failures)/)[0-9a-f-]{36}", r"\1{request}"),
    (rf"(:alarm:{STACK}-).+(-wake)", r"\1{run}\2"),
    (r"(/monitoring/dt=\{day\}/)[^/]+/", r"\1{family}/"),
    (r"(/dt=\{day\}/)(?!(?:\{family\}/)?report\.).+(\.\w+)$", r"\1{run}\2"),
    (r"(/ground-truth/).+(\.\w+)$", r"\1{hour}/{run}\2"),
)

# Kinds of which policies write out the name, or which no policy names.
_NAMED_BY_THE_STACK = {"AWS::IAM::Policy", "AWS::SageMaker::ModelPackageGroup", "AWS::SageMaker::FeatureGroup"}

Record = dict[str, list[str]]


def read() -> Record:
    """Caller (logical id) -> what it needs, each `action resource` and what conditions see."""
    return json.loads(RECORD.read_text())


def write(record: Record) -> None:
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def recorded(calls: Calls, logical: dict[str, str]) -> Record:
    """What all calls so far needed; `logical`: see `logical_ids`."""
    found: dict[str, set[str]] = {}
    for call in calls.history():
        caller = call.get("machine", STATES) if call["caller"] == STATES else call["caller"]
        for need in needs(call):
            who = need.role.rsplit("/", 1)[-1] if need.role else caller
            found.setdefault(logical.get(who, who), set()).add(_line(need, logical))
    return {who: sorted(lines) for who, lines in found.items()}


def _line(need: Need, logical: dict[str, str]) -> str:
    def named(text: str) -> str:
        return re.sub(r"[\w.-]+", lambda word: logical.get(word[0], word[0]), text)

    # State machines have names of their own, and policies on their executions can only use those.
    resource = need.resource if ":states:" in need.resource else named(need.resource)
    context = [f"{key}={value}" for key, value in need.context]
    prefixed = [re.sub(r"(=runs/)[^/]+", r"\1{run}", text) for text in context]
    prefixed = [re.sub(r"(=trials/)[^/]+", r"\1{trial}", text) for text in prefixed]
    prefixed = [re.sub(r"(=code/)[0-9a-f]+", r"\1{layers}", text) for text in prefixed]
    prefixed = [re.sub(r"(/transformed/).+", r"\1{job}/", text) for text in prefixed]
    prefixed = [re.sub(r"(=scored/dt=)[^/]+/.+", r"\1{day}/{run}", text) for text in prefixed]
    prefixed = [re.sub(r"(=parked/)[^/]+/", r"\1{family}/", text) for text in prefixed]
    for pattern, name in _VARIABLE:
        resource = re.sub(pattern, name, resource)
    return " ".join([need.action, resource, *(re.sub(r"\d{4}-\d{2}-\d{2}", "{day}", text) for text in prefixed)])


def together(records: list[Record]) -> Record:
    callers = {caller for record in records for caller in record}
    return {caller: sorted({line for record in records for line in record.get(caller, [])}) for caller in callers}


def logical_ids(cloud: Cloud) -> dict[str, str]:
    """Name in the cloud -> name in the template, of everything in the stack and its nested stacks."""
    return {
        re.split(r"[:/]", resource["PhysicalResourceId"])[-1]: resource["LogicalResourceId"]
        for resource in cloud.resources()
        # Its workgroup is called as the stack is.
        if resource["ResourceType"] not in _NAMED_BY_THE_STACK and resource["PhysicalResourceId"] != STACK
    }


def missing(fresh: Record, record: Record) -> list[str]:
    """Lines of `fresh` that `record` lacks."""
    return [f"{who}: {line}" for who, lines in fresh.items() for line in lines if line not in record.get(who, [])]
