"""Types and checks the columns of an upload, whatever format they came in: what is wrong with a line is told once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from suspicious_lines.text import plain_text

TEXT_COLUMNS = ["Matter Number", "Firm Name", "Matter Type", "Resource", "Activity"]
NUMBER_COLUMNS = ["Minutes", "Fee", "Total"]
LABEL_COLUMN = "Error"
COLUMNS = [*TEXT_COLUMNS, *NUMBER_COLUMNS, LABEL_COLUMN]
FIELDS = {name: name.lower().replace(" ", "_") for name in COLUMNS}

MOST_TEXT_CHARACTERS = 200
MOST = {"Minutes": 100_000, "Fee": 100_000, "Total": 100_000_000}
CHUNK_LINES = 50_000

IS_EMPTY = "is empty"
IS_NO_NUMBER = "is not a number; write it as 1262.50, without currency or separators"
HOLDS_NUL = "holds a NUL character"
IS_NOT_UTF8 = "is not valid UTF-8"
_TRUE = {"true", "1", "1.0", "yes", "y"}
_FALSE = {"false", "0", "0.0", "no", "n"}


@dataclass(frozen=True)
class Refusal:
    """Why one line was refused. `value` is cut to 100 characters and belongs in rejected.csv only, never in a log."""

    line: int
    column: str
    value: str
    reason: str


class Numbers(NamedTuple):
    """One column read as numbers: `values` float64 (NaN where it is not a number), `empty` a mask; shape [n] each."""

    values: np.ndarray
    empty: np.ndarray


class Faults:
    """The first fault of each line of a chunk: row -> (the file's column, the reason)."""

    def __init__(self) -> None:
        self.first: dict[int, tuple[str, str]] = {}

    def add(self, column: str, where: np.ndarray, reason: str) -> None:
        for row in np.flatnonzero(where).tolist():
            self.first.setdefault(row, (column, reason))


@dataclass
class Chunk:
    """Some lines of an upload, a sequence of n values for each column, translated to our columns but not yet checked.

    `names`: which of the file's columns each of ours came from; a fault is told by that name, with the cell in `cells`.
    `labels`: the cells of the label column, where there is one. `faults`: what the format itself found.
    `occasions`: what tells lines apart that are equal in our columns, where the format says it.
    """

    lines: Sequence[int]
    cells: dict[str, list[str]]
    texts: dict[str, list[str]]
    numbers: dict[str, Numbers]
    names: dict[str, str]
    labels: list[str] | None = None
    occasions: list[str] | None = None
    faults: Faults = field(default_factory=Faults)


def columns(
    batches: Iterable[tuple[Sequence[int], list[list[str]]]], header: list[str], wanted: Iterable[str]
) -> Iterator[tuple[list[int], dict[str, list[str]]]]:
    """Turns batches of (line numbers, rows as wide as the header) into columns, about CHUNK_LINES at a time."""
    positions = {name: header.index(name) for name in wanted}
    lines: list[int] = []
    cells: dict[str, list[str]] = {name: [] for name in positions}
    for numbers, rows in batches:
        lines.extend(numbers)
        batch = list(zip(*rows, strict=True))
        if batch:
            for name, position in positions.items():
                cells[name].extend(batch[position])
        if len(lines) >= CHUNK_LINES:
            yield lines, cells
            lines, cells = [], {name: [] for name in positions}
    if lines:
        yield lines, cells


def read_numbers(cells: list[str]) -> Numbers:
    # Each distinct cell once: most minutes and rates come again and again.
    codes, distinct = pd.factorize(np.array(cells, dtype=object))
    values = pd.to_numeric(pd.Series(distinct, dtype=object), errors="coerce").to_numpy(np.float64)
    empty = np.array([not cell.strip() for cell in distinct], dtype=bool)
    return Numbers(values[codes], empty[codes])


def check(chunk: Chunk, refused: list[Refusal]) -> pd.DataFrame:
    """Types one chunk: the good lines, with `occasion` where the chunk has occasions; the first fault of each bad line
    goes to `refused`."""
    faults, names = chunk.faults, chunk.names
    typed: dict[str, object] = {"line": np.asarray(chunk.lines, dtype=np.int64)}
    texts = {column: _plain_texts(chunk.texts[column]) for column in TEXT_COLUMNS}
    for column, (codes, plain) in texts.items():
        lengths = np.array([len(name) for name in plain], dtype=np.int64)[codes]
        faults.add(names[column], lengths == 0, IS_EMPTY)
        faults.add(names[column], lengths > MOST_TEXT_CHARACTERS, f"is longer than {MOST_TEXT_CHARACTERS} characters")
    for column in NUMBER_COLUMNS:
        values, empty = chunk.numbers[column]
        faults.add(names[column], empty, IS_EMPTY)
        faults.add(names[column], np.isnan(values), IS_NO_NUMBER)
        faults.add(names[column], values < 0, "is negative")
        faults.add(names[column], values > MOST[column], f"is above {MOST[column]:,}")
        typed[FIELDS[column]] = values
    faults.add(names["Minutes"], chunk.numbers["Minutes"].values == 0, "is zero")
    typed["error"] = _labels(chunk)
    if chunk.occasions is not None:
        typed["occasion"] = chunk.occasions
    for row, (column, reason) in sorted(faults.first.items()):
        refused.append(Refusal(chunk.lines[row], column, shown(chunk.cells[column][row]), reason))
    good = np.ones(len(chunk.lines), dtype=bool)
    good[list(faults.first)] = False
    frame = pd.DataFrame(typed)[good]
    for position, (column, (codes, plain)) in enumerate(texts.items(), start=1):
        frame.insert(position, FIELDS[column], _categories(codes[good], plain))
    return frame


def shown(cell: str) -> str:
    return cell if len(cell) <= 100 else cell[:99] + "…"


def concat(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """One frame of the chunks' frames, whose text columns share their sorted categories."""
    if not frames:
        empty = pd.DataFrame(columns=["line", *FIELDS.values()])
        return empty.astype({FIELDS[column]: "category" for column in TEXT_COLUMNS})
    for column in (FIELDS[name] for name in TEXT_COLUMNS):
        names = sorted({name for frame in frames for name in frame[column].cat.categories})
        for frame in frames:
            frame[column] = frame[column].cat.set_categories(pd.Index(names, dtype="str"))
    return pd.concat(frames, ignore_index=True)


def _plain_texts(cells: list[str]) -> tuple[np.ndarray, list[str]]:
    """A code for each cell, and the text that each code stands for."""
    codes, distinct = pd.factorize(np.array(cells, dtype=object))
    plain = [plain_text(name) for name in distinct]
    again, names = pd.factorize(np.array(plain, dtype=object))
    return again[codes], list(names)


def _categories(codes: np.ndarray, names: list[str]) -> pd.Categorical:
    """The texts of the codes, with no category that none of them has."""
    used = np.flatnonzero(np.bincount(codes, minlength=len(names)))
    again = np.zeros(len(names), dtype=np.int64)
    again[used] = np.arange(len(used))
    return pd.Categorical.from_codes(again[codes], pd.Index([names[code] for code in used], dtype="str"))


def _labels(chunk: Chunk) -> pd.Series:
    """NA where the label is not known."""
    labels = pd.Series(pd.NA, index=range(len(chunk.lines)), dtype="boolean")
    if chunk.labels is not None:
        codes, distinct = pd.factorize(np.array(chunk.labels, dtype=object))
        words = [word.strip().lower() for word in distinct]
        labels[np.array([word in _TRUE for word in words], dtype=bool)[codes]] = True
        labels[np.array([word in _FALSE for word in words], dtype=bool)[codes]] = False
        neither = np.array([word not in _TRUE | _FALSE | {""} for word in words], dtype=bool)
        chunk.faults.add(chunk.names[LABEL_COLUMN], neither[codes], "is neither True nor False")
    return labels
