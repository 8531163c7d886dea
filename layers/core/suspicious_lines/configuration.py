"""What operators set by a file: the library has a default of each, and config/<file> in the data bucket replaces it."""

from importlib.resources import files
from typing import ClassVar, Self

import msgspec
from msgspec import DecodeError

from suspicious_lines import store
from suspicious_lines.documents import Document
from suspicious_lines.errors import SettingsError


class Configuration(Document, forbid_unknown_fields=True):
    """Base of these files; `FILE` is the file's name."""

    FILE: ClassVar[str]

    @classmethod
    def read(cls, bucket: str) -> Self:
        """The operator's file where there is one, the library's elsewhere. Raises SettingsError as `from_json`."""
        found = store.get_with_etag(bucket, f"config/{cls.FILE}")
        return cls.from_json(found[0]) if found else cls.default()

    @classmethod
    def default(cls) -> Self:
        return cls.from_json(files("suspicious_lines").joinpath(cls.FILE).read_bytes())

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Raises SettingsError naming the first thing that is wrong in the file, and where it stands."""
        try:
            return msgspec.json.decode(text, type=cls)
        except DecodeError as error:
            raise SettingsError(f"config/{cls.FILE} is wrong: {error}") from error
