"""Checks a request against botocore's own service model, with AWS's wording for what is wrong."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

from local.sagemaker.errors import ApiError

JSON_TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float),
    "boolean": (bool,),
}


@lru_cache(maxsize=5)
def service(name: str) -> ServiceModel:
    """botocore's model of `sagemaker`, one of its other services or `application-autoscaling`."""
    return botocore.session.get_session().get_service_model(name)


def check(operation: str, request: dict[str, Any], of: str = "sagemaker") -> None:
    """Refuse a request for an operation that the model of its service, `of`, refuses.

    Raises ApiError: SerializationException for a wrong type, ValidationException listing every broken constraint.
    """
    shape = service(of).operation_model(operation).input_shape
    assert shape is not None  # every operation of these services takes a structure
    problems = list(_problems(shape, request, ""))
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: "
        raise ApiError("ValidationException", count + "; ".join(problems))


def _problems(shape: Shape, value: Any, path: str) -> Iterator[str]:
    _require_type(shape, value, path)
    if isinstance(shape, StructureShape):
        yield from _structure_problems(shape, value, path)
    elif isinstance(shape, ListShape):
        yield from _size_problems(shape, value, path)
        for place, member in enumerate(value, start=1):
            yield from _problems(shape.member, member, f"{path}.{place}.member")
    elif isinstance(shape, MapShape):
        yield from _size_problems(shape, value, path)
        for key, member in value.items():
            yield from _problems(shape.key, key, f"{path}.{key}.key")
            yield from _problems(shape.value, member, f"{path}.{key}.member")
    elif shape.type_name == "string":
        yield from _string_problems(shape, value, path)
    elif shape.type_name in ("integer", "long", "float", "double"):
        yield from _bound_problems(shape, value, value, path, "have value")


def _structure_problems(shape: StructureShape, value: dict[str, Any], path: str) -> Iterator[str]:
    for name, member in shape.members.items():
        inner = f"{path}.{_lower_first(name)}" if path else _lower_first(name)
        if value.get(name) is not None:
            yield from _problems(member, value[name], inner)
        elif name in shape.required_members:
            yield f"Value null at '{inner}' failed to satisfy constraint: Member must not be null"


def _size_problems(shape: Shape, value: Any, path: str) -> Iterator[str]:
    yield from _bound_problems(shape, len(value), value, path, "have length")


def _string_problems(shape: Shape, value: str, path: str) -> Iterator[str]:
    yield from _size_problems(shape, value, path)
    if (allowed := shape.metadata.get("enum")) and value not in allowed:
        yield _constraint(value, path, f"Member must satisfy enum value set: [{', '.join(allowed)}]")
    pattern = shape.metadata.get("pattern")
    if pattern and (compiled := _compiled(pattern)) and not compiled.fullmatch(value):
        yield _constraint(value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _bound_problems(shape: Shape, size: float, value: Any, path: str, what: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        yield _constraint(value, path, f"Member must {what} greater than or equal to {least}")
    if most is not None and size > most:
        yield _constraint(value, path, f"Member must {what} less than or equal to {most}")


def _constraint(value: Any, path: str, rule: str) -> str:
    return f"Value '{value}' at '{path}' failed to satisfy constraint: {rule}"


def _require_type(shape: Shape, value: Any, path: str) -> None:
    expected = JSON_TYPES.get(shape.type_name, (str,))
    if not isinstance(value, expected) or (isinstance(value, bool) and shape.type_name != "boolean"):
        where = f" at '{path}'" if path else ""
        raise ApiError("SerializationException", f"{type(value).__name__}{where} can not be converted to {shape.name}")


def _lower_first(name: str) -> str:
    return name[:1].lower() + name[1:]


@lru_cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:  # Java classes such as \p{L}, which Python's re does not know
        return None
