"""Reads what RCF reads: numbers in CSV, JSON or JSON Lines, as one float64 array of rows x features."""

import csv
import io
import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from local.sagemaker.errors import DataError


def from_csv(data: bytes) -> np.ndarray:
    """Rows of a headerless numeric CSV.

    Raises DataError, naming line, column and value, for text, a header, an empty cell, NaN, infinity, True/False or
    rows of different lengths.
    """
    first = data.lstrip(b"\r\n").split(b"\n", 1)[0]
    if not first.strip():
        raise DataError("there are no rows")
    types = {f"f{place}": pa.float64() for place in range(first.count(b",") + 1)}
    try:
        table = arrow_csv.read_csv(
            # pyarrow sees no row in a single line that does not end.
            pa.BufferReader(data if data.endswith(b"\n") else data + b"\n"),
            # One block: pyarrow refuses a line that is longer than a block.
            read_options=arrow_csv.ReadOptions(autogenerate_column_names=True, block_size=len(data) + 2),
            convert_options=arrow_csv.ConvertOptions(column_types=types, null_values=[], strings_can_be_null=False),
        )
        # to_numpy would do the same and import pandas for it, 0.7 s.
        rows = np.column_stack([np.from_dlpack(column.chunk(0)) for column in table.combine_chunks().columns])
    except (pa.ArrowException, ValueError) as error:
        raise DataError(_first_bad_cell(data) or str(error)) from None
    if not np.isfinite(rows).all():
        raise DataError(_first_bad_cell(data) or "a value is not a finite number")
    return rows


def from_json(data: bytes) -> np.ndarray:
    """Rows of `{"instances": [...]}`: each `{"features": [...]}` or `{"data": {"features": {"values": [...]}}}`."""
    body = _load(data, "the body")
    if not isinstance(body, dict) or not isinstance(body.get("instances"), list):
        raise DataError('the body has no list "instances"')
    return _from_instances(body["instances"])


def from_jsonlines(data: bytes) -> np.ndarray:
    """Rows of one JSON instance a line."""
    lines = (line for line in data.splitlines() if line.strip())
    return _from_instances([_load(line, f"line {number}") for number, line in enumerate(lines, start=1)])


def _first_bad_cell(data: bytes) -> str | None:
    """Where the slow reading finds the first thing that is not a finite number; None when it finds nothing."""
    reader = csv.reader(io.StringIO(data.decode("utf-8", errors="replace"), newline=""))
    width = None
    for row in reader:
        if not row:
            continue
        bad = [place for place, cell in enumerate(row, start=1) if not _is_finite(cell)]
        if width is None and len(bad) == len(row) and all(cell and not _is_number(cell) for cell in row):
            return f"line {reader.line_num} looks like a header row ({row[0]!r} ...): a CSV must not have one"
        if bad:
            cell = row[bad[0] - 1]
            what = "is empty" if not cell.strip() else f"is {cell[:40]!r}, which is not a finite number"
            return f"line {reader.line_num}, column {bad[0]} {what}"
        width = width or len(row)
        if len(row) != width:
            return f"line {reader.line_num} has {len(row)} columns, the lines before it have {width}"
    return None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_finite(cell: str) -> bool:
    return _is_number(cell) and math.isfinite(float(cell))


def _load(data: bytes, where: str) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise DataError(f"{where} is not JSON: {error}") from None


def _from_instances(instances: Iterable[Any]) -> np.ndarray:
    rows = [_features(instance, number) for number, instance in enumerate(instances, start=1)]
    if not rows:
        raise DataError("there are no rows")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise DataError(f"instance {number} has {len(row)} features, the first has {len(rows[0])}")
        # bool is a subclass of int and numpy reads "1" as 1.0: only the exact types are numbers here.
        if not set(map(type, row)) <= {int, float} or not all(map(math.isfinite, row)):
            raise DataError(f"instance {number} holds a feature that is not a finite number")
    return np.array(rows, dtype=np.float64)


def _features(instance: Any, number: int) -> list[Any]:
    found = instance.get("features") if isinstance(instance, dict) else None
    if found is None:
        try:
            found = instance["data"]["features"]["values"]
        except (KeyError, TypeError):
            found = None
    if not isinstance(found, list) or not found:
        raise DataError(f'instance {number} has no list "features"')
    return found
