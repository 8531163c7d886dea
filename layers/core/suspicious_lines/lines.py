"""Reads an upload's bytes into typed invoice lines and refused lines: accepted + rejected = read, always.

A line is one record below the header, known by the number of the physical line it starts on, as an editor shows it.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from suspicious_lines.errors import InvalidUploadError

TEXT_COLUMNS = ["Matter Number", "Firm Name", "Matter Type", "Resource", "Activity"]
NUMBER_COLUMNS = ["Minutes", "Fee", "Total"]
LABEL_COLUMN = "Error"
COLUMNS = [*TEXT_COLUMNS, *NUMBER_COLUMNS, LABEL_COLUMN]
FIELDS = {name: name.lower().replace(" ", "_") for name in COLUMNS}

MOST_CELL_CHARACTERS = 10_000
MOST_TEXT_CHARACTERS = 200
MOST = {"Minutes": 100_000, "Fee": 100_000, "Total": 100_000_000}
FEWEST_LINES = 5
CHUNK_LINES = 50_000

_TRUE = {"true", "1", "1.0", "yes", "y"}
_FALSE = {"false", "0", "0.0", "no", "n"}
_SAVE_AS = "Save the sheet as 'CSV UTF-8 (comma delimited)' and drop it again."
# The first bytes of what people drop by mistake.
_NOT_CSV = {
    b"\x89PNG": "is a PNG picture",
    b"\xff\xd8\xff": "is a JPEG picture",
    b"GIF8": "is a GIF picture",
    b"%PDF": "is a PDF document",
    b"PK\x03\x04": "is a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "is an old Excel workbook",
    b"\x1f\x8b": "is compressed by gzip",
    b"PAR1": "is a Parquet file",
    b"\xff\xfe": "is encoded as UTF-16",
    b"\xfe\xff": "is encoded as UTF-16",
}


@dataclass(frozen=True)
class Refusal:
    """Why one line was refused. `value` is cut to 100 characters and belongs in rejected.csv only, never in a log."""

    line: int
    column: str
    value: str
    reason: str


@dataclass(frozen=True)
class Lines:
    """`accepted`: a frame with the columns `line` (int64), the snake-case text columns (category), `minutes`, `fee`,
    `total` (float64) and `error` (nullable boolean; NA where the label is not known), in file order."""

    accepted: pd.DataFrame
    refused: list[Refusal]

    @property
    def read(self) -> int:
        return len(self.accepted) + len(self.refused)


def read_lines(stream: io.RawIOBase, key: str) -> Lines:
    """Reads a whole CSV of invoice lines.

    Raises:
        InvalidUploadError: the file as a whole cannot be used (not a CSV, no header, a missing column).
    """
    buffered = io.BufferedReader(stream, 1 << 20)
    _refuse_other_formats(buffered.peek(4096)[:4096], key)
    # surrogateescape keeps undecodable bytes in their own line, so that one bad cell does not refuse the file.
    text = io.TextIOWrapper(buffered, encoding="utf-8-sig", errors="surrogateescape", newline="")
    records = _records(text)
    header = _read_header(records, key)
    frames: list[pd.DataFrame] = []
    refused: list[Refusal] = []
    for numbers, rows in _chunks(records, header, refused):
        frames.append(_check(numbers, rows, header, refused))
    refused.sort(key=lambda refusal: refusal.line)
    return Lines(_concat(frames), refused)


def require_enough(lines: Lines, key: str) -> None:
    """Raises InvalidUploadError where too few lines were accepted to train on, naming the first refused line."""
    accepted = len(lines.accepted)
    if accepted >= FEWEST_LINES:
        return
    if not lines.refused:
        reason = f"the file has {accepted} lines below its header"
        raise InvalidUploadError(key, reason, f"It needs at least {FEWEST_LINES}.")
    first = lines.refused[0]
    raise InvalidUploadError(
        key,
        f"only {accepted} of {lines.read} lines can be used; this one {first.reason}",
        "Mend the lines that rejected.csv lists and drop the file again.",
        first.line,
        first.column or None,
    )


def _refuse_other_formats(head: bytes, key: str) -> None:
    if not head.strip(b"\xef\xbb\xbf \t\r\n\0"):
        raise InvalidUploadError(key, "the file is empty", f"It needs a header and at least {FEWEST_LINES} lines.")
    for magic, what in _NOT_CSV.items():
        if head.startswith(magic):
            raise InvalidUploadError(key, f"the file {what}, not a CSV in UTF-8", _SAVE_AS)
    # UTF-16 without a mark: every second byte of ASCII text is a NUL.
    if head[:200].count(0) > len(head[:200]) // 4:
        raise InvalidUploadError(key, "the file is binary or encoded as UTF-16, not a CSV in UTF-8", _SAVE_AS)


def _records(text: io.TextIOWrapper) -> Iterator[tuple[int, list[str] | str]]:
    """Yields (first physical line, cells), or (line, reason) for a line that is not CSV.

    A quote that is never closed would swallow all the lines after it: such a record gives up its first line only, and
    the others are read again.
    """
    csv.field_size_limit(MOST_CELL_CHARACTERS)
    pending: list[str] = []  # physical lines of the record being read, or to be read again
    taken = 0
    number = 1

    def physical() -> Iterator[str]:
        nonlocal taken
        while True:
            if taken == len(pending):
                line = text.readline()
                if not line:
                    return
                pending.append(line)
            taken += 1
            yield pending[taken - 1]

    reader = csv.reader(physical(), strict=True)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield number, _csv_reason(str(error))
            del pending[0]
            number += 1
            # A reader whose source ended stays ended: start afresh on what is left.
            taken = 0
            reader = csv.reader(physical(), strict=True)
            continue
        if cells is None:
            return
        if reason := next(filter(None, map(_unreadable, pending[:taken])), ""):
            yield number, reason
        elif any(cells):
            yield number, cells
        number += taken
        del pending[:taken]
        taken = 0


def _unreadable(line: str) -> str:
    if "\0" in line:
        return "holds a NUL character"
    if not line.isascii() and any("\ud800" <= character <= "\udfff" for character in line):
        return "is not valid UTF-8"
    return ""


def _csv_reason(error: str) -> str:
    if "field larger" in error:
        return f"has a cell of more than {MOST_CELL_CHARACTERS} characters, or a quote that is never closed"
    return "has a quote in the wrong place, or one that is never closed"


def _read_header(records: Iterator[tuple[int, list[str] | str]], key: str) -> list[str]:
    """The header's names, ours where they are ours whatever their case and spaces. Other columns stay unread."""
    number, cells = next(records, (1, []))
    if isinstance(cells, str):
        raise InvalidUploadError(key, f"the header {cells}", _SAVE_AS, number)
    ours = {_plain(name): name for name in COLUMNS}
    header = [ours.get(_plain(cell), cell) for cell in cells]
    found = [name for name in header if name in COLUMNS]
    if not found:
        if len(cells) == 1 and sum(_plain(cell) in ours for mark in ";\t|" for cell in cells[0].split(mark)) > 1:
            raise InvalidUploadError(key, "the columns are not separated by commas", _SAVE_AS, number)
        raise InvalidUploadError(
            key, "there is no header", f"The first line must name the columns: {', '.join(COLUMNS[:-1])}.", number
        )
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise InvalidUploadError(key, "the header names this column twice", "Keep one of them.", number, twice[0])
    missing = [name for name in COLUMNS[:-1] if name not in found]
    if missing:
        raise InvalidUploadError(
            key, "the header lacks this column", f"Add: {', '.join(missing)}.", number, ", ".join(missing)
        )
    return header


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _chunks(
    records: Iterator[tuple[int, list[str] | str]], header: list[str], refused: list[Refusal]
) -> Iterator[tuple[list[int], list[list[str]]]]:
    """Collects records of the header's width; the others go to `refused`."""
    numbers: list[int] = []
    rows: list[list[str]] = []
    for number, cells in records:
        if isinstance(cells, str):
            refused.append(Refusal(number, "", "", cells))
        elif len(cells) != len(header):
            reason = f"has {len(cells)} cells where the header has {len(header)}"
            refused.append(Refusal(number, "", _shown(",".join(cells)), reason))
        else:
            numbers.append(number)
            rows.append(cells)
            if len(rows) == CHUNK_LINES:
                yield numbers, rows
                numbers, rows = [], []
    if rows:
        yield numbers, rows


