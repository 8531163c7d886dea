"""Markdown tables of measured figures, and the marked part of a document that a command rewrites."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

COUNTS = {"lines", "a file"}  # the columns that are no shares
# One file's figure: a number, (hits, trials), or None where there is nothing to measure.
Cell = float | tuple[int, int] | None
# Of one file: figures by (section, row, column).
Measured = dict[tuple[str, str, str], Cell]


def table(section: str, files: dict[str, list[Measured]]) -> Iterator[str]:
    """The lines of one section's table; `files` are the measured files by kind."""
    cells: dict[tuple[str, str, str], list[Cell]] = defaultdict(list)
    rows: dict[str, None] = {}
    columns: dict[str, None] = {}
    for kind, measured in files.items():
        for figures in measured:
            for (where, row, column), cell in figures.items():
                if where == section:
                    cells[row, kind, column].append(cell)
                    rows[row], columns[column] = None, None
    places = [(kind, column) for kind in files for column in columns]
    yield "| | " + " | ".join(f"{kind}: {column}" for kind, column in places) + " |"
    yield "|---" * (1 + len(places)) + "|"
    for row in rows:
        yield (
            f"| {row} | "
            + " | ".join(_shown(cells[row, kind, column], 1 if column in COUNTS else 3) for kind, column in places)
            + " |"
        )


def _shown(cells: list[Cell], digits: int) -> str:
    """Mean and standard deviation over the files; hits and trials are summed."""
    known = [cell for cell in cells if cell is not None]
    pairs = [cell for cell in known if isinstance(cell, tuple)]
    if pairs:
        hits, trials = np.sum(pairs, axis=0)
        return f"{hits / trials:.3f} ({hits:,} of {trials:,})" if trials else "-"
    if not known:
        return "-"
    return f"{np.mean(known):.{digits}f} ± {np.std(known):.{digits}f}"


def write(text: str, document: Path | None, mark: str) -> None:
    """Prints, or puts the text between the document's comments `<!-- mark -->` and `<!-- end of mark -->`.

    Raises:
        ValueError: the document lacks the comments.
    """
    if document is None:
        print(text)
        return
    begin, end = f"<!-- {mark} -->\n", f"\n<!-- end of {mark} -->"
    before, found, rest = document.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{document} has no lines {begin.strip()} and {end.strip()}")
    document.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
