"""Takes the lines of one firm, or of one of its matters, out of the documents of the bucket: bytes in, bytes out.

Names are compared as the product reads them (`text.plain_text`): exactly, but for spaces and characters that do not
print. What was refused was never read, so it goes where it holds the name anywhere.
"""

import csv
import html
import io
import json
import unicodedata
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from suspicious_lines.ledes import Mapping
from suspicious_lines.lines import read_lines
from suspicious_lines.report import script_json
from suspicious_lines.spreadsheet import plain
from suspicious_lines.text import plain_text
from suspicious_lines.verdicts import read_rows, wanted_lines

_ENCODINGS = ["utf-8", "cp1252", "utf-16-le", "utf-16-be"]
# A line of a run, by the run's name and its number.
Lines = set[tuple[str, int]]


@dataclass(frozen=True)
class Target:
    """Whose lines go: all of a firm, or those of one of its matters."""

    firm: str
    matter: str = ""

    @classmethod
    def of(cls, firm: str, matter: str) -> "Target":
        """Raises RuntimeError where the firm's name is empty."""
        if not plain_text(firm):
            raise RuntimeError('say whose lines are to go: FIRM="..."')
        return cls(plain_text(firm), plain_text(matter))

    def mask(self, lines: pd.DataFrame) -> np.ndarray:
        """Which lines are the target's, shape [n]; `lines` have `firm_name` and `matter_number`."""
        found = (lines["firm_name"].astype(object) == self.firm).to_numpy(bool)
        if self.matter:
            found = found & (lines["matter_number"].astype(object) == self.matter).to_numpy(bool)
        return found

    def row(self, cells: dict[str, str]) -> bool:
        """Whether a row of suspicious_lines.csv is the target's."""
        return cells["Firm Name"] == self.firm and self.matter in ("", cells["Matter Number"])

    def within(self, text: str, codes: Collection[str] = ()) -> bool:
        """Whether a text that was not read holds the name, or a LEDES code of the firm, and the matter's number."""
        told = plain_text(text.replace('""', '"'))
        named = self.firm in told or any(code in told.upper() for code in codes)
        return named and all(part in told for part in self.matter.split(" / "))  # invoice / matter in LEDES

    def within_bytes(self, body: bytes, codes: Collection[str] = ()) -> bool:
        """As `within`, in whatever encoding."""
        return any(self.within(body.decode(encoding, "replace"), codes) for encoding in _ENCODINGS)

    def like(self, name: str) -> bool:
        """Whether a firm's name is the target's but for capitals, points or the way its letters are encoded."""
        return name != self.firm and _bare(name) == _bare(self.firm)

    def named_by(self, name: str) -> bool:
        """Whether a key of a document is the firm, or a suppression that was proposed for it."""
        return plain_text(name) == self.firm or name.startswith(f"{self.firm}, ")

    def forms(self) -> list[bytes]:
        """The firm's name as documents may hold it."""
        quoted = [json.dumps(self.firm)[1:-1], json.dumps(self.firm, ensure_ascii=False)[1:-1]]
        marked = [script_json(self.firm)[1:-1], html.escape(self.firm), self.firm.replace('"', '""')]
        return [form.encode() for form in dict.fromkeys([self.firm, *quoted, *marked])]


