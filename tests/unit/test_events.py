"""events/<function>.json is what the function's state sends it."""

import ast
import importlib
import json
from pathlib import Path

import msgspec
import pytest

from suspicious_lines.messages import Message

ROOT = Path(__file__).parents[2]
FUNCTIONS = sorted(path.parent.name for path in ROOT.glob("functions/*/app.py"))
# Called by schedules, by CloudFormation and by rules.
NOT_STATES = {"sweep_uploads", "delete_orphans", "delete_hosted", "register_model", "ingest_features", "track_run"}
MACHINES = [json.loads(path.read_text())["States"] for path in sorted(ROOT.glob("statemachine/*.asl.json"))]


def states_of(function: str) -> list[dict]:
    """The states of all the machines that call a function."""
    name = "".join(word.capitalize() for word in function.split("_"))
    inner = [
        state["ItemProcessor"]["States"]
        for machine in MACHINES
        for state in machine.values()
        if "ItemProcessor" in state
    ]
    return [states[name] for states in [*MACHINES, *inner] if name in states]


def model_of(function: str) -> type[Message]:
    """The model in `@entry_point(Model)`, found without importing the handler."""
    tree = ast.parse((ROOT / "functions" / function / "app.py").read_text())
    (handler,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "handler")
    (decorator,) = (d for d in handler.decorator_list if isinstance(d, ast.Call) and d.func.id == "entry_point")
    (name,) = (argument.id for argument in decorator.args)
    imports = (node for node in tree.body if isinstance(node, ast.ImportFrom))
    (module,) = (node.module for node in imports if name in {alias.name for alias in node.names})
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_event_fits_the_functions_model_and_its_states_payload(function):
    event = json.loads((ROOT / "events" / f"{function}.json").read_text())
    msgspec.convert(event, model_of(function))
    states = states_of(function)
    assert bool(states) == (function not in NOT_STATES)
    for state in states:
        assert {key.removesuffix(".$") for key in state["Parameters"]["Payload"]} == set(event)
