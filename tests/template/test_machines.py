"""The state machines' structure: every way leads somewhere, every task is bounded, retried, caught and explained."""

import ast
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

State = dict[str, Any]
Machines = dict[Path, dict[str, Any]]

# Names that Step Functions itself raises; every other name in ErrorEquals is one of our exception classes.
SERVICE_ERRORS = re.compile(r"States\.\w+|Lambda\.\w+|SageMaker\.\w+|Sns\.\w+|S3\.\w+|DynamoDb\.\w+|Runtime\.\w+")
# States that are called otherwise than their function, because a machine may use a state's name only once.
SECOND_USES = {
    "ScoreChampionLines": "ScoreLines",
    "StartChampionTransform": "StartTransform",
    "FinishChampionTransform": "FinishTransform",
    "ScoreLinesDistributed": "ScoreLines",
    "ScoreChampionLinesDistributed": "ScoreLines",
}


def scopes(machine: dict[str, Any], caught: bool = False) -> Iterator[tuple[str, dict[str, State], bool]]:
    """Each StartAt with its states, outermost first, and whether a Map or Parallel around them catches errors."""
    yield machine["StartAt"], machine["States"], caught
    for state in machine["States"].values():
        inner = [state[key] for key in ("ItemProcessor", "Iterator") if key in state] + state.get("Branches", [])
        for processor in inner:
            yield from scopes(processor, caught or "Catch" in state)


def all_states(machines: Machines) -> Iterator[tuple[str, State, bool]]:
    for path, machine in machines.items():
        for _, states, caught in scopes(machine):
            for name, state in states.items():
                yield f"{path.name}: {name}", state, caught


def tasks(machines: Machines) -> Iterator[tuple[str, State, bool]]:
    return ((name, state, caught) for name, state, caught in all_states(machines) if state["Type"] == "Task")


