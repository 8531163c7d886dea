"""What operators set by a file: the library has a default of each, and config/<file> in the data bucket replaces it."""

import functools
import operator
import re
from importlib.resources import files
from typing import Any, ClassVar, Self

import msgspec
from msgspec import DecodeError, ValidationError, convert

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
            document = msgspec.json.decode(text)
            return convert(document, cls, strict=False)  # a number may be written as text
        except ValidationError as error:
            raise SettingsError(f"config/{cls.FILE} is wrong: {_told(error, document, cls)}") from error
        except (DecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"config/{cls.FILE} is wrong: {error}") from error


def _told(error: ValidationError, document: dict[str, Any], cls: type[Configuration]) -> str:
    """What msgspec says, with the name of the entry where it leaves that out: `$.cards[...]`."""
    told = str(error)
    if not (place := re.search(r"`\$\.([\w.]+)\[\.\.\.\]", told)):
        return told
    entries: dict[str, Any] = functools.reduce(operator.getitem, place[1].split("."), document)
    for name, value in list(entries.items()):
        entries.clear()
        entries[name] = value
        try:
            convert(document, cls, strict=False)
        except ValidationError:
            return told.replace("[...]", f".{name}", 1)
    return told
