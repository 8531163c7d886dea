"""Looks for uploads that the readers neither accept, nor refuse in words: coverage-guided, for a bounded time.

    make fuzz FORMAT=csv SECONDS=600

What it finds belongs into cases.py.
"""

import argparse
import io
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["suspicious_lines"]):
    from suspicious_lines import ledes
    from suspicious_lines.errors import InvalidUploadError
    from tests.whole import Lines, read_lines

from tests.corpus.cases import csv_cases
from tests.corpus.ledes_cases import ledes_cases

KEY = "incoming/fuzzed.csv"


def seeds(kind: str) -> list[bytes]:
    return [case.body for case in (csv_cases() if kind == "csv" else ledes_cases()) if len(case.body) < 4_000]


def is_sound(lines: Lines) -> bool:
    """Each line is read once: none is both accepted and refused, and each is told by its number."""
    numbers = [*lines.accepted["line"], *(refusal.line for refusal in lines.refused)]
    amounts = lines.accepted[["minutes", "fee", "total"]]
    return len(set(numbers)) == len(numbers) == lines.read and bool((amounts >= 0).all(axis=None))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.corpus.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("format", choices=["csv", "ledes"])
    parser.add_argument("--seconds", type=int, default=600)
    options = parser.parse_args()
    prefix = b"" if options.format == "csv" else f"{ledes.VERSION}\n".encode()

    def once(data: bytes) -> None:
        body = data if data.startswith(prefix) else prefix + data
        try:
            lines = read_lines(io.BytesIO(body), KEY)
        except InvalidUploadError:
            return
        if not is_sound(lines):
            raise AssertionError("a line was read twice, or without its number")

    with tempfile.TemporaryDirectory() as folder:
        for number, body in enumerate(seeds(options.format)):
            (Path(folder) / str(number)).write_bytes(body)
        atheris.Setup([sys.argv[0], f"-max_total_time={options.seconds}", "-max_len=4096", "-timeout=20", folder], once)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