def next_states(state: State) -> list[str]:
    choices = [rule["Next"] for rule in state.get("Choices", [])]
    catches = [catcher["Next"] for catcher in state.get("Catch", [])]
    return choices + catches + [state[key] for key in ("Next", "Default") if key in state]


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[2].glob("statemachine/*.asl.json")), ids=lambda p: p.name
)
def test_asl_validator_accepts_the_machine(path: Path, root: Path) -> None:
    validator = root / "node_modules" / ".bin" / "asl-validator"
    node = shutil.which("node")
    if node is None or not validator.exists():
        pytest.skip("asl-validator is not installed (make check-machines brings it)")

    run = subprocess.run([node, validator, "--json-path", path], capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout + run.stderr


def test_every_way_leads_to_a_state_and_every_state_is_reached(machines: Machines) -> None:
    for path, machine in machines.items():
        for start, states, _ in scopes(machine):
            reached, waiting = set(), [start]
            while waiting:
                name = waiting.pop()
                assert name in states, f"{path.name}: something leads to {name}, which is not a state"
                if name not in reached:
                    reached.add(name)
                    waiting += next_states(states[name])
            assert reached == set(states), f"{path.name}: nothing leads to {set(states) - reached}"


def test_every_state_ends_or_goes_on(machines: Machines) -> None:
    for name, state, _ in all_states(machines):
        if state["Type"] in ("Succeed", "Fail"):
            assert "Next" not in state, name
            assert "End" not in state, name
        elif state["Type"] == "Choice":
            assert "Default" in state, f"{name}: an unforeseen value would end in States.NoChoiceMatched"
        else:
            assert ("Next" in state) != (state.get("End") is True), name


def test_states_and_machines_say_why(machines: Machines) -> None:
    for path, machine in machines.items():
        assert machine.get("Comment"), path.name
        assert machine.get("TimeoutSeconds", 0) > 0, f"{path.name}: an execution may not run for a year"
    for name, state, _ in all_states(machines):
        assert len(state.get("Comment", "")) > 10, name


def test_tasks_are_bounded_retried_and_caught(machines: Machines) -> None:
    for name, state, caught_around in tasks(machines):
        assert 0 < state["TimeoutSeconds"] <= 900, name
        assert state.get("Retry"), name
        assert state.get("Catch") or caught_around, f"{name}: neither the task nor the Map around it catches errors"
    for name, state, caught_around in all_states(machines):
        if state["Type"] in ("Map", "Parallel"):
            assert state.get("Catch") or caught_around, name


def test_tasks_outlast_their_functions(machines: Machines, template: dict[str, Any]) -> None:
    default = template["Globals"]["Function"]["Timeout"]
    for name, state, _ in tasks(machines):
        if (function := called_function(state)) is not None:
            timeout = template["Resources"][function]["Properties"].get("Timeout", default)
            assert state["TimeoutSeconds"] >= timeout, f"{name} gives up while {function} may still be at work"


def test_retries_are_named_bounded_and_spread_out(machines: Machines) -> None:
    for name, state, _ in all_states(machines):
        for retry in state.get("Retry", []):
            broad = {"States.ALL", "States.TaskFailed"} & set(retry["ErrorEquals"])
            assert not broad or retry.get("MaxAttempts") == 0, f"{name}: {broad} would retry our own bugs"
            if retry.get("MaxAttempts") != 0:
                assert retry["JitterStrategy"] == "FULL", name
                assert retry["MaxDelaySeconds"] > 0, name
                assert retry["MaxAttempts"] > 0, name


def test_a_function_whose_process_died_is_tried_again(machines: Machines) -> None:
    """Its work may be done already: tests/faults and test_crash_safety.py hold that a retry does no harm."""
    for name, state, _ in tasks(machines):
        if called_function(state) is not None:
            assert "Runtime.ExitError" in [error for retry in state["Retry"] for error in retry["ErrorEquals"]], name


def test_catches_keep_the_state_and_the_last_one_takes_all(machines: Machines) -> None:
    for name, state, _ in all_states(machines):
        catchers = state.get("Catch", [])
        for catcher in catchers:
            assert catcher.get("ResultPath", "$") != "$", f"{name}: the error would replace the state"
        if catchers:
            assert catchers[-1]["ErrorEquals"] == ["States.ALL"], name


def test_error_names_are_those_of_the_library(machines: Machines, root: Path) -> None:
    classes = {
        node.name
        for path in (root / "layers" / "core").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }
    for name, state, _ in all_states(machines):
        for rule in state.get("Retry", []) + state.get("Catch", []):
            ours = {error for error in rule["ErrorEquals"] if not SERVICE_ERRORS.fullmatch(error)}
            assert ours <= classes, f"{name}: no class is called {ours - classes}"


# A newer model takes over or is compared with, one that does not answer is replaced, or the file waits for the first
# one: all are ways to a result.
RECOVERABLE = {"ModelGoneError", "ModelResponseError", "ChampionChangedError", "NoLiveModelError"}
# A trial that is to be ended is, without its last report too; one that was to be reported on fails: test_trials.py.
DISPENSABLE = {"IsReportNeeded"}


def test_failures_end_in_fail(machines: Machines) -> None:
    """Whatever a Catch leads to, the execution must not read SUCCEEDED, but for what a run can recover from."""
    for path, machine in machines.items():
        for _, states, _ in scopes(machine):
            waiting = [
                catcher["Next"]
                for state in states.values()
                for catcher in state.get("Catch", [])
                if not set(catcher["ErrorEquals"]) <= RECOVERABLE and catcher["Next"] not in DISPENSABLE
            ]
            seen: set[str] = set()
            while waiting:
                name = waiting.pop()
                state = states[name]
                assert state["Type"] != "Succeed", f"{path.name}: {name}"
                assert state.get("End") is not True, f"{path.name}: {name} ends well after a failure"
                if name not in seen:
                    seen.add(name)
                    waiting += next_states(state)


def test_a_machine_uses_a_states_name_once(machines: Machines) -> None:
    for path, machine in machines.items():
        names = [name for _, states, _ in scopes(machine) for name in states]
        assert len(names) == len(set(names)), path.name


def test_substitutions_are_given_and_used(machines: Machines, template: dict[str, Any], root: Path) -> None:
    given = {
        root / resource["Properties"]["DefinitionUri"]: resource["Properties"].get("DefinitionSubstitutions", {})
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::Serverless::StateMachine"
    }
    assert set(given) == set(machines), "a state machine is not in the template, or the other way round"
    for path, machine in machines.items():
        used = set(re.findall(r"\$\{(\w+)\}", json.dumps(machine)))
        assert used == set(given[path]), path.name


def called_function(state: State) -> str | None:
    """The logical id of the function that a task invokes, None for a task that calls a service."""
    if not state["Resource"].startswith("arn:aws:states:::lambda:invoke"):
        return None
    found = re.fullmatch(r"\$\{(\w+)Arn\}", state["Parameters"]["FunctionName"])
    assert found, f"FunctionName is not a ${{<Function>Arn}}: {state['Parameters']['FunctionName']}"
    return found[1]


def test_a_state_its_function_its_event_and_its_test_share_one_name(
    machines: Machines, functions: dict[str, dict[str, Any]], root: Path
) -> None:
    tests = [path for path in (root / "tests").rglob("test_*.py") if root / "tests" / "template" not in path.parents]
    tested = "\n".join(path.read_text() for path in tests)
    for name, state, _ in tasks(machines):
        function = called_function(state)
        if function is None:
            continue
        state_name = name.split(": ")[1]
        assert function == f"{SECOND_USES.get(state_name, state_name)}Function", name
        verb_noun = re.sub(r"(?<!^)(?=[A-Z])", "_", function.removesuffix("Function")).lower()
        assert functions[function]["CodeUri"].rstrip("/") == f"functions/{verb_noun}", function
        assert (root / "functions" / verb_noun / "app.py").is_file(), function
        json.loads((root / "events" / f"{verb_noun}.json").read_text())
        assert re.search(rf"\b(test_)?{verb_noun}\b", tested), f"no test mentions {verb_noun}"


def test_substitutions_name_the_function_they_are_called_after(template: dict[str, Any]) -> None:
    for resource in template["Resources"].values():
        for name, value in resource.get("Properties", {}).get("DefinitionSubstitutions", {}).items():
            if name.endswith("FunctionArn"):
                function = name.removesuffix("Arn")
                # By default no release of it: what was deployed last.
                assert value in ({"Fn::GetAtt": [function, "Arn"]}, {"Fn::Sub": f"${{{function}.Arn}}"}), name


def test_every_function_is_called_by_something(
    machines: Machines, functions: dict[str, dict[str, Any]], template: dict[str, Any], root: Path
) -> None:
    called = {called_function(state) for _, state, _ in tasks(machines)}
    properties = [resource.get("Properties", {}) for resource in template["Resources"].values()]
    called |= {given["ServiceToken"]["Fn::GetAtt"][0] for given in properties if "ServiceToken" in given}
    idle = {name for name, properties in functions.items() if name not in called and not properties.get("Events")}

    assert idle == set()
    folders = {path.parent.relative_to(root).as_posix() for path in (root / "functions").glob("*/app.py")}
    assert folders == {properties["CodeUri"].rstrip("/") for properties in functions.values()}
