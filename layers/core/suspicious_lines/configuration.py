"""What operators set by a file: the library has a default of each, and config/<file> in the data bucket replaces it."""

from importlib.resources import files
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from suspicious_lines import store
from suspicious_lines.errors import SettingsError


class Configuration(BaseModel):
    """Base of these files; `FILE` is the file's name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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
        """Raises SettingsError naming what is wrong in the file."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise SettingsError(f"config/{cls.FILE} is wrong: {faults}") from error
