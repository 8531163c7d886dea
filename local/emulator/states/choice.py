"""Choice rules. A rule that reads a path which is not there fails the execution, but for IsPresent."""

import operator
import re
from collections.abc import Callable
from typing import Any

from ministack.services import stepfunctions as sfn

from .paths import StateError, find, is_present, resolve

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": operator.eq,
    "LessThanEquals": operator.le,
    "GreaterThanEquals": operator.ge,
    "LessThan": operator.lt,
    "GreaterThan": operator.gt,
}
_VALUES: dict[str, Callable[[Any], Any]] = {
    "String": lambda value: value if isinstance(value, str) else None,
    "Numeric": lambda value: value if sfn._is_num(value) else None,
    "Boolean": lambda value: value if isinstance(value, bool) else None,
    "Timestamp": lambda value: sfn._parse_ts(value) if isinstance(value, str) else None,
}
_TYPES: dict[str, Callable[[Any], bool]] = {
    "IsNull": lambda value: value is None,
    "IsNumeric": sfn._is_num,
    "IsString": lambda value: isinstance(value, str),
    "IsBoolean": lambda value: isinstance(value, bool),
    "IsTimestamp": sfn._is_timestamp,
}


def matches(rule: dict[str, Any], data: Any, ctx: dict[str, Any]) -> bool:
    """Whether a rule of a Choice state holds for the state's input."""
    if "And" in rule:
        return all(matches(part, data, ctx) for part in rule["And"])
    if "Or" in rule:
        return any(matches(part, data, ctx) for part in rule["Or"])
    if "Not" in rule:
        return not matches(rule["Not"], data, ctx)
    path = rule["Variable"]
    if "IsPresent" in rule:
        return is_present(path, data, ctx) == rule["IsPresent"]
    if not is_present(path, data, ctx):
        raise StateError(
            "States.Runtime", f"Invalid path '{path}': The choice state's condition path references an invalid value."
        )
    value = find(path, data, ctx)
    for name, expected in rule.items():
        if name in _TYPES:
            return _TYPES[name](value) == expected
        if name == "StringMatches":
            return isinstance(value, str) and _wildcard(expected).fullmatch(value) is not None
        parsed = re.fullmatch(r"(String|Numeric|Boolean|Timestamp)([A-Z][A-Za-z]*?)(Path)?", name)
        if parsed and parsed[2] in _COMPARE:
            other = resolve(expected, data, ctx, name) if parsed[3] else expected
            left, right = _VALUES[parsed[1]](value), _VALUES[parsed[1]](other)
            return left is not None and right is not None and _COMPARE[parsed[2]](left, right)
    raise StateError("States.Runtime", f"The embedded AWS does not know the choice rule {sorted(rule)}")


def _wildcard(pattern: str) -> re.Pattern[str]:
    """A StringMatches pattern: * is any run of characters, \\* an asterisk."""
    parts = re.findall(r"\\[\\*]|\*|[^\\*]+|\\", pattern)
    return re.compile("".join(".*" if part == "*" else re.escape(part.replace("\\", "", 1)) for part in parts), re.S)
