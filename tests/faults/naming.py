"""Names in calls, with placeholders for what differs from run to run."""

import re
from typing import Any

from local.cloud import STACK
from suspicious_lines.layout import invoices_kind, resource_name
from tests.faults.cells import Call
from tests.faults.dropped import BROKEN_RUN, UNKNOWN_RUN

LIVE, FORMER, SCORED, JUDGED = "baseline-live", "baseline-former", "baseline-scored", "baseline-judged"
# What tells calls of one operation apart: one thing each.
_NAMED = {
    "Key", "Prefix", "VersionId", "TableName", "TopicArn", "FunctionName", "TrainingJobName", "ModelName",
    "EndpointName", "EndpointConfigName", "executionArn", "stateMachineArn", "ProcessingJobName", "TransformJobName",
    "ResourceArn",
}  # fmt: skip


def normalised(made: dict[str, Any], run: str, logical: dict[str, str]) -> Call:
    """A call as all runs make it, without what differs from run to run. `logical`: ids by physical names."""
    known = {actual: placeholder for placeholder, actual in placeholders(run).items()}
    names = {}
    for name, value in made["names"].items():
        if name not in _NAMED:
            continue
        text = logical.get(value.rpartition(":")[2] if name == "FunctionName" else value, value)
        for actual in sorted(known, key=len, reverse=True):
            text = text.replace(actual, known[actual])
        text = re.sub(r"^arn:aws:[a-z0-9]+:[a-z0-9-]*:\d*:", "", text)
        text = undated(text)
        text = re.sub(r"(?<=part-)\d{5}", "<n>", text)
        text = re.sub(r"(?<=parked/)[0-9a-f]{64}", "<upload>", text)
        text = re.sub(r"(?<=^told/)(.*-)[0-9a-f]{16}(?=\.json$)", r"\1<text>", text)
        text = re.sub(r"(?<=code/)[0-9a-f]{16}", "<layers>", text)
        text = re.sub(r"(?<=runs/|told/)(?!sweeps/|orphans/)[^</][^/]*", "<other>", text)
        text = re.sub(r"(?<=^execution:)([^:]+):[^<].*", r"\1:<other>", text)
        text = re.sub(rf"^{STACK}-\w+-[0-9a-f]{{12}}$", "<other>", text)
        names[name] = "<version>" if name == "VersionId" else text
    return Call(logical.get(made["caller"], made["caller"]), made["service"], made["operation"], names)


def undated(key: str) -> str:
    """A key as it is called on any day and in any hour: a run may go on beyond midnight."""
    key = re.sub(r"(?<=dt=)\d{4}-\d\d-\d\d", "<day>", key)
    return re.sub(r"(?<=ground-truth/)\d{4}/\d\d/\d\d/\d\d", "<hour>", key)


def placeholders(run: str) -> dict[str, str]:
    """Of a run's calls: each placeholder and what it stands for."""
    runs = {"run": run, "live": LIVE, "former": FORMER, "scored": SCORED, "judged": JUDGED}
    runs |= {"broken": BROKEN_RUN, "unknown": UNKNOWN_RUN}
    hosted = {f"<{kind}-resource>": resource_name(STACK, name) for kind, name in runs.items()}
    models = {f"<{kind}-model>": invoices_kind(name).rpartition("/")[2] for kind, name in runs.items()}
    transforms = {  # of this run's lines through its own model, or through the live one
        f"<transform-by-{kind}>": resource_name(STACK, run, resource_name(STACK, runs[kind]))
        for kind in ("run", "live")
    }
    return {f"<{kind}>": name for kind, name in runs.items()} | hosted | models | transforms
