"""Peak memory of reading, encoding and cutting a file, beside pandas reading the same bytes.

    python -m benchmarks.memory --lines 1000000 3000000

Each cell is a process of its own, so that one peak does not hide another.
"""

import argparse
import io
import multiprocessing
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from local.activities import PUBLISHED_LINES, generate, write_csv
from suspicious_lines.encoder import Encoder
from suspicious_lines.features import features_csv
from suspicious_lines.lines import read_lines
from suspicious_lines.preprocessing import split
from suspicious_lines.rules import repeats


def make_file(path: Path, lines: int) -> None:
    """The sample's lines, as often as it takes."""
    copies, rest = divmod(lines, PUBLISHED_LINES)
    sample = generate()
    write_csv(pd.concat([*[sample] * copies, sample.head(rest)]), path)


def ours(path: Path) -> None:
    """What Preprocess holds: all the lines, the encoder, one part at a time as CSV."""
    accepted = read_lines(io.FileIO(path), path.name).accepted
    lines = accepted.assign(repeats=repeats(accepted))
    train = lines[split(len(lines), seed=1)]
    encoder = Encoder.fit(train)
    for start in range(0, len(train), 100_000):
        features_csv(encoder, train.iloc[start : start + 100_000])


def reference(path: Path) -> None:
    pd.read_csv(path)


def peak_mb(work: Callable[[Path], None], path: Path) -> int:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak, (work, path))


def _peak(work: Callable[[Path], None], path: Path) -> int:
    work(path)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lines", type=int, nargs="+", default=[1_000_000, 3_000_000])
    print("| lines | file | Preprocess, peak | pandas.read_csv, peak | ratio |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "activities.csv"
        for lines in parser.parse_args().lines:
            make_file(path, lines)
            mine, theirs = peak_mb(ours, path), peak_mb(reference, path)
            size = path.stat().st_size / 1e6
            print(f"| {lines:,} | {size:.0f} MB | {mine:,} MB | {theirs:,} MB | {mine / theirs:.2f} |", flush=True)


if __name__ == "__main__":
    main()
