"""Reads a CSV: its records, its header, and the columns that are ours; those of invoice lines in `chunks`.

Arrow reads what is plain, a block at a time; a block in which anything is odd is read record by record.
"""

import csv
import io
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from suspicious_lines import arrow
from suspicious_lines.checking import (
    COLUMNS,
    HOLDS_NUL,
    IS_NOT_UTF8,
    LABEL_COLUMN,
    NUMBER_COLUMNS,
    TEXT_COLUMNS,
    Chunk,
    Refusal,
    are_sound,
    coded,
    columns,
    read_numbers,
    shown,
)
from suspicious_lines.errors import InvalidUploadError

MOST_CELL_CHARACTERS = 10_000
BATCH_CHARACTERS = 1 << 14
BLOCK_BYTES = 1 << 21
BLOCKS_AT_ONCE = 2
MOST_LINE_BYTES = 1 << 24
SAVE_AS = "Save the sheet as 'CSV UTF-8 (comma delimited)' and drop it again."
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PHYSICAL_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_CODED = pa.dictionary(pa.int32(), pa.string())
Cells: TypeAlias = dict[str, pa.Array]


def chunks(stream: BinaryIO, key: str) -> Iterator[Chunk]:
    """Reads the whole file; records that are not CSV, or not as wide as the header, are the chunks' `refused`.

    Raises:
        InvalidUploadError: the header is not one, or a line never ends.
    """
    csv.field_size_limit(MOST_CELL_CHARACTERS)
    blocks = _Blocks(stream, key)
    records = Records(blocks, _holds_a_line)
    header = read_header(records, key, COLUMNS, COLUMNS[:-1])
    wanted = [name for name in header if name in COLUMNS]
    number = records.number
    for block, cells in _read(blocks, header, wanted):
        if cells is not None:
            count = len(cells[wanted[0]])
            yield _chunk(np.arange(number, number + count), cells, [])
            number += count
            continue
        records = Records(_Block(block, blocks), _holds_a_line, number)
        refused: list[Refusal] = []
        for lines, texts in columns(batches(records, len(header), refused), header, wanted):
            yield _chunk(np.array(lines, dtype=np.int64), {name: coded(texts[name]) for name in wanted}, refused.copy())
            refused.clear()
        number = records.number


def _read(blocks: "_Blocks", header: list[str], wanted: list[str]) -> Iterator[tuple[bytes, Cells | None]]:
    """Each block, with its cells where it is plain. Blocks behind it are read at the same time, unless it follows an
    odd one: they are often not alone, and what is read ahead of one is read again, as its last record may end there."""
    coming: deque[tuple[bytes, Future[Cells | None]]] = deque()
    at_once = BLOCKS_AT_ONCE
    with ThreadPoolExecutor(BLOCKS_AT_ONCE) as readers:
        while True:
            while len(coming) < at_once and (block := blocks.take()):
                coming.append((block, readers.submit(_plain, block, header, wanted)))
            if not coming:
                return
            block, plain = coming.popleft()
            cells = plain.result()
            at_once = 1 if cells is None else BLOCKS_AT_ONCE
            if cells is None:
                blocks.put_back(block for block, _ in coming)
                coming.clear()
            yield block, cells


def _chunk(lines: np.ndarray, cells: Cells, refused: list[Refusal]) -> Chunk:
    texts = {column: cells[column] for column in TEXT_COLUMNS}
    numbers = {column: read_numbers(cells[column]) for column in NUMBER_COLUMNS}
    return Chunk(lines, cells, texts, numbers, {name: name for name in cells}, refused, cells.get(LABEL_COLUMN))


class Text(Protocol):
    """What a file's physical lines are read from, each with its end."""

    def readline(self) -> str: ...

    def readlines(self, hint: int) -> list[str]: ...


class _Blocks:
    """A file in blocks of bytes that end where a physical line ends; or, in between, line by line."""

    def __init__(self, stream: BinaryIO, key: str) -> None:
        self._stream, self._key = stream, key
        self._block, self._at, self._rest = b"", 0, stream.read(3).removeprefix(_BYTE_ORDER_MARK)
        self._again: list[bytes] = []

    def take(self) -> bytes:
        """What is left of the current block, or the next one; empty at the end."""
        if self._at == len(self._block):
            self._load()
        block, self._at = self._block[self._at :], len(self._block)
        return block

    def put_back(self, blocks: Iterable[bytes]) -> None:
        """Blocks that were taken last, in their order, to be taken again."""
        self._again[:0] = blocks

    def readline(self) -> str:
        if self._at == len(self._block):
            self._load()
        line = _PHYSICAL_LINE.match(self._block, self._at)
        assert line  # it matches the empty text
        self._at = line.end()
        return line[0].decode("utf-8", "surrogateescape")

    def readlines(self, hint: int) -> list[str]:
        return [line] if (line := self.readline()) else []

    def _load(self) -> None:
        self._at = 0
        if self._again:
            self._block = self._again.pop(0)
            return
        while data := self._stream.read(BLOCK_BYTES):
            if end := _end_of_line(data):
                self._block, self._rest = b"".join([self._rest, memoryview(data)[:end]]), data[end:]
                return
            self._rest += data
            if end := _end_of_line(self._rest):  # a line end of which the last block had one half
                self._block, self._rest = self._rest[:end], self._rest[end:]
                return
            if len(self._rest) > MOST_LINE_BYTES:
                reason = f"a line of the file has more than {MOST_LINE_BYTES >> 20} MB"
                raise InvalidUploadError(self._key, reason, SAVE_AS)
        self._block, self._rest = self._rest, b""


