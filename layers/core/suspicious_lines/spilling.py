"""Lines on the function's disk: memory does not grow with the file that they came from."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from suspicious_lines import arrow


class Spill:
    """Written once, in the file's order, and then read a batch at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None
        self.count = 0

    def add(self, lines: pa.RecordBatch | pa.Table) -> None:
        self._writer = self._writer or pa.ipc.new_stream(self._path, lines.schema)
        self._writer.write(lines)
        self.count += len(lines)

    def close(self) -> None:
        """To be called once, after the last line and before the first is read."""
        if self._writer:
            self._writer.close()

    def lines(self, columns: Sequence[str] = (), mask: np.ndarray | None = None) -> Iterator[pa.Table]:
        """The lines, or those for which `mask`, of all the lines, is true; all their columns where none are named."""
        if not self._writer:
            return
        start = 0
        with pa.OSFile(str(self._path)) as file:
            for lines in pa.ipc.open_stream(file):
                chosen = None if mask is None else mask[start : start + len(lines)]
                start += len(lines)
                lines = lines.select(columns) if columns else lines
                if chosen is None or chosen.all():
                    yield pa.Table.from_batches([lines])
                elif chosen.any():
                    yield pa.Table.from_batches([lines.filter(arrow.array(chosen))])


def cut(tables: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    """The same rows in tables of `size` rows, the last of which may be shorter; there is none without rows."""
    rest: list[pa.Table] = []
    for table in tables:
        rest.append(table)
        while sum(map(len, rest)) >= size:
            whole = pa.concat_tables(rest)
            yield whole.slice(0, size)
            rest = [whole.slice(size)]
    if sum(map(len, rest)):
        yield pa.concat_tables(rest)
