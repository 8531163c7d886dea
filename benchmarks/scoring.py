"""The library's way through an endpoint beside the same forest called directly: lines a second and processor time.

    python -m benchmarks.scoring --write docs/performance.md

A million lines in five rounds, in which the ways take turns on the same parts; the table has the medians. The endpoint
is the local engine's and the bucket the embedded AWS's, both over HTTP; the library runs in this process.
"""

import argparse
import functools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from krcf import RandomCutForest

from benchmarks.load import load, past
from benchmarks.preprocess import make_file
from benchmarks.processes import processor_seconds
from benchmarks.tables import write
from local.cloud import LAPTOP_PARAMETERS, Cloud
from local.sagemaker import forest, tables
from suspicious_lines import store
from suspicious_lines.layout import RunFiles
from suspicious_lines.messages import ScoreRequest, Upload
from suspicious_lines.preprocessing import encode_lines
from suspicious_lines.promotion import live_model
from suspicious_lines.score_messages import EncodeRequest
from suspicious_lines.scoring import score_part
from suspicious_lines.settings import BucketSettings, EncodeSettings

LINES, ROUNDS = 1_000_000, 5
TRAINED_ON = 105_965
# LinesPerPart, its default (as template.yaml has it) and the most it can be, with how many parts are scored at once.
DEFAULT_SIZE = 5_000
AT_ONCE = {DEFAULT_SIZE: (1, 2, 4), 1_000: (1,), 20_000: (1,)}
EACH_LINE, EACH_PART = "forest, line by line", "forest, part by part"
Work = Callable[[], object]


@dataclass(frozen=True)
class Parts:
    """A generated file, encoded for the live model as EncodeLines does, in the run `run`."""

    bucket: str
    run: str
    names: list[str]

    @classmethod
    def make(cls, bucket: str, lines: int, lines_per_part: int) -> "Parts":
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "lines.csv"
            make_file(path, lines)
            store.put(bucket, "benchmark.csv", path.read_bytes(), "text/csv")
        upload = Upload(bucket=bucket, key="benchmark.csv", etag="", size=0)
        request = EncodeRequest(run=f"parts-of-{lines_per_part}", upload=upload, gone="")
        encoded = encode_lines(request, EncodeSettings(data_bucket=bucket, lines_per_part=lines_per_part))
        return cls(bucket, request.run, encoded.dataset.parts)

    def of_round(self, number: int) -> "Parts":
        return Parts(self.bucket, self.run, self.names[number::ROUNDS])

    def rows(self) -> list[Any]:
        files = RunFiles(self.run)
        return [tables.from_csv(store.get_bytes(self.bucket, files.features(name))) for name in self.names]

    def score(self, at_once: int) -> None:
        """As so many functions ScoreLines at once."""
        settings, endpoint = BucketSettings(data_bucket=self.bucket), live_model(self.bucket).endpoint_name
        requests = [ScoreRequest(run=self.run, part=name, endpoint_name=endpoint) for name in self.names]
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(lambda request: score_part(request, settings), requests))


@dataclass(frozen=True)
class Cell:
    """One way on the lines of one round; `cpu` is that of all the processes."""

    seconds: float
    cpu: float


def timed(work: Work) -> Cell:
    started, cpu = time.perf_counter(), processor_seconds()
    work()
    return Cell(time.perf_counter() - started, processor_seconds() - cpu)


def ways(parts: Parts, model: RandomCutForest, at_once: tuple[int, ...]) -> dict[str, Work]:
    """What is timed, on rows that are in memory and on parts that are in the bucket."""
    rows = parts.rows()
    return {
        EACH_LINE: lambda: [model.score(row) for part in rows for row in part.tolist()],
        EACH_PART: lambda: [forest.score(model, part, lambda: None) for part in rows],
        **{f"endpoint, {number} at once": functools.partial(parts.score, number) for number in at_once},
    }


def measure(bucket: str, lines: int) -> dict[tuple[int, str], list[Cell]]:
    (artifact,) = store.keys(bucket, RunFiles(live_model(bucket).run).model)
    model = forest.unpack(store.get_bytes(bucket, artifact))
    files = {size: Parts.make(bucket, lines, size) for size in AT_ONCE}
    cells: dict[tuple[int, str], list[Cell]] = {}
    for number in range(ROUNDS):
        for size, at_once in AT_ONCE.items():
            for way, work in ways(files[size].of_round(number), model, at_once).items():
                if way != EACH_LINE or size == DEFAULT_SIZE:
                    cells.setdefault((size, way), []).append(timed(work))
        print(f"round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
    return cells


def table(cells: dict[tuple[int, str], list[Cell]], lines: int) -> str:
    """The ratios are to the forest on the same parts in the same round: what slows the machine slows both."""
    shown = [
        "| lines a part | way | lines a second | the same, by parts at once | processor time, a million lines "
        "| speed, of the forest's | processor time, times the forest's |",
        "|---" * 7 + "|",
    ]
    for (size, way), found in cells.items():
        bare = cells[size, EACH_PART]
        speed = lines / ROUNDS / statistics.median(cell.seconds for cell in found)
        at_once = int(way.split()[1]) if way.startswith("endpoint") else 1
        cpu = statistics.median(cell.cpu for cell in found) * 1e6 * ROUNDS / lines
        ratio = statistics.median(its.seconds / cell.seconds for its, cell in zip(bare, found, strict=True))
        times = statistics.median(cell.cpu / its.cpu for its, cell in zip(bare, found, strict=True))
        shown.append(
            f"| {size:,} | {way} | {speed:,.0f} | {speed / at_once:,.0f} | {cpu:.1f} s | {ratio:.2f} | {times:.2f} |"
        )
    return "\n".join(shown)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scoring", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lines", type=int, default=LINES, help="lines of all rounds together (default 1,000,000)")
    parser.add_argument("--write", type=Path, help="put the table into this document instead of printing it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, Cloud(Path(home), 0, 0, parameters=LAPTOP_PARAMETERS) as cloud:
        load(cloud, [past(1, TRAINED_ON)], 0, 300)
        os.environ |= json.loads((Path(home) / "env.json").read_text())["ScoreLinesFunction"]
        cells = measure(cloud.outputs["DataBucketName"], options.lines)
    write(f"On {os.cpu_count()} cores.\n\n{table(cells, options.lines)}", options.write, "benchmarks.scoring")


if __name__ == "__main__":
    main()
