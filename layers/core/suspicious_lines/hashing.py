"""What was read, named by its hash."""

import hashlib
import io
from typing import BinaryIO


class HashingStream(io.RawIOBase):
    """Passes bytes on and hashes them, so that the receipt can name what was read without a second read."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        self._digest.update(data)
        return len(data)

    def hexdigest(self) -> str:
        """SHA-256 of the whole source, the unread rest included."""
        while self.read(1 << 20):
            pass
        return self._digest.hexdigest()
