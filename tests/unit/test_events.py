"""events/<function>.json is what the function's state sends it."""

import ast
import json
from pathlib import Path

import pytest

from suspicious_lines import messages

ROOT = Path(__file__).parents[2]
FUNCTIONS = sorted(path.parent.name for path in ROOT.glob("functions/*/app.py"))
STATES = json.loads((ROOT / "statemachine/train.asl.json").read_text())["States"]


def state_of(function: str) -> dict:
    name = "".join(word.capitalize() for word in function.split("_"))
    return STATES.get(name) or STATES["ScoreParts"]["ItemProcessor"]["States"][name]


def model_of(function: str) -> type[messages.Message]:
    """The model in `@entry_point(Model)`, read without importing the handler."""
    tree = ast.parse((ROOT / "functions" / function / "app.py").read_text())
    (handler,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "handler")
    (decorator,) = (d for d in handler.decorator_list if isinstance(d, ast.Call) and d.func.id == "entry_point")
    return getattr(messages, decorator.args[0].id)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_event_fits_the_functions_model_and_its_states_payload(function):
    event = json.loads((ROOT / "events" / f"{function}.json").read_text())
    model_of(function).model_validate(event)
    payload = state_of(function)["Parameters"]["Payload"]
    assert {key.removesuffix(".$") for key in payload} == set(event)
