"""Writes the reference pages that follow from the code: docs/parameters.md, docs/errors.md and docs/metrics.md."""

import ast
import html
import inspect
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

from suspicious_lines import errors

ROOT = Path(__file__).resolve().parent.parent
MADE = "`make reference` makes this page from {}; a test holds the two equal.\n"


def pages() -> dict[str, str]:
    """Text by the name of the page under docs/."""
    return {"parameters.md": _parameters(), "errors.md": _errors(), "metrics.md": _metrics()}


def _parameters() -> str:
    parameters = yaml_parse((ROOT / "template.yaml").read_text())["Parameters"]
    lines = [
        "# Parameters",
        "",
        MADE.format("`template.yaml`"),
        "Give them in `samconfig.toml`, or once by `sam deploy --parameter-overrides Name=value`.",
        "",
        "| parameter | default | allowed | what it sets |",
        "|---|---|---|---|",
    ]
    for name, each in parameters.items():
        default = f"`{each['Default']}`" if str(each["Default"]) else "empty"
        what = re.sub(r"docs/([\w-]+\.md)", r"[\1](\1)", " ".join(each["Description"].split()))
        lines.append(f"| `{name}` | {default} | {_allowed(each)} | {what} |")
    return "\n".join(lines) + "\n"


def _allowed(parameter: dict[str, Any]) -> str:
    if values := parameter.get("AllowedValues"):
        return ", ".join(f"`{value}`" for value in values)
    if pattern := parameter.get("AllowedPattern"):
        return f"<code>{html.escape(pattern).replace('|', '&#124;')}</code>"  # a bar would end the cell
    return f"{parameter['MinValue']} to {parameter['MaxValue']}" if "MinValue" in parameter else "any"


def _errors() -> str:
    handled: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for path in sorted((ROOT / "statemachine").glob("*.asl.json")):
        for how, names in _handlers(json.loads(path.read_text())):
            for name in names:
                handled[name][how].add(path.name.removesuffix(".asl.json"))
    lines = [
        "# Errors",
        "",
        MADE.format("`errors.py` of the library and `statemachine/`"),
        "An error's name stands in the receipt (`error`) and in the e-mail of a failed run; its message (`cause`) says",
        "where and what to do. Step Functions retries and catches by these names. What is not retried, or too often,",
        "ends the run in ReportFailure, unless a state catches it by name and goes another way.",
        "",
        "| error | what it means | retried in | caught by name in |",
        "|---|---|---|---|",
    ]
    for name, each in inspect.getmembers(errors, inspect.isclass):
        if issubclass(each, Exception):
            what = " ".join((each.__doc__ or "").split())
            where = (", ".join(sorted(handled[name][how])) or "-" for how in ("Retry", "Catch"))
            lines.append(f"| `{name}` | {what} | {' | '.join(where)} |")
    return "\n".join(lines) + "\n"


def _handlers(node: Any) -> Iterator[tuple[str, list[str]]]:
    """("Retry" or "Catch", names of errors) of every state; MaxAttempts 0 is no retry."""
    if isinstance(node, list):
        for child in node:
            yield from _handlers(child)
    elif isinstance(node, dict):
        for how in ("Retry", "Catch"):
            for each in node.get(how, []):
                if isinstance(each, dict) and each.get("MaxAttempts") != 0:
                    yield how, each["ErrorEquals"]
        for child in node.values():
            yield from _handlers(child)


def _metrics() -> str:
    alarms = _alarms()
    written: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for path in sorted((ROOT / "functions").glob("*/app.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"count", "gauge"}:
                for keyword in node.keywords:
                    written[str(keyword.arg)][node.func.id].add(path.parent.name)
    lines = [
        "# Metrics",
        "",
        MADE.format("`functions/`, `template.yaml` and `stacks/`"),
        "In CloudWatch's namespace `SuspiciousLines`, with the dimension `service`, which is the stack's name. A",
        "*count* is added up, a *gauge* is a share, an age or dollars. Other alarms of [the runbook](runbook.md) read",
        "what AWS itself writes.",
        "",
        "| metric | kind | written by | read by |",
        "|---|---|---|---|",
    ]
    for name, kinds in sorted(written.items()):
        functions = ", ".join(f"`{each}`" for each in sorted(set().union(*kinds.values())))
        readers = ", ".join(f"[{each}](runbook.md#{each.lower()})" for each in sorted(alarms[name]))
        lines.append(f"| `{name}` | {', '.join(sorted(kinds))} | {functions} | {readers or '-'} |")
    return "\n".join(lines) + "\n"


def _alarms() -> dict[str, set[str]]:
    """Names of the alarms that read each metric."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in (ROOT / "template.yaml", *sorted(ROOT.glob("stacks/*.yaml"))):
        for name, resource in yaml_parse(path.read_text())["Resources"].items():
            if resource["Type"] == "AWS::CloudWatch::Alarm":
                for metric in _values(resource["Properties"], "MetricName"):
                    found[metric].add(name)
    return found


def _values(node: Any, name: str) -> Iterator[str]:
    if isinstance(node, list):
        for child in node:
            yield from _values(child, name)
    elif isinstance(node, dict):
        if isinstance(node.get(name), str):
            yield node[name]
        for child in node.values():
            yield from _values(child, name)


def main() -> None:
    for name, text in pages().items():
        (ROOT / "docs" / name).write_text(text)


if __name__ == "__main__":
    main()
