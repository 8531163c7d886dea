"""Preprocess beside the seed's way and beside the floor: lines a second, processor time and peak memory.

    python -m benchmarks.preprocess --write docs/performance.md

Each cell is a process of its own, the ways take turns, and the table has the medians. The bucket is a folder.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.tables import write

RUNS = {105_965: 5, 1_000_000: 5, 10_000_000: 1}
# As template.yaml sets it for the function.
ENVIRONMENT = {"MALLOC_ARENA_MAX": "1"}


class Folder:
    """As much of an S3 client as Preprocess asks for; the objects of a bucket are the files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get_object(self, Bucket: str, Key: str, **version: str) -> dict[str, Any]:
        from botocore.exceptions import ClientError

        try:
            return {"Body": (self._folder / Key).open("rb"), "ETag": ""}
        except FileNotFoundError:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject") from None

    def put_object(self, Bucket: str, Key: str, Body: Any, ContentType: str) -> None:
        path = self._folder / Key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            if hasattr(Body, "read"):
                shutil.copyfileobj(Body, file)
            else:
                file.write(Body if isinstance(Body, bytes) else Body.encode())

    def get_paginator(self, operation: str) -> Any:
        return SimpleNamespace(paginate=lambda **request: [])


def ours(folder: Path) -> Callable[[], None]:
    """The function Preprocess, from the upload to the last part."""
    from suspicious_lines import preprocessing, store
    from suspicious_lines.messages import Upload
    from suspicious_lines.settings import PreprocessSettings
    from suspicious_lines.train_messages import PreprocessRequest

    store.client = lambda service: Folder(folder)  # type: ignore[assignment]
    upload = Upload(bucket="bucket", key="lines.csv", etag="", size=0, version_id=None)
    settings = PreprocessSettings(
        data_bucket="bucket", split_seed=1, lines_per_part=5_000, feature_group="", train_on_stored_days=0
    )
    return lambda: preprocessing.preprocess(PreprocessRequest(run="run", upload=upload), settings) and None


def seed(folder: Path) -> Callable[[], None]:
    """pandas.read_csv, get_dummies, train_test_split, and to_csv of both sides, as a body to put."""
    import pandas as pd
    from sklearn.model_selection import train_test_split

    client = Folder(folder)

    def work() -> None:
        lines = pd.read_csv(client.get_object("bucket", "lines.csv")["Body"]).drop(columns=["Firm Name"])
        encoded = pd.get_dummies(lines, columns=["Matter Type", "Resource", "Activity"])
        sides = train_test_split(encoded, test_size=0.2, random_state=0)
        for name, side in zip(("train", "validation"), sides, strict=True):
            client.put_object("bucket", f"{name}.csv", side.to_csv(index=False, header=False), "text/csv")

    return work


def floor(folder: Path) -> Callable[[], None]:
    """One pass of pyarrow.csv over the same bytes, a batch at a time."""
    import pyarrow.csv as pa_csv

    def work() -> None:
        for _ in pa_csv.open_csv(folder / "lines.csv"):
            pass

    return work


WAYS = {"Preprocess": ours, "the seed's way": seed, "the floor": floor}


def run_cell(way: str, folder: Path) -> dict[str, float]:
    work = WAYS[way](folder)
    started, cpu = time.perf_counter(), time.process_time()
    work()
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    # Not ru_maxrss, which starts with the parent's.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return {"seconds": seconds, "cpu": cpu, "peak": int(peak.split()[1]) / 1024}


def measure(way: str, file: Path) -> dict[str, float]:
    environment = os.environ | (ENVIRONMENT if way == "Preprocess" else {})
    with tempfile.TemporaryDirectory() as folder:  # a new one each time: it takes longer to overwrite files
        (Path(folder) / "lines.csv").symlink_to(file)
        command = [sys.executable, "-m", "benchmarks.preprocess", "--cell", way, folder]
        return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)


def make_file(path: Path, lines: int) -> None:
    """The published sample again and again, its matters numbered on."""
    from local.activities import generate, write_csv

    sample = generate()
    matters = int(sample["Matter Number"].max())
    write_csv(sample.head(0), path)
    with path.open("a", encoding="utf-8") as file:
        for start in range(0, lines, len(sample)):
            part = sample.assign(**{"Matter Number": sample["Matter Number"] + start // len(sample) * matters})
            part.head(lines - start).to_csv(file, index=False, header=False, float_format="%.2f", lineterminator="\n")


def rows(lines: int, runs: int, folder: Path) -> list[str]:
    file = folder / "lines.csv"
    make_file(file, lines)
    cells: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for number in range(runs):
        for way in WAYS:
            cells[way].append(measure(way, file))
            print(f"{lines:,} {way} {number + 1} of {runs}: {cells[way][-1]}", file=sys.stderr, flush=True)
    middle = {
        way: {name: statistics.median(cell[name] for cell in found) for name in found[0]}
        for way, found in cells.items()
    }
    mine = middle["Preprocess"]
    return [
        f"| {lines:,} | {way} | {lines / found['seconds']:,.0f} | {found['cpu']:.2f} s | {found['peak']:,.0f} MB "
        f"| {found['seconds'] / mine['seconds']:.2f} | {found['cpu'] / mine['cpu']:.2f} "
        f"| {mine['peak'] / found['peak']:.2f} |"
        for way, found in middle.items()
    ]


def main() -> None:
    description = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.preprocess", description=description)
    parser.add_argument("--lines", type=int, nargs="+", default=list(RUNS))
    parser.add_argument("--runs", type=int, help=f"runs of each cell (default {', '.join(map(str, RUNS.values()))})")
    parser.add_argument("--write", type=Path, help="put the table into this document instead of printing it")
    parser.add_argument("--cell", nargs=2, metavar=("WAY", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        print(json.dumps(run_cell(options.cell[0], Path(options.cell[1]))))
        return
    table = [
        "| lines | way | lines a second | processor time | peak memory | time, times ours | processor time, times ours "
        "| our peak, of its |",
        "|---" * 8 + "|",
    ]
    for lines in options.lines:
        with tempfile.TemporaryDirectory() as folder:
            table += rows(lines, options.runs or RUNS.get(lines, 1), Path(folder))
    write("\n".join(table), options.write, "benchmarks.preprocess")


if __name__ == "__main__":
    main()
