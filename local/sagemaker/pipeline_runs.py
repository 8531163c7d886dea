"""One execution of a pipeline: its steps one after another, each by the operations that any client would call."""

import operator
import re
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from local.sagemaker.errors import ApiError, DataError
from local.sagemaker.expressions import ExpressionError, Scope, gets
from local.sagemaker.jobs import now

POLL_SECONDS = 0.05
LONGEST_NAME = 63
Call = Callable[[str, dict[str, Any]], dict[str, Any]]
Step = dict[str, Any]


class Kind(NamedTuple):
    """How a type of step is carried out: the resource that its operations are named by."""

    resource: str
    is_job: bool


KINDS = {
    "Processing": Kind("ProcessingJob", True),
    "Training": Kind("TrainingJob", True),
    "Transform": Kind("TransformJob", True),
    "Model": Kind("Model", False),
    "RegisterModel": Kind("ModelPackage", False),
}
TYPES = (*KINDS, "Condition", "Fail")
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": operator.eq,
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}


class _Failed(Exception):
    """The step failed; the message is its FailureReason."""


@dataclass
class Execution:
    """`steps`: what ListPipelineExecutionSteps shows; times are epoch seconds."""

    arn: str
    definition: dict[str, Any]
    scope: Scope
    created: float
    status: str = "Executing"
    failure: str | None = None
    modified: float = 0.0
    steps: list[dict[str, Any]] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.arn.rsplit("/", 1)[1]

    def run(self, call: Call) -> None:
        """Carries out all steps; ends as Succeeded or Failed."""
        try:
            self._carry_out(ordered(self.definition["Steps"]), call)
            self.status = "Succeeded"
        except _Failed as error:
            self.status, self.failure = "Failed", str(error)
        except Exception:  # an execution must end, whatever went wrong in it
            traceback.print_exc()
            self.status, self.failure = "Failed", "InternalServerError: The local engine failed; see its output."
        self.modified = now()

    def _carry_out(self, steps: list[Step], call: Call) -> None:
        for step in steps:
            shown = {"StepName": step["Name"], "StartTime": now(), "StepStatus": "Executing", "Metadata": {}}
            self.steps.append(shown)
            try:
                following = self._step(step, shown["Metadata"], call)
                shown["StepStatus"] = "Succeeded"
            except (ApiError, DataError, ExpressionError, _Failed) as error:
                shown |= {"StepStatus": "Failed", "FailureReason": str(error)}
                raise _Failed(f"Step failure: One or multiple steps failed. {step['Name']}: {error}") from None
            finally:
                shown["EndTime"] = now()
            self._carry_out(following, call)

    def _step(self, step: Step, metadata: dict[str, Any], call: Call) -> list[Step]:
        """Carries out one step; the steps that follow from it, where it is a condition."""
        arguments = step.get("Arguments", {})
        if step["Type"] == "Condition":
            outcome = all(_holds(self.scope.resolve(each)) for each in arguments["Conditions"])
            metadata["Condition"] = {"Outcome": str(outcome)}
            return arguments.get("IfSteps" if outcome else "ElseSteps", [])
        arguments = self.scope.resolve(arguments)
        if step["Type"] == "Fail":
            metadata["Fail"] = {"ErrorMessage": arguments["ErrorMessage"]}
            raise _Failed(arguments["ErrorMessage"])
        self.scope.steps[step["Name"]] = found = self._create(step, arguments, metadata, call)
        self.scope.files[step["Name"]] = dict(_property_files(step, found))
        return []

    def _create(self, step: Step, arguments: dict[str, Any], metadata: dict[str, Any], call: Call) -> dict[str, Any]:
        """What Describe answers once a step's job has ended, or its resource is made."""
        kind, resource = KINDS[step["Type"]], KINDS[step["Type"]].resource
        request = dict(arguments)
        if step["Type"] == "RegisterModel":
            _require_group(request["ModelPackageGroupName"], call)
        else:  # a package of a group has a number for a name
            name = re.sub(r"[^A-Za-z0-9-]", "-", f"pipelines-{self.id}-{step['Name']}")[: LONGEST_NAME - 11]
            request[f"{resource}Name"] = f"{name}-{uuid.uuid4().hex[:10]}"
        (arn,) = call(f"Create{resource}", request).values()
        metadata[resource if kind.is_job else step["Type"]] = {"Arn": arn}
        identity = {f"{resource}Name": request.get(f"{resource}Name", arn)}
        found = call(f"Describe{resource}", identity)
        while kind.is_job and found[f"{resource}Status"] in ("InProgress", "Stopping"):
            time.sleep(POLL_SECONDS)
            found = call(f"Describe{resource}", identity)
        if kind.is_job and found[f"{resource}Status"] != "Completed":
            raise _Failed(found.get("FailureReason", f"the job is {found[f'{resource}Status']}"))
        return found


def _require_group(name: str, call: Call) -> None:
    """A step that registers a model makes the group of it where there is none."""
    try:
        call("DescribeModelPackageGroup", {"ModelPackageGroupName": name})
    except ApiError:
        call("CreateModelPackageGroup", {"ModelPackageGroupName": name})


def ordered(steps: list[Step]) -> list[Step]:
    """Steps after those that they depend on, else as they stand. ExpressionError for a circle or an unknown step."""
    waiting, done = list(steps), list[Step]()
    while waiting:
        names = {step["Name"] for step in done}
        ready = [step for step in waiting if dependencies(step) <= names]
        if not ready:
            raise ExpressionError(f"the steps {', '.join(step['Name'] for step in waiting)} wait for one another")
        done.append(ready[0])
        waiting.remove(ready[0])
    return done


def dependencies(step: Step) -> set[str]:
    """The names of the steps that one depends on; those within a condition need not be told apart from its own."""
    inner = {each["Name"] for each in within(step)}
    named = {path.split(".")[1] for path in gets(step.get("Arguments", {})) if path.startswith("Steps.")}
    return (
        {*step.get("DependsOn", []), *named} | {name for each in within(step) for name in dependencies(each)}
    ) - inner


def within(step: Step) -> list[Step]:
    """The steps of a condition, whichever way it goes."""
    if step["Type"] != "Condition":
        return []
    return [*step["Arguments"].get("IfSteps", []), *step["Arguments"].get("ElseSteps", [])]


def _property_files(step: Step, found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    outputs = {
        each["OutputName"]: each["S3Output"] for each in found.get("ProcessingOutputConfig", {}).get("Outputs", [])
    }
    for each in step.get("PropertyFiles", []):
        if each["OutputName"] not in outputs:
            raise _Failed(f"the property file {each['PropertyFileName']} is of no output of the step")
        yield each["PropertyFileName"], f"{outputs[each['OutputName']]['S3Uri'].rstrip('/')}/{each['FilePath']}"


def _holds(condition: dict[str, Any]) -> bool:
    """Whether a condition whose values are known is met."""
    if condition["Type"] == "Or":
        return any(_holds(each) for each in condition["Conditions"])
    return COMPARISONS[condition["Type"]](condition["LeftValue"], condition["RightValue"])
