"""Types and checks the columns of an upload, whatever format they came in: what is wrong with a line is told once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from suspicious_lines import arrow
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
# What is a number, once the blanks around it are off; Arrow would read more, such as nan(1).
_NUMBER = r"(?i)^[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|inf(inity)?)$"
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
    """Some lines of an upload, n cells for each column, translated to our columns but not yet checked.

    Cells are coded: each distinct text is there once, and most of what is asked of a cell is asked of it once. Those of
    numbers may be numbers where all of them are sound.

    `names`: which of the file's columns each of ours came from; a fault is told by that name, with the cell in `cells`.
    `refused`: what stood between these lines and is no record. `labels`: the cells of the label column, where there is
    one. `faults`: what the format itself found. `occasions`: what tells lines apart that are equal in our columns,
    where the format says it.
    """

    lines: np.ndarray
    cells: dict[str, pa.Array]
    texts: dict[str, pa.DictionaryArray]
    numbers: dict[str, Numbers]
    names: dict[str, str]
    refused: list[Refusal]
    labels: pa.DictionaryArray | None = None
    occasions: pa.DictionaryArray | None = None
    faults: Faults = field(default_factory=Faults)


class Checked(NamedTuple):
    """Some lines of an upload, in its order.

    `accepted`: `line` (int64), the snake-case text columns (dictionaries of text), `minutes`, `fee`, `total` (float64),
    `error` (bool, null where the label is not known) and, where the format tells it, `occasion` (text): the date and
    timekeeper of a line. Lines of an invoice that are equal in every column are the same work billed twice only if
    their occasions are equal.
    """

    accepted: pa.RecordBatch
    refused: list[Refusal]


def coded(cells: Sequence[str]) -> pa.DictionaryArray:
    return arrow.texts(cells).dictionary_encode()


def columns(
    batches: Iterable[tuple[Sequence[int], list[list[str]]]], header: list[str], wanted: Iterable[str]
) -> Iterator[tuple[list[int], dict[str, list[str]]]]:
    """Turns batches of (line numbers, rows as wide as the header) into columns, about CHUNK_LINES at a time.

    The last ones may be none: refused records may have come after the last lines.
    """
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
    yield lines, cells


def are_sound(column: str, values: np.ndarray) -> bool:
    """Whether each number of a column is one, and within its limits."""
    least, most = values.min(initial=1), values.max(initial=1)  # both NaN where one is
    return bool((least > 0 if column == "Minutes" else least >= 0) and most <= MOST[column])


def read_numbers(cells: pa.Array) -> Numbers:
    if not pa.types.is_dictionary(cells.type):
        return Numbers(arrow.numbers(cells, np.float64), np.zeros(len(cells), dtype=bool))
    texts = cells.dictionary
    try:
        values = texts.cast(pa.float64())
        empty = np.zeros(len(texts), dtype=bool)
    except pa.ArrowInvalid:
        import pyarrow.compute as pc

        trimmed = pc.ascii_trim_whitespace(texts)
        is_number = arrow.truths(pc.match_substring_regex(trimmed, _NUMBER))
        plain = [text if known else "nan" for text, known in zip(trimmed.to_pylist(), is_number, strict=True)]
        values = arrow.texts(plain).cast(pa.float64())
        empty = np.array([not text.strip() for text in texts.to_pylist()], dtype=bool)
    codes = arrow.codes(cells)
    return Numbers(arrow.numbers(values, np.float64)[codes], empty[codes])


def check(chunk: Chunk) -> Checked:
    """Types one chunk: the good lines, and the first fault of each bad line beside what is no record, by line."""
    faults, names = chunk.faults, chunk.names
    texts = {column: _plain_texts(chunk.texts[column]) for column in TEXT_COLUMNS}
    for column, cells in texts.items():
        lengths = np.array([len(text) for text in cells.dictionary.to_pylist()], dtype=np.int64)
        if ((lengths == 0) | (lengths > MOST_TEXT_CHARACTERS)).any():
            lengths = lengths[arrow.codes(cells)]
            faults.add(names[column], lengths == 0, IS_EMPTY)
            too_long = f"is longer than {MOST_TEXT_CHARACTERS} characters"
            faults.add(names[column], lengths > MOST_TEXT_CHARACTERS, too_long)
    for column in NUMBER_COLUMNS:
        values, empty = chunk.numbers[column]
        if are_sound(column, values):
            continue
        faults.add(names[column], empty, IS_EMPTY)
        faults.add(names[column], np.isnan(values), IS_NO_NUMBER)
        faults.add(names[column], values < 0, "is negative")
        faults.add(names[column], values > MOST[column], f"is above {MOST[column]:,}")
    faults.add(names["Minutes"], chunk.numbers["Minutes"].values == 0, "is zero")
    typed = {
        "line": arrow.array(chunk.lines),
        **{FIELDS[column]: cells for column, cells in texts.items()},
        **{FIELDS[column]: arrow.array(chunk.numbers[column].values) for column in NUMBER_COLUMNS},
        FIELDS[LABEL_COLUMN]: _labels(chunk),
    }
    if chunk.occasions is not None:
        typed["occasion"] = chunk.occasions
    batch = pa.RecordBatch.from_pydict(typed)
    refused = [
        Refusal(int(chunk.lines[row]), column, shown(chunk.cells[column][row].as_py()), reason)
        for row, (column, reason) in faults.first.items()
    ]
    if refused:
        good = np.ones(len(chunk.lines), dtype=bool)
        good[list(faults.first)] = False
        batch = batch.filter(arrow.array(good))
    return Checked(batch, sorted(chunk.refused + refused, key=lambda refusal: refusal.line))


def shown(cell: str) -> str:
    return cell if len(cell) <= 100 else cell[:99] + "…"


def _plain_texts(cells: pa.DictionaryArray) -> pa.DictionaryArray:
    names = cells.dictionary.to_pylist()
    plain = [plain_text(name) for name in names]
    if plain == names:
        return cells
    again = coded(plain)
    return pa.DictionaryArray.from_arrays(again.indices.take(cells.indices), again.dictionary)


def _labels(chunk: Chunk) -> pa.Array:
    """Null where the label is not known."""
    import pyarrow.compute as pc

    if chunk.labels is None:
        return pa.nulls(len(chunk.lines), pa.bool_())
    codes = arrow.codes(chunk.labels)
    words = [word.strip().lower() for word in chunk.labels.dictionary.to_pylist()]
    neither = np.array([word not in _TRUE | _FALSE | {""} for word in words], dtype=bool)
    chunk.faults.add(chunk.names[LABEL_COLUMN], neither[codes], "is neither True nor False")
    is_true, is_false = (
        arrow.array(np.array([word in known for word in words], dtype=bool)[codes]) for known in (_TRUE, _FALSE)
    )
    return pc.if_else(pc.or_(is_true, is_false), is_true, pa.nulls(len(codes), pa.bool_()))