def _check(numbers: list[int], rows: list[list[str]], header: list[str], refused: list[Refusal]) -> pd.DataFrame:
    """Types one chunk; the first fault of each bad line goes to `refused`."""
    cells = dict(zip(header, zip(*rows, strict=True), strict=True))
    count = len(rows)
    reason = np.full(count, "", dtype=object)
    column_at_fault = np.full(count, "", dtype=object)
    typed: dict[str, object] = {"line": np.asarray(numbers, dtype=np.int64)}

    def fault(column: str, where: np.ndarray, why: str) -> None:
        first = where & (reason == "")
        reason[first] = why
        column_at_fault[first] = column

    for column in TEXT_COLUMNS:
        codes, names = pd.factorize(np.array(cells[column], dtype=object))
        # One line of text: a line break in a name could pass for a line of the e-mail.
        plain = np.array([" ".join(name.split()) for name in names], dtype=object)
        lengths = np.array([len(name) for name in plain])[codes]
        fault(column, lengths == 0, "is empty")
        fault(column, lengths > MOST_TEXT_CHARACTERS, f"is longer than {MOST_TEXT_CHARACTERS} characters")
        typed[FIELDS[column]] = plain[codes]
    for column in NUMBER_COLUMNS:
        numbers_read = pd.to_numeric(pd.Series(cells[column], dtype=object), errors="coerce").to_numpy(np.float64)
        empty = np.array([not cell.strip() for cell in cells[column]])
        fault(column, empty, "is empty")
        fault(column, np.isnan(numbers_read), "is not a number; write it as 1262.50, without currency or separators")
        fault(column, numbers_read < 0, "is negative")
        fault(column, numbers_read > MOST[column], f"is above {MOST[column]:,}")
        typed[FIELDS[column]] = numbers_read
    fault("Minutes", typed["minutes"] == 0, "is zero")  # type: ignore[arg-type]
    label = pd.Series(pd.NA, index=range(count), dtype="boolean")
    if LABEL_COLUMN in cells:
        words = pd.Series(cells[LABEL_COLUMN], dtype=object).str.strip().str.lower()
        label[words.isin(_TRUE).to_numpy()] = True
        label[words.isin(_FALSE).to_numpy()] = False
        fault(LABEL_COLUMN, (label.isna() & (words != "")).to_numpy(bool), "is neither True nor False")
    typed["error"] = label
    bad = reason != ""
    for row in np.flatnonzero(bad):
        column = column_at_fault[row]
        refused.append(Refusal(numbers[row], column, _shown(cells[column][row]), reason[row]))
    return pd.DataFrame(typed)[~bad]


def _shown(cell: str) -> str:
    return cell if len(cell) <= 100 else cell[:99] + "…"


def _concat(frames: list[pd.DataFrame]) -> pd.DataFrame:
    whole = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["line", *FIELDS.values()])
    return whole.astype({FIELDS[column]: "category" for column in TEXT_COLUMNS})
