"""Preprocess on files that are unlike the sample: what each kind costs it in time and memory.

    python -m benchmarks.odd_files --write docs/performance.md

Each cell is a process of its own, as in benchmarks.preprocess; the table has the medians.
"""

import argparse
import csv
import random
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.preprocess import make_file, measure
from benchmarks.tables import write

LINES = 1_000_000
RUNS = 3
Cells = dict[str, str]


def all_different(cells: Cells, number: int) -> None:
    minutes, fee = random.uniform(1, 900), random.uniform(50, 900)
    cells |= {"Minutes": f"{minutes:.6f}", "Fee": f"{fee:.6f}", "Total": f"{minutes / 60 * fee:.6f}"}


def all_equal(cells: Cells, number: int) -> None:
    cells |= {"Matter Number": "1", "Firm Name": "F", "Matter Type": "T", "Resource": "R", "Activity": "A"}
    cells |= {"Minutes": "60.00", "Fee": "100.00", "Total": "100.00"}


def half_refused(cells: Cells, number: int) -> None:
    if number % 2:
        cells["Minutes"] = f"-{cells['Minutes']}"


def quotes(cells: Cells, number: int) -> None:
    cells["Firm Name"] += ' "and partners"'


KINDS: dict[str, Callable[[Cells, int], None]] = {
    "the sample": lambda cells, number: None,
    "every minute, rate and total is another": all_different,
    "all lines are equal": all_equal,
    "every second line is refused": half_refused,
    "every line has quotes within quotes": quotes,
}


def make_other(file: Path, other: Path, alter: Callable[[Cells, int], None]) -> None:
    with file.open(newline="", encoding="utf-8") as plain, other.open("w", newline="", encoding="utf-8") as changed:
        reader = csv.DictReader(plain)
        writer = csv.DictWriter(changed, reader.fieldnames or [], lineterminator="\n")
        writer.writeheader()
        for number, cells in enumerate(reader):
            alter(cells, number)
            writer.writerow(cells)


def main() -> None:
    description = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.odd_files", description=description)
    parser.add_argument("--write", type=Path, help="put the table into this document instead of printing it")
    options = parser.parse_args()
    table = [f"| {LINES:,} lines | lines a second | processor time | peak memory |", "|---" * 4 + "|"]
    random.seed(1)
    with tempfile.TemporaryDirectory() as folder:
        file, other = Path(folder, "lines.csv"), Path(folder, "other.csv")
        make_file(file, LINES)
        for name, alter in KINDS.items():
            make_other(file, other, alter)
            cells = [measure("Preprocess", other) for _ in range(RUNS)]
            middle = {key: statistics.median(cell[key] for cell in cells) for key in cells[0]}
            table.append(
                f"| {name} | {LINES / middle['seconds']:,.0f} | {middle['cpu']:.2f} s | {middle['peak']:,.0f} MB |"
            )
    write("\n".join(table), options.write, "benchmarks.odd_files")


if __name__ == "__main__":
    main()
