"""What processes have used, from /proc: those of the embedded AWS are this one's descendants."""

import os
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def processor_seconds() -> float:
    """User and system time of this process and of all below it that live; ended ones count with who waited for them."""
    used: dict[int, int] = {}
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        number = int(folder.name)
        parents[number] = int(fields[1])
        used[number] = sum(map(int, fields[11:15]))
    return sum(ticks for number, ticks in used.items() if _is_ours(number, parents)) / _TICK


def _is_ours(number: int, parents: dict[int, int]) -> bool:
    while number not in (0, os.getpid()):
        number = parents.get(number, 0)
    return number != 0
