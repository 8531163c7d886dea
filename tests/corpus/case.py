"""What a case of the corpus is."""

from dataclasses import dataclass, field

GOOD_LINES = 8
IS_NO_NUMBER = "is not a number"


@dataclass(frozen=True)
class Case:
    """`told`: what the message says of a file that is refused as a whole, in this order. Otherwise `accepted` lines are
    kept, and `refused` says (column, reason) by line."""

    name: str
    body: bytes
    told: tuple[str, ...] = ()
    accepted: int = 0
    refused: dict[int, tuple[str, str]] = field(default_factory=dict)


def whole(name: str, body: bytes | str, *told: str) -> Case:
    return Case(name, body.encode() if isinstance(body, str) else body, told=told)


def fine(name: str, body: bytes | str, accepted: int = GOOD_LINES) -> Case:
    return Case(name, body.encode() if isinstance(body, str) else body, accepted=accepted)
