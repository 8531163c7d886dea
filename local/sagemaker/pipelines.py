"""Pipelines: definitions that are checked when they are given, and executions that carry them out in the background."""

import json
import threading
import uuid
from collections.abc import Callable
from typing import Any

from local.sagemaker.errors import ApiError, invalid
from local.sagemaker.expressions import ExpressionError, Scope, gets
from local.sagemaker.jobs import now
from local.sagemaker.pipeline_runs import TYPES, Call, Execution, ordered, within
from local.sagemaker.store import Store

VERSION = "2020-12-01"
CASTS: dict[str, Callable[[str], Any]] = {
    "String": str,
    "Integer": int,
    "Float": float,
    "Boolean": lambda text: {"true": True, "false": False}[text.lower()],
}


class Pipelines:
    """The operations on pipelines and on their executions; `call` is any other operation of the engine."""

    def __init__(self, call: Call, store: Store, region: str, account: str) -> None:
        self._call, self._store = call, store
        self._prefix = f"arn:aws:sagemaker:{region}:{account}:pipeline"
        self._pipelines: dict[str, dict[str, Any]] = {}
        self._executions: dict[str, Execution] = {}
        self._lock = threading.RLock()

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["PipelineName"]
        _parse(request.get("PipelineDefinition"))
        with self._lock:
            if name in self._pipelines:
                raise invalid(f"Pipeline names must be unique within an AWS account and region. {name} already exists.")
            kept = {key: value for key, value in request.items() if key not in ("Tags", "ClientRequestToken")}
            self._pipelines[name] = kept | {"CreationTime": now(), "LastModifiedTime": now()}
        return {"PipelineArn": self._arn(name)}

    def update(self, request: dict[str, Any]) -> dict[str, Any]:
        if "PipelineDefinition" in request:
            _parse(request["PipelineDefinition"])
        with self._lock:
            self._find(request).update(request, LastModifiedTime=now())
        return {"PipelineArn": self._arn(request["PipelineName"])}

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            found = self._find(request)
            return found | {"PipelineArn": self._arn(request["PipelineName"]), "PipelineStatus": "Active"}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            self._find(request)
            del self._pipelines[request["PipelineName"]]
        return {"PipelineArn": self._arn(request["PipelineName"])}

    def start(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            pipeline = self._find(request)
            definition = _parse(pipeline["PipelineDefinition"])
            parameters = _parameters(definition, request.get("PipelineParameters", []))
            arn = f"{self._arn(request['PipelineName'])}/execution/{uuid.uuid4().hex[:12]}"
            own = {
                "PipelineName": request["PipelineName"],
                "PipelineArn": self._arn(request["PipelineName"]),
                "PipelineExecutionId": arn.rsplit("/", 1)[1],
                "PipelineExecutionArn": arn,
            }
            scope = Scope(parameters, own, self._store.read)
            execution = Execution(arn, definition, scope, now())
            self._executions[arn] = execution
        threading.Thread(target=execution.run, args=(self._call,), name=arn, daemon=True).start()
        return {"PipelineExecutionArn": arn}

    def describe_execution(self, request: dict[str, Any]) -> dict[str, Any]:
        execution = self._find_execution(request)
        answer = {
            "PipelineArn": execution.arn.partition("/execution/")[0],
            "PipelineExecutionArn": execution.arn,
            "PipelineExecutionStatus": execution.status,
            "CreationTime": execution.created,
            "LastModifiedTime": execution.modified or execution.created,
        }
        return answer if execution.failure is None else answer | {"FailureReason": execution.failure}

    def list_steps(self, request: dict[str, Any]) -> dict[str, Any]:
        """All in one page, the last that began first."""
        steps = [dict(step) for step in self._find_execution(request).steps]
        return {"PipelineExecutionSteps": steps if request.get("SortOrder") == "Ascending" else steps[::-1]}

    def _find(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["PipelineName"]
        if name not in self._pipelines:
            raise ApiError("ResourceNotFound", f"Pipeline '{self._arn(name)}' does not exist.")
        return self._pipelines[name]

    def _find_execution(self, request: dict[str, Any]) -> Execution:
        arn = request["PipelineExecutionArn"]
        if arn not in self._executions:
            raise ApiError("ResourceNotFound", f"Pipeline execution '{arn}' does not exist.")
        return self._executions[arn]

    def _arn(self, name: str) -> str:
        return f"{self._prefix}/{name.lower()}"


def _parse(text: str | None) -> dict[str, Any]:
    """A definition that can be carried out. ApiError for one that SageMaker refuses, or the local engine cannot do."""
    try:
        definition = json.loads(text or "")
        if definition.get("Version") != VERSION:
            raise invalid(f"Pipeline definition: Version must be {VERSION}.")
        steps = [each for step in definition["Steps"] for each in (step, *within(step))]
        names = [step["Name"] for step in steps]
        parameters = {f"Parameters.{each['Name']}" for each in definition.get("Parameters", [])}
        unknown = {path for path in gets(definition["Steps"]) if path.startswith("Parameters.")} - parameters
        types = {step["Type"] for step in steps} - set(TYPES)
        ordered(definition["Steps"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise invalid(f"Unable to parse pipeline definition. {type(error).__name__}: {error}") from None
    except ExpressionError as error:
        raise invalid(f"Pipeline definition: {error}.") from None
    if len(set(names)) != len(names):
        raise invalid("Pipeline definition: step names must be unique.")
    if unknown:
        raise invalid(f"Pipeline definition: {', '.join(sorted(unknown))} is not defined.")
    if types:
        raise invalid(f"The local engine has no steps of type {', '.join(sorted(types))}.")
    return definition


def _parameters(definition: dict[str, Any], given: list[dict[str, str]]) -> dict[str, Any]:
    """Every parameter's value by its name. ApiError for one that is missing, unknown or of another type."""
    values = {each["Name"]: each["Value"] for each in given}
    found = {}
    for each in definition.get("Parameters", []):
        name = each["Name"]
        if name not in values and "DefaultValue" not in each:
            raise invalid(f"Parameter [{name}] has no value and no default.")
        try:
            found[name] = CASTS[each["Type"]](values.pop(name)) if name in values else each["DefaultValue"]
        except (ValueError, KeyError):
            raise invalid(f"Parameter [{name}] is not of type {each['Type']}.") from None
        if found[name] not in each.get("EnumValues", [found[name]]):
            raise invalid(f"Parameter [{name}] is none of {', '.join(each['EnumValues'])}.")
    if values:
        raise invalid(f"Unknown parameter: {', '.join(sorted(values))}.")
    return found
