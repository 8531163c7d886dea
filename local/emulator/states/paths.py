"""Paths, payload templates and intrinsic functions, failing as Step Functions does on what is not there."""

import json
from typing import TYPE_CHECKING, Any

from ministack.services import stepfunctions as sfn

if TYPE_CHECKING:

    class StateError(Exception):
        """A state's failure: the error's name and its cause."""

        error: str
        cause: str

        def __init__(self, error: str, cause: str) -> None: ...

else:
    StateError = sfn._ExecutionError

_MISSING = object()


def as_state_error(error: Exception) -> StateError:
    """An exception of the interpreter itself (a malformed definition, say) as States.Runtime."""
    return error if isinstance(error, StateError) else StateError("States.Runtime", f"{type(error).__name__}: {error}")


def find(path: str, data: Any, ctx: dict[str, Any]) -> Any:
    """The value at a path, or `_MISSING`. A path that starts with $$ reads the context object."""
    if path.startswith("$$"):
        path, data = path[1:], ctx
    tokens = sfn._parse_jsonpath_tokens(path)
    if tokens is None:
        raise StateError("States.Runtime", f"The embedded AWS does not know the JSONPath '{path}'")
    values = [data]
    for kind, key in tokens:
        values = [found for value in values for found in _step(kind, key, value)]
    if any(kind == "wildcard" for kind, _ in tokens):
        return values
    return values[0] if values else _MISSING


def _step(kind: str, key: Any, value: Any) -> list[Any]:
    if kind == "field":
        return [value[key]] if isinstance(value, dict) and key in value else []
    if kind == "index":
        return [value[key]] if isinstance(value, list) and key < len(value) else []
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def is_present(path: str, data: Any, ctx: dict[str, Any]) -> bool:
    return find(path, data, ctx) is not _MISSING


def resolve(path: str, data: Any, ctx: dict[str, Any], field: str) -> Any:
    """The value at a path. Raises States.Runtime when there is none, which nothing catches."""
    value = find(path, data, ctx)
    if value is _MISSING:
        shown = json.dumps(ctx if path.startswith("$$") else data)
        raise StateError(
            "States.Runtime",
            f"The JSONPath '{path}' specified for the field '{field}' could not be found in the input '{shown}'",
        )
    return value


def resolve_path(path: str, data: Any) -> Any:
    """For ministack's intrinsic functions: like `resolve`, without a context object."""
    return resolve(path, data, {}, "intrinsic function") if path and path.startswith("$") else data


def expression(text: str, data: Any, ctx: dict[str, Any], field: str) -> Any:
    """The value of a path or of an intrinsic function."""
    if not text.startswith("States."):
        return resolve(text, data, ctx, field)
    try:
        return sfn._evaluate_intrinsic(text, data, ctx)
    except StateError:
        raise
    except Exception as error:
        raise StateError(
            "States.IntrinsicFailure", f"The function '{text}' had the following error: {error}"
        ) from error


def template(value: Any, data: Any, ctx: dict[str, Any]) -> Any:
    """A payload template (Parameters, ItemSelector, ResultSelector) with its `.$` fields filled in."""
    if isinstance(value, list):
        return [template(item, data, ctx) for item in value]
    if not isinstance(value, dict):
        return value
    filled = {}
    for key, item in value.items():
        if key.endswith(".$"):
            filled[key[:-2]] = expression(item, data, ctx, key)
        else:
            filled[key] = template(item, data, ctx)
    return filled


def select(path: str | None, data: Any, ctx: dict[str, Any], field: str) -> Any:
    """InputPath and OutputPath: null selects an empty object."""
    return {} if path is None else resolve(path, data, ctx, field)


def insert(path: str | None, data: Any, result: Any) -> Any:
    """ResultPath: null drops the result, $ replaces the input, a reference path puts the result into it."""
    if path is None:
        return data
    if path == "$":
        return result
    if not isinstance(data, dict):
        raise StateError(
            "States.ResultPathMatchFailure", f"Unable to apply ReferencePath {path} to input {json.dumps(data)}"
        )
    tokens = sfn._parse_jsonpath_tokens(path)
    if not tokens or any(kind != "field" for kind, _ in tokens):
        raise StateError("States.Runtime", f"The embedded AWS does not know the ResultPath '{path}'")
    *parents, last = [key for _, key in tokens]
    output = dict(data)
    level = output
    for key in parents:
        child = level.get(key)
        level[key] = dict(child) if isinstance(child, dict) else {}
        level = level[key]
    level[last] = result
    return output
