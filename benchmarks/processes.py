"""What processes have used, from /proc: those of the embedded AWS are this one's descendants."""

import contextlib
import os
import threading
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_SAMPLE_SECONDS = 0.2


def processor_seconds() -> float:
    """User and system time of this process and of all below it that live; ended ones count with who waited for them."""
    return sum(_ours().values()) / _TICK


def _ours() -> dict[int, int]:
    """This process and all below it, with the ticks that each has used."""
    used: dict[int, int] = {}
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            number = int(folder.name)
            parents[number], used[number] = int(fields[1]), sum(map(int, fields[11:15]))
    return {number: ticks for number, ticks in used.items() if _is_below(number, parents)}


def _is_below(number: int, parents: dict[int, int]) -> bool:
    while number not in (0, os.getpid()):
        number = parents.get(number, 0)
    return number != 0


class Peaks(threading.Thread):
    """Notes the most memory that each process below this one has had, as a context manager; `found`: MB by process
    number, with its command line."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.found: dict[int, tuple[str, float]] = {}
        self._ended = threading.Event()

    def __enter__(self) -> "Peaks":
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            for number in _ours():
                with contextlib.suppress(OSError, StopIteration):
                    folder = Path("/proc") / str(number)
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    lines = (folder / "status").read_text().splitlines()
                    peak = next(line for line in lines if line.startswith("VmHWM"))  # not of one that is ending
                    self.found[number] = command, int(peak.split()[1]) / 1024

    def of(self, word: str) -> float | None:
        """The most that a process has had with this word in its command line; None where there was none."""
        return max((peak for command, peak in self.found.values() if word in command), default=None)
