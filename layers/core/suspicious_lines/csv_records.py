"""Reads a CSV: its records, its header, and the columns that are ours; those of invoice lines in `chunks`."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence

from suspicious_lines.checking import (
    COLUMNS,
    HOLDS_NUL,
    IS_NOT_UTF8,
    LABEL_COLUMN,
    NUMBER_COLUMNS,
    TEXT_COLUMNS,
    Chunk,
    Refusal,
    columns,
    read_numbers,
    shown,
)
from suspicious_lines.errors import InvalidUploadError

MOST_CELL_CHARACTERS = 10_000
BATCH_CHARACTERS = 1 << 14
SAVE_AS = "Save the sheet as 'CSV UTF-8 (comma delimited)' and drop it again."


def chunks(text: io.TextIOWrapper, key: str, refused: list[Refusal]) -> Iterator[Chunk]:
    """Reads the whole file; records that are not CSV, or not as wide as the header, go to `refused`.

    Raises:
        InvalidUploadError: the header is not one.
    """
    csv.field_size_limit(MOST_CELL_CHARACTERS)
    records = Records(text, _holds_a_line)
    header = read_header(records, key, COLUMNS, COLUMNS[:-1])
    names = {name: name for name in header if name in COLUMNS}
    for lines, cells in columns(batches(records, len(header), refused), header, names):
        yield Chunk(
            lines,
            cells,
            {column: cells[column] for column in TEXT_COLUMNS},
            {column: read_numbers(cells[column]) for column in NUMBER_COLUMNS},
            names,
            cells.get(LABEL_COLUMN),
        )


# A cell over several lines with so many commas holds a line of the file, not a name.
COMMAS_OF_A_LINE = 5


def _holds_a_line(cell: str) -> bool:
    return "\n" in cell and cell.count(",") >= COMMAS_OF_A_LINE


class Records:
    """The file's records, in batches where it is sound and one by one where it is not.

    A quote that is never closed would swallow the lines after it, to the end or to the next stray quote: such a record,
    known by a cell of which `holds_a_line` is true, gives up its first line only, and the others are read again.
    """

    def __init__(self, text: io.TextIOWrapper, holds_a_line: Callable[[str], bool]) -> None:
        self._text = text
        self._holds_a_line = holds_a_line
        self._pending: list[str] = []  # physical lines that were taken from the text but belong to no record yet
        self._number = 1  # of the first pending line

    def batch(self) -> tuple[Sequence[int], list[list[str] | str]]:
        """The next records' first physical lines, and their cells or why they are not CSV; none at the end."""
        lines = self._pending = self._pending or self._text.readlines(BATCH_CHARACTERS)
        end = self._number + len(lines)
        try:
            rows: list[list[str] | str] = list(csv.reader(lines, strict=True))
        except csv.Error:
            rows = []
        # As many records as lines: each record is one line.
        if len(rows) == len(lines) and not _unreadable("".join(lines)):
            numbers = range(self._number, end)
            self._drop(len(lines))
            return numbers, rows
        careful = []
        while self._number < end and (record := self.record()) is not None:
            careful.append(record)
        return [number for number, _ in careful], [cells for _, cells in careful]

    def record(self) -> tuple[int, list[str] | str] | None:
        """The next record's first physical line, and its cells or why it is not CSV; None at the end."""
        taken = 0

        def physical() -> Iterator[str]:
            nonlocal taken
            while taken < len(self._pending) or self._take_line():
                taken += 1
                yield self._pending[taken - 1]

        number = self._number
        try:
            cells = next(csv.reader(physical(), strict=True), None)
        except csv.Error as error:
            self._drop(1)
            return number, _csv_reason(str(error))
        if cells is None:
            return None
        if taken > 1 and any(map(self._holds_a_line, cells)):
            self._drop(1)
            return number, _csv_reason("")
        reason = next(filter(None, map(_unreadable, self._pending[:taken])), "")
        self._drop(taken)
        return number, reason or cells

    def _take_line(self) -> bool:
        line = self._text.readline()
        if line:
            self._pending.append(line)
        return bool(line)

    def _drop(self, count: int) -> None:
        self._number += count
        del self._pending[:count]


def batches(records: Records, width: int, refused: list[Refusal]) -> Iterator[tuple[Sequence[int], list[list[str]]]]:
    """Batches of records of the header's width; the others go to `refused`. Blank ones are no lines."""
    while True:
        numbers, rows = records.batch()
        if not numbers:
            return
        if set(map(type, rows)) == {list} and set(map(len, rows)) == {width} and all(map(any, rows)):
            yield numbers, rows  # type: ignore[misc]
            continue
        sound = []
        for number, cells in zip(numbers, rows, strict=True):
            if isinstance(cells, str):
                refused.append(Refusal(number, "", "", cells))
            elif any(cells) and len(cells) != width:
                reason = f"has {len(cells)} cells where the header has {width}"
                refused.append(Refusal(number, "", shown(",".join(cells)), reason))
            elif any(cells):
                sound.append((number, cells))
        yield [number for number, _ in sound], [cells for _, cells in sound]


def _unreadable(text: str) -> str:
    if "\0" in text:
        return HOLDS_NUL
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # a byte that surrogateescape kept
            return IS_NOT_UTF8
    return ""


def _csv_reason(error: str) -> str:
    if "field larger" in error:
        return f"has a cell of more than {MOST_CELL_CHARACTERS} characters, or a quote that is never closed"
    return "has a quote in the wrong place, or one that is never closed"


def read_header(records: Records, key: str, names: Sequence[str], needed: Sequence[str]) -> list[str]:
    """The header's names: those of `names` whatever their case and spaces. Other columns stay unread.

    Raises:
        InvalidUploadError: there is no header, it lacks a column that is `needed`, or names one twice.
    """
    number, cells = next(
        ((number, cells) for number, cells in iter(records.record, None) if isinstance(cells, str) or any(cells)),
        (1, []),
    )
    if isinstance(cells, str):
        raise InvalidUploadError(key, f"the header {cells}", SAVE_AS, number)
    ours = {_plain(name): name for name in names}
    header = [ours.get(_plain(cell), cell) for cell in cells]
    found = [name for name in header if name in names]
    if not found:
        if len(cells) == 1 and sum(_plain(cell) in ours for mark in ";\t|" for cell in cells[0].split(mark)) > 1:
            raise InvalidUploadError(key, "the columns are not separated by commas", SAVE_AS, number)
        raise InvalidUploadError(
            key, "there is no header", f"The first line must name the columns: {', '.join(needed)}.", number
        )
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise InvalidUploadError(key, "the header names this column twice", "Keep one of them.", number, twice[0])
    missing = [name for name in needed if name not in found]
    if missing:
        raise InvalidUploadError(
            key, "the header lacks this column", f"Add: {', '.join(missing)}.", number, ", ".join(missing)
        )
    return header


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
