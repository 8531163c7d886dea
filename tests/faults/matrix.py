"""The matrix in numbers, as docs/reliability.md shows it."""

from collections.abc import Iterable

from tests.faults.cells import Cell
from tests.faults.outcomes import Outcome
from tests.faults.workflows import WORKFLOWS

HEADER = [
    "workflow",
    "calls",
    "faults",
    "cells",
    "once: recovered",
    "once: failed by design",
    "persistent: recovered",
    "persistent: failed cleanly",
    "do not hold",
    "not run",
]


def matrix(cells: Iterable[Cell], found: dict[str, Outcome]) -> str:
    """A Markdown table: a row a workflow, and all of them."""
    cells = list(cells)
    workflows = list(dict.fromkeys(cell.workflow for cell in cells))
    rows = [_row(name, [cell for cell in cells if cell.workflow == name], found) for name in workflows]
    table = [HEADER, ["---", *["--:"] * (len(HEADER) - 1)], *rows, _row("**all**", cells, found)]
    return "\n".join("| " + " | ".join(row) + " |" for row in table)


def _row(name: str, cells: list[Cell], found: dict[str, Outcome]) -> list[str]:
    known = [(cell, found[str(cell)]) for cell in cells if str(cell) in found]
    held = [(cell, outcome) for cell, outcome in known if not outcome.problems]
    as_without = [(cell, _as_without(outcome, cell)) for cell, outcome in held]
    counts = [
        len({(cell.workflow, str(cell.call)) for cell in cells}),
        len({cell.kind for cell in cells}),
        len(cells),
        sum(cell.once and same for cell, same in as_without),
        sum(cell.once and not same for cell, same in as_without),
        sum(not cell.once and same for cell, same in as_without),
        sum(not cell.once and not same for cell, same in as_without),
        len(known) - len(held),
        len(cells) - len(known),
    ]
    return [name, *(f"{count:,}" for count in counts)]


def _as_without(outcome: Outcome, cell: Cell) -> bool:
    """Whether the run ended as if nothing had been broken; a failed one does where it had failed anyway."""
    failing = WORKFLOWS[cell.workflow].status != "SUCCEEDED"
    return outcome.status == "SUCCEEDED" or (failing and not outcome.handed_on)
