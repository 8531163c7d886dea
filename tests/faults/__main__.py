"""Runs the fault matrix: `python -m tests.faults`, or `make faults`. A run that was broken off goes on where it was.

Each cell's outcome is a line of the results file as soon as it has ended. A cell that does not hold is played again on
a new stage before it counts, because a busy machine breaks timings.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import traceback
from dataclasses import asdict
from pathlib import Path

from tests.faults.cells import ENUMERATION, Cell, cells
from tests.faults.matrix import matrix
from tests.faults.outcomes import Outcome, Rehearsal, distinct, play, rehearse
from tests.faults.stage import Stage
from tests.faults.workflows import WORKFLOWS

RESULTS = Path(".local/faults.jsonl")
CELLS_PER_STAGE = 300


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "--match", default="", help="only cells in whose name this is: 'review |', 'Publish', '| crash'"
    )
    parser.add_argument("--shards", type=int, default=2, help="processes, each with a local cloud of its own")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--fresh", action="store_true", help="forget the results of earlier runs")
    parser.add_argument("--matrix", action="store_true", help="print what the results say, and run nothing")
    parser.add_argument("--record", action="store_true", help="write the enumeration anew from clean runs")
    parser.add_argument("--shard", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.record:
        ENUMERATION.write_text(json.dumps(record(), indent=1) + "\n")
        return 0
    options.results.parent.mkdir(parents=True, exist_ok=True)
    if options.fresh:
        options.results.unlink(missing_ok=True)
    chosen = [cell for cell in cells() if options.match in str(cell)]
    if options.shard is not None:
        _run(chosen[options.shard :: options.shards], options.results)
        return 0
    if not options.matrix:
        own = ["--results", str(options.results), "--match", options.match, "--shards", str(options.shards)]
        command = [sys.executable, "-m", "tests.faults", *own]
        shards = [subprocess.Popen([*command, "--shard", str(number)]) for number in range(options.shards)]
        for shard in shards:
            shard.wait()
    found = read(options.results)
    print(matrix(chosen, found))
    held = [cell for cell in chosen if (outcome := found.get(str(cell))) and not outcome.problems]
    return 0 if len(held) == len(chosen) else 1


def read(results: Path) -> dict[str, Outcome]:
    """The last outcome of each cell."""
    lines = results.read_text().splitlines() if results.exists() else []
    outcomes = [Outcome(**json.loads(line)) for line in lines]
    return {outcome.cell: outcome for outcome in outcomes}


def record() -> dict[str, list[str]]:
    """The enumeration, made anew."""
    with _stage() as (stage, _):
        return distinct({name: rehearse(workflow, stage) for name, workflow in WORKFLOWS.items()})


class _stage:
    """A stage in a folder of its own, with the rehearsals that were made on it."""

    def __enter__(self) -> tuple[Stage, dict[str, Rehearsal]]:
        self._folder = tempfile.TemporaryDirectory(prefix="faults-")
        self._stage = Stage(Path(self._folder.name))
        return self._stage.__enter__(), {}

    def __exit__(self, *details: object) -> None:
        self._stage.__exit__(*details)
        self._folder.cleanup()


def _run(chosen: list[Cell], results: Path) -> None:
    held = {name for name, outcome in read(results).items() if not outcome.problems}
    left = [cell for cell in chosen if str(cell) not in held]
    for start in range(0, len(left), CELLS_PER_STAGE):
        doubtful = _play_on_one_stage(left[start : start + CELLS_PER_STAGE], results, last=False)
        for cell in doubtful:
            _play_on_one_stage([cell], results, last=True)


def _play_on_one_stage(chosen: list[Cell], results: Path, last: bool) -> list[Cell]:
    """Plays cells and writes down what is certain; returns those to be played again: everything that did not hold, and
    after a stage that broke, the rest."""
    doubtful: list[Cell] = []
    with _stage() as (stage, rehearsals):
        for number, cell in enumerate(chosen):
            try:
                if cell.workflow not in rehearsals:
                    rehearsals[cell.workflow] = rehearse(WORKFLOWS[cell.workflow], stage)
                outcome = play(cell, rehearsals[cell.workflow], stage)
            except Exception as error:
                traceback.print_exc()
                outcome = Outcome(str(cell), [f"{type(error).__name__}: {error}"], "", "", 0, False, 0)
                if not last:
                    return [*doubtful, *chosen[number:]]
            if outcome.problems and not last:
                doubtful.append(cell)
                print(f"again: {cell}: {outcome.problems}", flush=True)
                continue
            with results.open("a") as file:
                file.write(json.dumps(asdict(outcome)) + "\n")
            mark = "FAILS" if outcome.problems else "holds"
            print(f"{mark} {outcome.seconds:5.1f} s  {cell}  {outcome.status} {outcome.error}", flush=True)
            for problem in outcome.problems:
                print(f"    {problem}", flush=True)
    return doubtful


if __name__ == "__main__":
    sys.exit(main())