def _bare(name: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKC", name).casefold() if c.isalnum())


@dataclass(frozen=True)
class Cut:
    """`body` without the target's records, `erased` the numbers of their first physical lines, `left` the records that
    stay."""

    body: bytes
    erased: set[int]
    left: int


def cut_upload(body: bytes, target: Target, mapping: Mapping, alike: Callable[[str], None]) -> Cut:
    """An upload of invoice lines, of either format. `alike` is told each firm's name that is much like the target's.

    Raises:
        InvalidUploadError: it is no such file.
    """
    accepted: list[int] = []
    refused: list[int] = []
    erased: set[int] = set()
    names: set[str] = set()
    for checked in read_lines(io.BytesIO(body), "", mapping):
        lines = checked.accepted.to_pandas()
        accepted += lines["line"].tolist()
        refused += [refusal.line for refusal in checked.refused]
        erased |= set(lines["line"][target.mask(lines)].tolist())
        names |= set(lines["firm_name"])
    for name in sorted(filter(target.like, names)):
        alike(name)
    codes = [code for code, name in mapping.firms.items() if name == target.firm]
    return _cut(body, accepted, refused, erased, lambda raw: target.within_bytes(raw, codes))


def cut_verdicts(body: bytes, target: Target, lines: Lines) -> Cut:
    """An upload of verdicts, without those on these lines and those whose note names the target.

    Raises:
        InvalidUploadError: it is no such file.
    """
    rows, refused = read_rows(io.BytesIO(body), "")
    named = [row for row in rows if target.within(row.note) or _answered(row) & lines]
    return _cut(
        body,
        [row.number for row in rows],
        [refusal.line for refusal in refused],
        {row.number for row in named},
        target.within_bytes,
    )


def _answered(row: Any) -> Lines:
    return {(run, line) for run, numbers in wanted_lines([row]).items() for line in numbers}


def _cut(
    body: bytes, accepted: list[int], refused: list[int], erased: set[int], within: Callable[[bytes], bool]
) -> Cut:
    """A record reaches from its first physical line to the next record's; what stays stays byte by byte."""
    text = _physical(body)
    starts = sorted([*accepted, *refused])
    bounds = dict(zip(starts, [*starts, len(text) + 1][1:], strict=True))
    erased = erased | {start for start in refused if within(_bytes(text[start - 1 : bounds[start] - 1]))}
    for start in sorted(erased, reverse=True):
        del text[start - 1 : bounds[start] - 1]
    return Cut(_bytes(text), erased, len(starts) - len(erased))


def _physical(body: bytes) -> list[str]:
    """Lines as the readers count them, which is as an editor does."""
    return io.TextIOWrapper(io.BytesIO(body), "utf-8", "surrogateescape", newline="").readlines()


def _bytes(text: list[str]) -> bytes:
    return "".join(text).encode("utf-8", "surrogateescape")


def cut_csv(body: bytes, is_erased: Callable[[dict[str, str]], bool]) -> tuple[bytes, int]:
    """A CSV of our own without some rows, and how many; the other rows stay byte by byte."""
    text = _physical(body)
    reader = csv.reader(text)
    header = [name.removeprefix("\ufeff") for name in next(reader, [])]
    kept, count, before = text[: reader.line_num], 0, reader.line_num
    for cells in reader:
        if is_erased(dict(zip(header, map(plain, cells), strict=False))):
            count += 1
        else:
            kept += text[before : reader.line_num]
        before = reader.line_num
    return _bytes(kept), count


def cut_refused(body: bytes, target: Target, lines: set[int]) -> tuple[bytes, int]:
    """rejected.csv without these lines and those whose value names the target."""
    return cut_csv(body, lambda row: int(row["Line"]) in lines or target.within(row["Value"]))


def cut_labels(body: bytes, lines: Lines) -> tuple[bytes, int]:
    """Labels in SageMaker's format, as `judged.ground_truth` writes them."""
    kept, gone = [], {f"{run}-{line}" for run, line in lines}
    records = body.decode().splitlines(keepends=True)
    for record in records:
        if json.loads(record)["eventMetadata"]["eventId"] not in gone:
            kept.append(record)
    return "".join(kept).encode(), len(records) - len(kept)


def cut_rows(body: bytes, gone: np.ndarray) -> bytes:
    """Features without the rows of a mask; as they are where they have another number of rows, being cut already."""
    rows = body.splitlines(keepends=True)
    return b"".join(row for row, out in zip(rows, gone, strict=True) if not out) if len(rows) == len(gone) else body


def cut_scores(body: bytes, gone: np.ndarray) -> bytes:
    """As `cut_rows`, of a part's scores."""
    table = read_table(body)
    return write_table(table, gone) if len(table) == len(gone) else body


def cut_document(document: Any, target: Target) -> Any:
    """A JSON document without what it says of the firm: values by its name, patterns of it, codes that stand for it."""
    if isinstance(document, dict):
        return {
            key: cut_document(value, target)
            for key, value in document.items()
            if not target.named_by(key) and value != target.firm
        }
    if isinstance(document, list):
        return [
            cut_document(value, target)
            for value in document
            if not (isinstance(value, dict) and value.get("firm_name") == target.firm)
        ]
    return document


def in_page(body: bytes, target: Target) -> bool:
    """Whether the reviewers' page lists a line of the target: its data name the matter, then the firm."""
    firm = f'"firm_name":{script_json(target.firm)}'
    told = f'"matter_number":{script_json(target.matter)},{firm}' if target.matter else firm
    return told.encode() in body


def read_table(body: bytes) -> pa.Table:
    """Reads Parquet; the dictionary of a column is the same for all its rows."""
    return pq.read_table(io.BytesIO(body)).unify_dictionaries()


def stale(table: pa.Table, target: Target) -> bool:
    """Whether a column's dictionary holds the target though no row does: parts of a run share their dictionaries."""
    column, name = ("matter_number", target.matter) if target.matter else ("firm_name", target.firm)
    found = table.column(column)
    if not pa.types.is_dictionary(found.type) or not found.num_chunks:
        return False
    return name in found.chunk(0).dictionary.to_pylist() and name not in set(found.to_pylist())


def write_table(table: pa.Table, gone: np.ndarray) -> bytes:
    """Parquet without the rows of a mask, of the same schema; dictionaries hold only what the rows do."""
    left = table.filter(pa.array(~gone))
    for place, column in enumerate(left.schema):
        if pa.types.is_dictionary(column.type):
            left = left.set_column(place, column, _compact(left.column(place), column.type))
    sink = io.BytesIO()
    pq.write_table(left, sink, compression="snappy")
    return sink.getvalue()


def _compact(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    whole = column.combine_chunks()
    codes = whole.indices.to_pandas().to_numpy(np.float64)  # NaN where there is no value
    used = np.unique(codes[~np.isnan(codes)]).astype(np.int64)
    again = pa.array(np.searchsorted(used, codes), mask=np.isnan(codes)).cast(kind.index_type)
    return pa.DictionaryArray.from_arrays(again, whole.dictionary.take(pa.array(used)), ordered=kind.ordered)


def without_notes(table: pa.Table, target: Target) -> pa.Table:
    """Judged lines whose note names the target lose the note."""
    if "note" not in table.column_names:
        return table
    notes = [None if note and target.within(note) else note for note in table.column("note").to_pylist()]
    if notes == table.column("note").to_pylist():
        return table
    place = table.schema.get_field_index("note")
    return table.set_column(place, table.schema.field(place), pa.array(notes, table.schema.field(place).type))


def texts(table: pa.Table) -> set[str]:
    """All texts of a table, those that no row uses included."""
    found: set[str] = set()
    for column in table.columns:
        held = column.combine_chunks().dictionary if pa.types.is_dictionary(column.type) else column
        if pa.types.is_string(held.type) or pa.types.is_large_string(held.type):
            found.update(text for text in held.unique().to_pylist() if text)
    return found
