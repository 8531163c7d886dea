"""Reads an upload's bytes into typed invoice lines and refused lines: accepted + rejected = read, always.

A line is one record below the header, known by the number of the physical line it starts on, as an editor shows it.
Two formats are read, told apart by what is in the file: CSV (csv_records.py) and LEDES 1998B (ledes.py).
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass

from suspicious_lines import csv_records, ledes
from suspicious_lines.ahead import ahead
from suspicious_lines.checking import COLUMNS, FIELDS, TEXT_COLUMNS, Checked, Refusal, check
from suspicious_lines.errors import InvalidUploadError

__all__ = ["COLUMNS", "FEWEST_LINES", "FIELDS", "TEXT_COLUMNS", "Counts", "Refusal", "read_lines", "require_enough"]

FEWEST_LINES = 5

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


def read_lines(stream: io.RawIOBase, key: str, mapping: ledes.Mapping | None = None) -> Iterator[Checked]:
    """Reads a whole upload of invoice lines, some at a time. `mapping` translates LEDES codes; the library's own where
    none is given.

    Raises:
        InvalidUploadError: the file as a whole cannot be used (neither CSV nor LEDES, no header, a missing column).
    """
    buffered = io.BufferedReader(stream, 1 << 20)
    head = buffered.peek(4096)[:4096]
    refuse_other_formats(head, key)
    if ledes.is_ledes(head):
        # Descriptions often hold bytes that are not UTF-8; only what is read of a record must be readable.
        text = io.TextIOWrapper(buffered, encoding="utf-8-sig", errors="replace", newline="")
        chunks = ledes.chunks(text, key, mapping or ledes.Mapping.default())
    else:
        chunks = csv_records.chunks(buffered, key)
    return map(check, ahead(chunks))


@dataclass
class Counts:
    """How many lines of an upload were accepted and refused so far; `first` is the first that was refused."""

    accepted: int = 0
    refused: int = 0
    first: Refusal | None = None

    @property
    def read(self) -> int:
        return self.accepted + self.refused

    def add(self, checked: Checked) -> None:
        self.accepted += len(checked.accepted)
        self.refused += len(checked.refused)
        self.first = self.first or next(iter(checked.refused), None)


def require_enough(lines: Counts, key: str, fewest: int = FEWEST_LINES) -> None:
    """Raises InvalidUploadError where too few lines were accepted to train on, naming the first refused line."""
    if lines.accepted >= fewest:
        return
    if not lines.first:
        reason = f"the file has {lines.accepted} lines below its header"
        raise InvalidUploadError(key, reason, f"It needs at least {fewest}.")
    raise InvalidUploadError(
        key,
        f"only {lines.accepted} of {lines.read} lines can be used; this one {lines.first.reason}",
        "Mend the lines that rejected.csv lists and drop the file again.",
        lines.first.line,
        lines.first.column or None,
    )


def refuse_other_formats(head: bytes, key: str) -> None:
    """Raises InvalidUploadError where the first bytes of a file are not those of a CSV in UTF-8."""
    if not head.strip(b"\xef\xbb\xbf \t\r\n\0"):
        raise InvalidUploadError(key, "the file is empty", "It needs a header and lines below it.")
    for magic, what in _NOT_CSV.items():
        if head.startswith(magic):
            raise InvalidUploadError(key, f"the file {what}, not a CSV in UTF-8", csv_records.SAVE_AS)
    # UTF-16 without a mark: every second byte of ASCII text is a NUL.
    if head[:200].count(0) > len(head[:200]) // 4:
        reason = "the file is binary or encoded as UTF-16, not a CSV in UTF-8"
        raise InvalidUploadError(key, reason, csv_records.SAVE_AS)
