"""The base of all that is read from JSON or written as JSON: messages, settings, configuration and documents.

What is read is validated (`msgspec.convert`, `msgspec.json.decode`); what is made by its constructor is not.
"""

from typing import Annotated, Any, dataclass_transform

from msgspec import Meta, Struct, StructMeta, field

Count = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


class _Keywords(StructMeta):
    """Takes all fields by keyword, also of subclasses, which msgspec does not make inherit that: so fields are written
    in the order of their declaration, wherever some of them have defaults."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **config: Any) -> "_Keywords":
        return super().__new__(mcls, name, bases, namespace, kw_only=True, **config)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
class Document(Struct, metaclass=_Keywords, frozen=True):
    """Immutable. Of keys that it does not know it takes no notice, unless a subclass forbids them."""
