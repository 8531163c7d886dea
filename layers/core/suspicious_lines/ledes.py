"""Reads LEDES 1998B, the legal e-billing standard, and translates its fields and codes to our columns.

docs/ledes.md tells what becomes of each field. An operator changes the translation of the codes by putting a file of
the form of ledes.json at config/ledes.json in the data bucket.
"""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Annotated

import numpy as np
import pyarrow as pa
from msgspec import Meta
from msgspec.structs import force_setattr

from suspicious_lines.checking import (
    HOLDS_NUL,
    IS_EMPTY,
    IS_NO_NUMBER,
    IS_NOT_UTF8,
    MOST,
    MOST_TEXT_CHARACTERS,
    Chunk,
    Faults,
    Numbers,
    Refusal,
    coded,
    columns,
    read_numbers,
    shown,
)
from suspicious_lines.configuration import Configuration
from suspicious_lines.errors import InvalidUploadError

END = "[]"
VERSION = f"LEDES1998B{END}"
# The standard's fields, in its order.
HEADER = [
    "INVOICE_DATE",
    "INVOICE_NUMBER",
    "CLIENT_ID",
    "LAW_FIRM_MATTER_ID",
    "INVOICE_TOTAL",
    "BILLING_START_DATE",
    "BILLING_END_DATE",
    "INVOICE_DESCRIPTION",
    "LINE_ITEM_NUMBER",
    "EXP/FEE/INV_ADJ_TYPE",
    "LINE_ITEM_NUMBER_OF_UNITS",
    "LINE_ITEM_ADJUSTMENT_AMOUNT",
    "LINE_ITEM_TOTAL",
    "LINE_ITEM_DATE",
    "LINE_ITEM_TASK_CODE",
    "LINE_ITEM_EXPENSE_CODE",
    "LINE_ITEM_ACTIVITY_CODE",
    "TIMEKEEPER_ID",
    "LINE_ITEM_DESCRIPTION",
    "LAW_FIRM_ID",
    "LINE_ITEM_UNIT_COST",
    "TIMEKEEPER_NAME",
    "TIMEKEEPER_CLASSIFICATION",
    "CLIENT_MATTER_ID",
]
# Which field a fault of our column is told by.
NAMES = {
    "Matter Number": "INVOICE_NUMBER",
    "Firm Name": "LAW_FIRM_ID",
    "Matter Type": "LINE_ITEM_TASK_CODE",
    "Resource": "TIMEKEEPER_CLASSIFICATION",
    "Activity": "LINE_ITEM_ACTIVITY_CODE",
    "Minutes": "LINE_ITEM_NUMBER_OF_UNITS",
    "Fee": "LINE_ITEM_UNIT_COST",
    "Total": "LINE_ITEM_TOTAL",
}
READ = {
    *NAMES.values(),
    "INVOICE_DATE",
    "LAW_FIRM_MATTER_ID",
    "CLIENT_MATTER_ID",
    "EXP/FEE/INV_ADJ_TYPE",
    "LINE_ITEM_ADJUSTMENT_AMOUNT",
    "LINE_ITEM_DATE",
    "TIMEKEEPER_ID",
}
BATCH_CHARACTERS = 1 << 14
MOST_RECORD_LINES = 100
_ADJUSTMENT_LINE = "is an adjustment of a whole invoice, not work"
_TYPES = {"F": "", "E": "is an expense, not work", "IF": _ADJUSTMENT_LINE, "IE": _ADJUSTMENT_LINE}
_ASK_FOR = f"Ask the firm for LEDES 1998B, the one version of LEDES that is read (its first line is {VERSION})."

Name = Annotated[str, Meta(min_length=1, max_length=MOST_TEXT_CHARACTERS)]


def _code(code: str) -> str:
    return " ".join(code.split()).upper()


class Mapping(Configuration):
    """What each code becomes, whatever the code's case; a code that is not here stays as it is.

    The empty code stands for a field that is left empty; where it is not here, such lines are refused.
    """

    FILE = "ledes.json"

    firms: Annotated[dict[str, Name], Meta(description="firm by LAW_FIRM_ID")]
    resources: Annotated[dict[str, Name], Meta(description="resource by TIMEKEEPER_CLASSIFICATION")]
    activities: Annotated[dict[str, Name], Meta(description="activity by LINE_ITEM_ACTIVITY_CODE")]
    matter_types: Annotated[
        dict[str, Name], Meta(description="matter type by the letters before LINE_ITEM_TASK_CODE's digits")
    ]
    matters: Annotated[
        dict[str, Name], Meta(description="matter type by CLIENT_MATTER_ID or LAW_FIRM_MATTER_ID; goes first")
    ]

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            force_setattr(self, name, {_code(code): told for code, told in getattr(self, name).items()})

    def matter_type(self, task: str, client_matter: str, firm_matter: str) -> str:
        for matter in (_code(client_matter), _code(firm_matter)):
            if matter in self.matters:
                return self.matters[matter]
        code = _code(task)
        letters = re.fullmatch(r"([A-Z]+)[0-9]+", code)
        return self.matter_types.get(letters[1] if letters else code, task)


