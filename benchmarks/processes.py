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
    """Notes the most memory that each process below this one has had, as a context manager; `found`: MB by what the
    process is, the name of the Lambda function whose environment it is or else its command line."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.found: dict[str, float] = {}
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
                    lines = (Path("/proc") / str(number) / "status").read_text().splitlines()
                    peak = next(line for line in lines if line.startswith("VmHWM"))  # one that is ending has none
                    name = _name(number)
                    self.found[name] = max(int(peak.split()[1]) / 1024, self.found.get(name, 0))


def _name(number: int) -> str:
    texts = [(Path("/proc") / str(number) / name).read_bytes().split(b"\0") for name in ("environ", "cmdline")]
    environment, command = ([text.decode(errors="replace") for text in each] for each in texts)
    function = (text.partition("=")[2] for text in environment if text.startswith("AWS_LAMBDA_FUNCTION_NAME="))
    return next(function, " ".join(command))
