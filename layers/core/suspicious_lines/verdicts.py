"""Reads a file of verdicts, `Run,Line,Verdict,Note` as the page writes it: accepted + rejected = read, always.

A verdict is one record below the header. One file may answer the lines of several runs.
"""

import csv
import io
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from suspicious_lines.checking import IS_EMPTY, Refusal, shown
from suspicious_lines.csv_records import MOST_CELL_CHARACTERS, Records, batches, read_header
from suspicious_lines.errors import InvalidUploadError
from suspicious_lines.lines import refuse_other_formats
from suspicious_lines.review_messages import VerdictCounts
from suspicious_lines.spreadsheet import plain

COLUMNS = ["Run", "Line", "Verdict", "Note"]
NEEDED = COLUMNS[:-1]
VERDICTS = ["query", "fine", "unsure"]
MOST_NOTE_CHARACTERS = 2_000
# Each is a receipt and a file of scored lines to read.
MOST_RUNS = 100

_RUN = re.compile(r"[^/\s]{1,80}")
_LINE = re.compile(r"[0-9]{1,9}")
_ANOTHER_ROW = re.compile(rf"\n[^\n,]*,\s*\d+\s*,\s*({'|'.join(VERDICTS)})\b", re.IGNORECASE)


class Row(NamedTuple):
    """A record as it was read; `number` is the line of the file that it starts on."""

    number: int
    run: str
    line: str
    verdict: str
    note: str


class Answer(NamedTuple):
    number: int
    run: str
    line: int
    verdict: str
    note: str


@dataclass(frozen=True)
class Answers:
    """`accepted` in file order: where two answer the same line, they say the same."""

    accepted: list[Answer]
    refused: list[Refusal]

    @property
    def kept(self) -> list[Answer]:
        """One answer a line: of equal ones the last, whose note may be new."""
        return list({(answer.run, answer.line): answer for answer in self.accepted}.values())

    def counts(self) -> VerdictCounts:
        kept = self.kept
        said = [answer.verdict for answer in kept]
        return VerdictCounts(
            read=len(self.accepted) + len(self.refused),
            accepted=len(self.accepted),
            rejected=len(self.refused),
            kept=len(kept),
            runs=len({answer.run for answer in kept}),
            **{verdict: said.count(verdict) for verdict in VERDICTS},
        )


def read_rows(stream: io.RawIOBase, key: str) -> tuple[list[Row], list[Refusal]]:
    """The records of a file, and those that are not CSV or not as wide as the header.

    Raises:
        InvalidUploadError: the file is no file of verdicts, or answers more than MOST_RUNS runs.
    """
    csv.field_size_limit(MOST_CELL_CHARACTERS)
    buffered = io.BufferedReader(stream, 1 << 20)
    refuse_other_formats(buffered.peek(4096)[:4096], key)
    # surrogateescape keeps undecodable bytes in their own row, so that one bad note does not refuse the file.
    text = io.TextIOWrapper(buffered, encoding="utf-8-sig", errors="surrogateescape", newline="")
    records = Records(text, lambda cell: _ANOTHER_ROW.search(cell) is not None)
    header = read_header(records, key, COLUMNS, NEEDED)
    places = [header.index(name) if name in header else None for name in COLUMNS]
    rows: list[Row] = []
    refused: list[Refusal] = []
    for numbers, found in batches(records, len(header), refused):
        for number, cells in zip(numbers, found, strict=True):
            rows.append(Row(number, *("" if place is None else plain(cells[place]).strip() for place in places)))
    if len({row.run for row in rows}) > MOST_RUNS:
        reason = f"the file answers more than {MOST_RUNS} runs"
        raise InvalidUploadError(key, reason, "Split it by run and drop the parts.", column="Run")
    return rows, refused


def wanted_lines(rows: list[Row]) -> dict[str, set[int]]:
    """The lines that are answered, by run, where both are well formed."""
    wanted: dict[str, set[int]] = {}
    for row in rows:
        if _RUN.fullmatch(row.run) and _LINE.fullmatch(row.line):
            wanted.setdefault(row.run, set()).add(int(row.line))
    return wanted


def check(rows: list[Row], unread: list[Refusal], scored: Mapping[str, Container[int]]) -> Answers:
    """Checks rows against the runs they answer.

    `scored`: the lines that each run scored, for the runs that have results. Rows of one line that contradict one
    another are all refused, for nobody can tell which is meant.
    """
    sound: list[Answer] = []
    refused = list(unread)
    for row in rows:
        if fault := _fault(row, scored):
            refused.append(fault)
        else:
            sound.append(Answer(row.number, row.run, int(row.line), row.verdict.lower(), row.note))
    said: dict[tuple[str, int], set[str]] = {}
    for answer in sound:
        said.setdefault((answer.run, answer.line), set()).add(answer.verdict)
    accepted = []
    for answer in sound:
        if len(said[answer.run, answer.line]) > 1:
            reason = "contradicts another verdict of this file on the same line"
            refused.append(Refusal(answer.number, "Verdict", answer.verdict, reason))
        else:
            accepted.append(answer)
    return Answers(accepted, sorted(refused, key=lambda refusal: refusal.line))


def _fault(row: Row, scored: Mapping[str, Container[int]]) -> Refusal | None:
    """The first fault of a row."""
    faults = {
        ("Run", row.run): IS_EMPTY if not row.run else "" if row.run in scored else "is no run with results",
        ("Line", row.line): _line_fault(row, scored),
        ("Verdict", row.verdict): "" if row.verdict.lower() in VERDICTS else f"is none of {', '.join(VERDICTS)}",
        ("Note", row.note): f"is longer than {MOST_NOTE_CHARACTERS} characters"
        if len(row.note) > MOST_NOTE_CHARACTERS
        else "",
    }
    first = next(((place, reason) for place, reason in faults.items() if reason), None)
    return first and Refusal(row.number, first[0][0], shown(first[0][1]), first[1])


def _line_fault(row: Row, scored: Mapping[str, Container[int]]) -> str:
    if not _LINE.fullmatch(row.line):
        return "is not the number of a line"
    return "" if int(row.line) in scored.get(row.run, ()) else "is not a line that the run scored"


def require_some(answers: Answers, key: str) -> None:
    """Raises InvalidUploadError where no verdict was accepted, naming the first refused row."""
    if answers.accepted:
        return
    if not answers.refused:
        raise InvalidUploadError(key, "the file has no verdicts below its header", "Download them again and drop that.")
    first = answers.refused[0]
    raise InvalidUploadError(
        key,
        f"none of {len(answers.refused)} verdicts can be used; this one {first.reason}",
        "Mend the rows that rejected.csv lists and drop the file again.",
        first.line,
        first.column or None,
    )