def is_ledes(head: bytes) -> bool:
    """Whether an upload that starts with these bytes calls itself LEDES, of any version."""
    return bool(re.match(rb"LEDES[\w. ]*(\[|\||[\r\n]|$)", head.removeprefix(b"\xef\xbb\xbf").lstrip(), re.IGNORECASE))


def chunks(text: io.TextIOWrapper, key: str, mapping: Mapping) -> Iterator[Chunk]:
    """Reads the whole file; records that are not of 24 fields, or do not end in [], are the chunks' `refused`.

    Raises:
        InvalidUploadError: another version of LEDES, or a second line that does not name the fields.
    """
    records = _Records(text)
    header = _read_header(records, key)
    refused: list[Refusal] = []
    for lines, cells in columns(iter(lambda: records.batch(refused), None), header, READ):
        yield _translate(lines, cells, mapping, refused.copy())
        refused.clear()


class _Records:
    """The file's records: one a physical line and ended by [], unless a description is broken over several lines.

    A record without its end would swallow the one after it: it gives up its first line only, and the others are read
    again.
    """

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._pending: list[str] = []  # physical lines that were taken from the text but belong to no record yet
        self._number = 1  # of the first pending line

    def line(self) -> tuple[int, str]:
        """The next physical line that is not blank, with its number; empty at the end."""
        while line := self._line(0):
            number = self._number
            self._drop(1)
            if line.strip():
                return number, line.strip()
        return self._number, ""

    def batch(self, refused: list[Refusal]) -> tuple[Sequence[int], list[list[str]]] | None:
        """Records of 24 fields and their first physical lines; the others go to `refused`. None at the end."""
        lines = self._pending = self._pending or self._text.readlines(BATCH_CHARACTERS)
        if not lines:
            return None
        bodies = [line.rstrip() for line in lines]
        numbers: Sequence[int] = range(self._number, self._number + len(lines))
        if all(body.endswith(END) for body in bodies):
            self._drop(len(lines))
        else:
            records = list(self._careful(numbers[-1], refused))
            numbers, bodies = [number for number, _ in records], [body for _, body in records]
        rows = [body[: -len(END)].split("|") for body in bodies]
        if set(map(len, rows)) <= {len(HEADER)} and "\0" not in "".join(bodies):
            return numbers, rows
        sound = []
        for number, body, cells in zip(numbers, bodies, rows, strict=True):
            if "\0" in body:
                refused.append(Refusal(number, "", "", HOLDS_NUL))
            elif len(cells) != len(HEADER):
                reason = f"has {len(cells)} fields where LEDES 1998B has {len(HEADER)}; no field may hold a |"
                refused.append(Refusal(number, "", shown(body), reason))
            else:
                sound.append((number, cells))
        return [number for number, _ in sound], [cells for _, cells in sound]

    def _careful(self, last: int, refused: list[Refusal]) -> Iterator[tuple[int, str]]:
        """The records that start up to the physical line `last`; lines of which none can be made go to `refused`."""
        while self._number <= last and (line := self._line(0)):
            number, taken = self._number, self._record_lines()
            if taken:
                yield number, "".join(self._pending[:taken]).rstrip()
            elif line.strip():
                nul = "\0" in line
                reason = HOLDS_NUL if nul else f"does not end in {END}: it is cut off, or lacks its end"
                refused.append(Refusal(number, "", "" if nul else shown(line.strip()), reason))
            self._drop(taken or 1)

    def _record_lines(self) -> int:
        """How many physical lines the next record takes; 0 where it has no end."""
        pipes = 0
        for taken in range(1, MOST_RECORD_LINES + 1):
            line = self._line(taken - 1)
            pipes += line.count("|")
            if not line or (taken > 1 and pipes >= len(HEADER)):
                return 0
            if line.rstrip().endswith(END):
                return taken
            # Only the descriptions are free text: a line break stands behind the first and not behind the last field.
            if not HEADER.index("INVOICE_DESCRIPTION") <= pipes < len(HEADER) - 1:
                return 0
        return 0

    def _line(self, ahead: int) -> str:
        """The physical line so many ahead; empty at the end."""
        while len(self._pending) <= ahead:
            line = self._text.readline()
            if not line:
                return ""
            self._pending.append(line)
        return self._pending[ahead]

    def _drop(self, count: int) -> None:
        self._number += count
        del self._pending[:count]