def _end_of_line(data: bytes) -> int:
    """Where the last line of the data ends; 0 where none does. Their last byte may be half of a line end."""
    return max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1)) + 1


class _Block:
    """The physical lines of one block, and those after it where its last record does not end in it."""

    def __init__(self, block: bytes, after: _Blocks) -> None:
        raw = io.BytesIO(block)
        self._text = io.TextIOWrapper(raw, encoding="utf-8", errors="surrogateescape", newline="")
        self._after = after

    def readline(self) -> str:
        return self._text.readline() or self._after.readline()

    def readlines(self, hint: int) -> list[str]:
        return self._text.readlines(hint)


def _plain(block: bytes, header: list[str], wanted: list[str]) -> Cells | None:
    """The cells of a block in which every physical line is a record of the header's width, and nothing is odd.

    None where that is not certain.
    """
    if b"\0" in block or block.startswith(_BYTE_ORDER_MARK):
        return None
    if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
        return None
    if not block.isascii():
        try:
            block.decode()
        except UnicodeDecodeError:
            return None
    if _holds_a_long_line(block):
        return None
    if b'"' in block and not _plainly_quoted(block):
        return None
    cells = _parsed(block, header, wanted, pa.float64())
    if cells is None or not all(are_sound(name, arrow.numbers(cells[name], np.float64)) for name in NUMBER_COLUMNS):
        cells = _parsed(block, header, wanted, _CODED)  # so that what is wrong can be shown
    if cells is None or "" in cells[TEXT_COLUMNS[0]].dictionary.to_pylist():
        return None
    # Arrow leaves out blank lines, but not those of commas alone.
    lines = np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n")) + (not block.endswith(b"\n"))
    return cells if len(cells[wanted[0]]) == lines else None


def _parsed(block: bytes, header: list[str], wanted: list[str], numbers: pa.DataType) -> Cells | None:
    """The wanted cells of a block, those of NUMBER_COLUMNS of the type `numbers`; None where Arrow cannot read them."""
    places = {name: str(header.index(name)) for name in wanted}
    read = pa_csv.ReadOptions(
        column_names=[str(place) for place in range(len(header))], block_size=len(block) + 1, use_threads=False
    )
    convert = pa_csv.ConvertOptions(
        include_columns=list(places.values()),
        column_types={place: numbers if name in NUMBER_COLUMNS else _CODED for name, place in places.items()},
        null_values=[],
        check_utf8=False,  # it was decoded before
    )
    try:
        table = pa_csv.read_csv(pa.py_buffer(block), read, convert_options=convert)
    except pa.ArrowInvalid:
        return None
    return {name: table[place].combine_chunks() for name, place in places.items()}


def _holds_a_long_line(block: bytes) -> bool:
    step = MOST_CELL_CHARACTERS // 2  # a line that is too long leaves one of them without an end
    if all(block.find(b"\n", start, start + step) >= 0 for start in range(0, len(block) - step, step)):
        return False
    return max(map(len, block.splitlines())) >= MOST_CELL_CHARACTERS


def _plainly_quoted(block: bytes) -> bool:
    """Whether each quote opens a cell or closes it, in turn and on the same physical line; none is doubled."""
    text = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(text == ord("\n"))
    quotes = np.flatnonzero(text == ord('"'))
    if len(quotes) % 2:
        return False
    padded = np.pad(text, 1, constant_values=ord("\n"))
    opening, closing = quotes[::2], quotes[1::2]
    return bool(
        np.isin(padded[opening], [ord(","), ord("\n")]).all()
        and np.isin(padded[closing + 2], [ord(","), ord("\r"), ord("\n")]).all()
        and (np.searchsorted(ends, opening) == np.searchsorted(ends, closing)).all()
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

    def __init__(self, text: Text, holds_a_line: Callable[[str], bool], number: int = 1) -> None:
        self._text = text
        self._holds_a_line = holds_a_line
        self._pending: list[str] = []  # physical lines that were taken from the text but belong to no record yet
        self.number = number  # of the first pending line

    def batch(self) -> tuple[Sequence[int], list[list[str] | str]]:
        """The next records' first physical lines, and their cells or why they are not CSV; none at the end."""
        lines = self._pending = self._pending or self._text.readlines(BATCH_CHARACTERS)
        end = self.number + len(lines)
        try:
            rows: list[list[str] | str] = list(csv.reader(lines, strict=True))
        except csv.Error:
            rows = []
        # As many records as lines: each record is one line.
        if len(rows) == len(lines) and not _unreadable("".join(lines)):
            numbers = range(self.number, end)
            self._drop(len(lines))
            return numbers, rows
        careful = []
        while self.number < end and (record := self.record()) is not None:
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

        number = self.number
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
        self.number += count
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
    ours = {_bare(name): name for name in names}
    header = [ours.get(_bare(cell), cell) for cell in cells]
    found = [name for name in header if name in names]
    if not found:
        if len(cells) == 1 and sum(_bare(cell) in ours for mark in ";\t|" for cell in cells[0].split(mark)) > 1:
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


def _bare(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
