"""The enumeration of calls is complete, and a part of its matrix holds; `make faults` plays all of it."""

from pathlib import Path

import pytest

from local.emulator.calls import KINDS
from tests.faults.cells import cells, enumeration
from tests.faults.outcomes import Rehearsal, distinct, play, rehearse
from tests.faults.stage import Stage
from tests.faults.workflows import WORKFLOWS

# A prime stride: neighbours differ in call, kind and persistence.
CHOSEN = cells()[::181]


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with Stage(tmp_path_factory.mktemp("faults")) as running:
        yield running


@pytest.fixture(scope="module")
def rehearsals(stage) -> dict[str, Rehearsal]:
    return {name: rehearse(workflow, stage) for name, workflow in WORKFLOWS.items()}


def test_the_enumeration_has_every_call_and_no_other(rehearsals):
    """Where this fails, look at the new calls and write them down: python -m tests.faults --record."""
    recorded = {name: set(calls) for name, calls in distinct(rehearsals).items()}
    assert recorded == {name: {str(call) for call in calls} for name, calls in enumeration().items()}


def test_the_part_has_every_kind_of_fault_once_and_persistently():
    assert {(cell.kind, cell.once) for cell in CHOSEN} >= {
        (kind, once) for kind in KINDS for once in (True, False) if kind != "miscounted"
    }


@pytest.mark.parametrize("cell", CHOSEN, ids=str)
def test_a_cell_holds(stage, rehearsals, cell):
    assert play(cell, rehearsals[cell.workflow], stage).problems == []


def test_the_docs_state_the_size_of_the_matrix():
    text = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text()
    calls = sum(len(calls) for calls in enumeration().values())
    assert f"{calls} calls" in text
    assert f"{len(cells()):,} cells" in text