def _read_header(records: _Records, key: str) -> list[str]:
    """The 24 fields in the order in which the file names them."""
    number, version = records.line()
    if "".join(version.split()).upper() != VERSION:
        raise InvalidUploadError(key, "the file is not LEDES 1998B", _ASK_FOR, number)
    number, line = records.line()
    header = [name.strip().upper() for name in line.removesuffix(END).split("|")]
    missing = [name for name in HEADER if name not in header]
    if missing and len(missing) < len(HEADER):
        remedy = f"Add: {', '.join(missing)}. {_ASK_FOR}"
        raise InvalidUploadError(key, "the header lacks this field", remedy, number, ", ".join(missing))
    if missing or len(header) != len(HEADER):
        remedy = f"The second line must name the {len(HEADER)} fields: {'|'.join(HEADER)}{END}."
        raise InvalidUploadError(key, "there is no LEDES 1998B header", remedy, number)
    return header


def _translate(lines: list[int], cells: dict[str, list[str]], mapping: Mapping, refused: list[Refusal]) -> Chunk:
    faults = Faults()

    def tell(name: str, reason_of: Callable[[str], str]) -> None:
        reasons = np.array(_each(reason_of, cells[name]), dtype=object)
        for reason in set(reasons) - {""}:
            faults.add(name, reasons == reason, reason)

    tell("EXP/FEE/INV_ADJ_TYPE", lambda cell: _TYPES.get(_code(cell), f"is none of {', '.join(_TYPES)}"))
    for name in (name for name in cells if "\ufffd" in "".join(cells[name])):
        tell(name, lambda cell: IS_NOT_UTF8 if "\ufffd" in cell else "")
    tell("INVOICE_DATE", _date_fault)
    tell("LINE_ITEM_DATE", _date_fault)
    tell("INVOICE_NUMBER", lambda cell: "" if cell.strip() else IS_EMPTY)
    client, firm = cells["CLIENT_MATTER_ID"], cells["LAW_FIRM_MATTER_ID"]
    matters = _each(lambda client, firm: client.strip() or firm.strip(), client, firm)
    unnamed = np.array([not matter for matter in matters], dtype=bool)
    faults.add("LAW_FIRM_MATTER_ID", unnamed, f"{IS_EMPTY}, and so is CLIENT_MATTER_ID")
    texts = {
        "Matter Number": _each("{} / {}".format, cells["INVOICE_NUMBER"], matters),
        "Firm Name": _decoded(cells["LAW_FIRM_ID"], mapping.firms),
        "Matter Type": _each(mapping.matter_type, cells["LINE_ITEM_TASK_CODE"], client, firm),
        "Resource": _decoded(cells["TIMEKEEPER_CLASSIFICATION"], mapping.resources),
        "Activity": _decoded(cells["LINE_ITEM_ACTIVITY_CODE"], mapping.activities),
    }
    occasions = coded(_each("{} {}".format, cells["LINE_ITEM_DATE"], cells["TIMEKEEPER_ID"]))
    told = {name: coded(cells[name]) for name in cells}
    translated = {column: coded(text) for column, text in texts.items()}
    numbers = _numbers(told, faults)
    return Chunk(
        np.array(lines, dtype=np.int64), told, translated, numbers, NAMES, refused, occasions=occasions, faults=faults
    )


def _numbers(cells: dict[str, pa.DictionaryArray], faults: Faults) -> dict[str, Numbers]:
    """Minutes from hours, and the total before the line's own adjustment, as units * unit cost should give it.

    The standard has four decimals; rounding to them takes off only what binary fractions add.
    """
    hours, fee, total, adjustment = (
        read_numbers(cells[name])
        for name in (NAMES["Minutes"], NAMES["Fee"], NAMES["Total"], "LINE_ITEM_ADJUSTMENT_AMOUNT")
    )
    most_hours = MOST["Minutes"] / 60
    faults.add(NAMES["Minutes"], hours.values > most_hours, f"is above {most_hours:,.0f} hours")
    usable = np.isfinite(adjustment.values)
    faults.add("LINE_ITEM_ADJUSTMENT_AMOUNT", ~usable & ~adjustment.empty, IS_NO_NUMBER)
    before = np.round(total.values - np.where(usable, adjustment.values, 0.0), 4)
    return {
        "Minutes": Numbers(np.round(hours.values * 60, 4), hours.empty),
        "Fee": fee,
        "Total": Numbers(before, total.empty),
    }


def _each(function: Callable[..., str], *columns: list[str]) -> list[str]:
    """The function of each row's cells, worked out once for each distinct row."""
    rows = list(zip(*columns, strict=True))
    known = {row: function(*row) for row in set(rows)}
    return list(map(known.__getitem__, rows))


def _decoded(codes: list[str], names: dict[str, str]) -> list[str]:
    def decoded(code: str) -> str:
        return names.get(_code(code), code)

    return _each(decoded, codes)


def _date_fault(cell: str) -> str:
    date = cell.strip()
    if not date:
        return IS_EMPTY
    try:
        datetime.strptime(date, "%Y%m%d")
    except ValueError:
        date = ""
    return "" if re.fullmatch("[0-9]{8}", date) else "is not a date; write it as YYYYMMDD"
