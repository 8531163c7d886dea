"""CSV for people who open it in a spreadsheet: cells that would run as formulas are made text."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def neutralise(cell: Any) -> Any:
    """A text that a spreadsheet would take for a formula gets a leading apostrophe; numbers stay numbers."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell


def plain(cell: str) -> str:
    """The text that was neutralised: what a program reads out of our CSV."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA_STARTS) else cell


def from_csv(body: bytes) -> list[dict[str, str]]:
    """The rows of a CSV that `to_csv` made, by column."""
    rows = csv.DictReader(io.StringIO(body.decode("utf-8-sig"), newline=""))
    return [{name: plain(cell) for name, cell in row.items()} for row in rows]


def to_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    write_rows(text, [header])
    write_rows(text, rows)
    return text.getvalue()


def write_rows(text: TextIO, rows: Iterable[Sequence[Any]]) -> None:
    csv.writer(text, lineterminator="\n").writerows([neutralise(cell) for cell in row] for row in rows)
