"""Reads an upload once: its accepted lines are passed on, the refused ones are listed in rejected.csv."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from suspicious_lines import store
from suspicious_lines.errors import InvalidUploadError
from suspicious_lines.hashing import HashingStream
from suspicious_lines.layout import RunFiles
from suspicious_lines.ledes import Mapping
from suspicious_lines.lines import Counts, read_lines
from suspicious_lines.messages import Upload
from suspicious_lines.repeats import Repeats
from suspicious_lines.spreadsheet import write_rows


class Reading:
    """`counts`, `sha256` and `repeats` are those of the whole file once `accepted` has ended."""

    def __init__(self, upload: Upload, files: RunFiles, bucket: str, folder: Path, most_mb: int) -> None:
        """Raises InvalidUploadError: the file is too large."""
        if upload.size > most_mb * 1_000_000:
            reason = f"the file has {upload.size / 1e6:,.0f} MB, at most {most_mb} can be read"
            raise InvalidUploadError(upload.key, reason, "Split it by matter and drop the parts.")
        self._upload, self._files, self._bucket, self._folder = upload, files, bucket, folder
        self.counts, self.repeats, self.sha256 = Counts(), Repeats(folder), ""

    def accepted(self) -> Iterator[pa.RecordBatch]:
        """The lines of `checking.Checked.accepted` but for `occasion`, some at a time; none is empty.

        Raises:
            InvalidUploadError: the file cannot be used.
        """
        stream = HashingStream(store.open_upload(self._upload))
        rejected = self._folder / "rejected.csv"
        with rejected.open("w", encoding="utf-8", newline="") as text:
            write_rows(text, [("Line", "Column", "Value", "Reason")])
            for checked in read_lines(stream, self._upload.key, Mapping.read(self._bucket)):
                self.counts.add(checked)
                write_rows(text, [(told.line, told.column, told.value, told.reason) for told in checked.refused])
                if lines := checked.accepted:
                    self.repeats.add(lines)
                    yield lines.drop_columns(["occasion"]) if "occasion" in lines.schema.names else lines
        with rejected.open("rb") as body:
            store.put(self._bucket, self._files.rejected, body, "text/csv; charset=utf-8")
        self.repeats.find()
        self.sha256 = stream.hexdigest()
