"""An upload's accepted lines on the function's disk: written once, in the file's order, and read a batch at a time."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from suspicious_lines import arrow
from suspicious_lines.repeats import Repeats


class Spill:
    """What is read back has the column `repeats` and no `occasion`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "lines.arrows"
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None
        self._repeats = Repeats(folder)
        self._errors = bytearray()

    def add(self, lines: pa.RecordBatch) -> None:
        self._repeats.add(lines)
        self._errors += arrow.truths(lines["error"]).tobytes()
        kept = lines.drop_columns(["occasion"]) if "occasion" in lines.schema.names else lines
        self._writer = self._writer or pa.ipc.new_stream(self._file, kept.schema)
        self._writer.write_batch(kept)

    def close(self) -> None:
        """To be called once, after the last line and before the first is read."""
        self._repeats.find()
        if self._writer:
            self._writer.close()

    @property
    def errors(self) -> np.ndarray:
        """A mask of the lines that are known errors."""
        return np.frombuffer(self._errors, dtype=bool)

    def lines(self, mask: np.ndarray, columns: Sequence[str] = ()) -> Iterator[pa.Table]:
        """The lines for which `mask`, of all the lines, is true; all their columns where none are named."""
        start = 0
        with pa.OSFile(str(self._file)) as file:
            for lines in pa.ipc.open_stream(file):
                chosen = mask[start : start + len(lines)]
                start += len(lines)
                if columns:
                    lines = lines.select(columns)
                else:
                    repeats = self._repeats.of(arrow.numbers(lines["line"], np.int64))
                    lines = lines.append_column("repeats", arrow.array(repeats))
                if chosen.any():
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
