"""What a pipeline definition's expressions mean: {"Get": ...}, {"Std:Join": ...} and {"Std:JsonGet": ...}."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

_PART = re.compile(r"(?:\w+|\['([^']+)'\]|\[(\d+)\])")
# Members that are lists in what Describe answers, and in a definition go by the name of their entries.
NAMED = ("OutputName", "InputName", "ChannelName", "MetricName")


class ExpressionError(Exception):
    """An expression names what is not there; the message says which."""


class Scope:
    """What expressions can get: parameters, the execution's own properties, and the steps that have ended.

    `steps`: what Describe answers of each, by the step's name; `files`: the property files of each, to be read.
    """

    def __init__(self, parameters: dict[str, Any], execution: dict[str, str], read: Callable[[str], bytes]) -> None:
        self._roots: dict[str, Any] = {"Parameters": parameters, "Execution": execution}
        self._read = read
        self.steps: dict[str, Any] = {}
        self.files: dict[str, dict[str, str]] = {}

    def resolve(self, value: Any) -> Any:
        """`value` with every expression in it replaced. ExpressionError where one cannot be."""
        if isinstance(value, list):
            return [self.resolve(each) for each in value]
        if not isinstance(value, dict):
            return value
        match value:
            case {"Get": str(path), **rest} if not rest:
                return self._get(path)
            case {"Std:Join": {"On": str(between), "Values": list(values)}}:
                return between.join(str(self.resolve(each)) for each in values)
            case {"Std:JsonGet": {"PropertyFile": {"Get": str(file)}, "Path": str(path)}}:
                return self._json(file, path)
        return {name: self.resolve(each) for name, each in value.items()}

    def _get(self, path: str) -> Any:
        root, _, rest = path.partition(".")
        if root == "Steps":
            name, _, rest = rest.partition(".")
            if name not in self.steps:
                raise ExpressionError(f"{path}: the step {name} has not run")
            return _walk(self.steps[name], rest, path)
        if root not in self._roots:
            raise ExpressionError(f"{path}: expressions begin with Parameters, Execution or Steps")
        return _walk(self._roots[root], rest, path)

    def _json(self, file: str, path: str) -> Any:
        _, step, _, name = file.split(".")
        uri = self.files.get(step, {}).get(name)
        if uri is None:
            raise ExpressionError(f"{file}: the step {step} has no such property file")
        try:
            document = json.loads(self._read(uri))
        except ValueError as error:
            raise ExpressionError(f"{file}: {uri} is not JSON: {error}") from None
        return _walk(document, path, f"{path} of {uri}")


def gets(value: Any) -> Iterator[str]:
    """All that is got anywhere in `value`: "Parameters.Upload", "Steps.Train.ModelArtifacts.S3ModelArtifacts"."""
    if isinstance(value, dict):
        if set(value) == {"Get"}:
            yield value["Get"]
        for each in value.values():
            yield from gets(each)
    elif isinstance(value, list):
        for each in value:
            yield from gets(each)


def _walk(value: Any, path: str, told: str) -> Any:
    for match in _PART.finditer(path):
        key = match[1] or match[2] or match[0]
        if isinstance(value, list):
            named = [each for each in value if key in (each.get(name) for name in NAMED)]
            value = named[0] if named else value[int(key)] if key.isdigit() and int(key) < len(value) else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            raise ExpressionError(f"{told}: there is no {key}")
    return value
