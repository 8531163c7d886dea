"""A month's bill by hosting mode, from what runs were measured to ask for (docs/performance.md) and prices.json."""

import itertools
import re
from dataclasses import dataclass
from math import ceil, inf

from suspicious_lines.costs import prices

TRAIN, SCORE = "incoming/", "invoices/"
MODES = ("serverless", "real-time", "async", "batch")
HOURS = 730  # of a month
# What fits into BatchAboveMB (400 MB) and what a scoring run takes at most (160 MB), at the sample's 80 bytes a line.
MOST_LINES = {TRAIN: 5_000_000, SCORE: 2_000_000}
MONTHS_KEPT = 12  # RunRetentionDays and ScoredRetentionDays: 365
POLL_SECONDS = 20
ALARM_METRICS = 24  # and one for each endpoint
RUN_METRICS = 6  # that a run writes; each is billed for the hours in which it is written
# ScoreLines: its memory in GB, the lines of a part and the parts that are scored at once, each by one of it.
SCORE_LINES_GB, LINES_PER_PART, PARTS_AT_ONCE = 1, 5_000, 5
SCORED_BYTES = 90  # a line: 60 in the request (docs/performance.md) and 30 in the answer

Row = dict[str, float]


@dataclass(frozen=True)
class Numbers:
    """The operator's own: files a month under invoices/ and under incoming/ (past), and the lines in each.

    `start_seconds` are billed of a job or an instance before it works, `idle_seconds` of an instance until it is scaled
    to zero, `endpoints` stay: one for each model that is kept.
    """

    files: int
    lines: int
    past_files: int
    past_lines: int
    memory_mb: int
    training_type: str
    hosting_type: str
    batch_type: str
    endpoints: int
    start_seconds: float
    idle_seconds: float


@dataclass(frozen=True)
class Measured:
    """Of docs/performance.md: what runs asked for, by prefix and rising number of lines, and lines scored a second."""

    runs: dict[str, list[Row]]
    lines_a_second: float

    def asked(self, prefix: str, lines: int) -> Row:
        """Between two measured sizes in proportion, beyond them as between the nearest two.

        Raises:
            ValueError: such files go a way that was not measured.
        """
        if not 0 < lines <= MOST_LINES[prefix]:
            raise ValueError(f"a file under {prefix} has 1 to {MOST_LINES[prefix]:,} lines here: docs/large-files.md")
        pairs = list(itertools.pairwise(self.runs[prefix]))
        low, high = next(((a, b) for a, b in pairs if lines <= b["lines"]), pairs[-1])
        share = (lines - low["lines"]) / (high["lines"] - low["lines"])
        return {name: max(0.0, low[name] + share * (high[name] - low[name])) for name in low}


def read_measured(document: str) -> Measured:
    """Raises ValueError where the document lacks a table."""
    runs: dict[str, list[Row]] = {TRAIN: [], SCORE: []}
    for cells in _rows(document, "benchmarks.bill"):
        runs[cells.pop("dropped under")].append({name: float(cell.replace(",", "")) for name, cell in cells.items()})
    one_at_once = next(
        cells for cells in _rows(document, "benchmarks.scoring") if cells["way"] == "endpoint, 1 at once"
    )
    return Measured(runs, float(one_at_once["lines a second"].replace(",", "")))


def _rows(document: str, mark: str) -> list[dict[str, str]]:
    found = re.search(rf"<!-- {mark} -->(.*?)<!-- end of {mark} -->", document, re.DOTALL)
    lines = [line for line in found[1].splitlines() if line.startswith("|")] if found else []
    if len(lines) < 3:
        raise ValueError(f"docs/performance.md has no table of {mark}")
    names, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return [dict(zip(names, row, strict=True)) for row in rows]


def month(numbers: Numbers, measured: Measured) -> dict[str, dict[str, float]]:
    """Dollars by mode and part."""
    known = prices()
    past = measured.asked(TRAIN, numbers.past_lines)
    new = measured.asked(SCORE, numbers.lines)
    total = {name: past[name] * numbers.past_files + new[name] * numbers.files for name in new}
    runs = numbers.past_files + numbers.files
    metrics = RUN_METRICS * min(runs, HOURS) / HOURS
    functions = total["gigabyte seconds"] * known["lambda_gb_second"] + total["invocations"] * known["lambda_request"]
    training = numbers.past_files * _hours(numbers.start_seconds) * known["training_hour"][numbers.training_type]
    standing = {
        "S3": total["objects"] * known["s3_put"] + total["stored mb"] / 1000 * MONTHS_KEPT * known["s3_gb_month"],
        "CloudWatch logs, metrics": total["logs mb"] / 1000 * known["logs_gb"] + metrics * known["metric_month"],
        "CloudWatch alarms": (ALARM_METRICS + numbers.endpoints) * known["alarm_metric_month"],
        "KMS": known["key_month"],
        "e-mail": runs * known["sns_email"],
    }
    waits, inference = _waits(numbers), _inference(numbers, measured, total["lines scored"])
    # A look at what is starting is three transitions: wait, describe, decide.
    looks = 3 * ceil(numbers.start_seconds / POLL_SECONDS)
    return {
        mode: {
            "Lambda": functions + (_asleep(numbers) * known["lambda_gb_second"] if mode == "async" else 0),
            "Step Functions": (total["transitions"] + waits[mode] * looks) * known["step_functions_transition"],
            "training": training,
            "inference": inference[mode],
            **standing,
        }
        for mode in MODES
    }


def _waits(numbers: Numbers) -> dict[str, int]:
    """How often a state machine waits for something to start: training, an endpoint, a transform job."""
    hosted = 2 * numbers.past_files
    return {
        "serverless": hosted,
        "real-time": hosted,
        "async": hosted,
        "batch": numbers.past_files + _scorings(numbers),
    }


def _asleep(numbers: Numbers) -> float:
    """GB-seconds in which functions wait for the live model's endpoint, which starts an instance for each file."""
    parts = numbers.files * min(ceil(numbers.lines / LINES_PER_PART), PARTS_AT_ONCE)
    validation = ceil(numbers.past_lines / 5)
    parts += numbers.past_files * min(ceil(validation / LINES_PER_PART), PARTS_AT_ONCE)
    return parts * numbers.start_seconds * SCORE_LINES_GB


def _scorings(numbers: Numbers) -> int:
    """A training run scores by two models, its own and the live one."""
    return 2 * numbers.past_files + numbers.files


def _inference(numbers: Numbers, measured: Measured, lines_scored: float) -> dict[str, float]:
    """A transform job has no endpoint's data to pay."""
    known = prices()
    hosting = known["hosting_hour"][numbers.hosting_type]
    data = lines_scored * SCORED_BYTES / 1e9 * known["inference_data_gb"]
    work = lines_scored / measured.lines_a_second
    awake = _hours(_scorings(numbers) * (numbers.start_seconds + numbers.idle_seconds) + work)
    return {
        "serverless": work * numbers.memory_mb / 1024 * known["serverless_inference_gb_second"] + data,
        "real-time": numbers.endpoints * HOURS * hosting + data,
        "async": min(awake, numbers.endpoints * HOURS) * hosting + data,
        "batch": _hours(_scorings(numbers) * numbers.start_seconds + work) * known["training_hour"][numbers.batch_type],
    }


@dataclass(frozen=True)
class BreakEven:
    """`busy_hours` of a serverless endpoint, or `files`, cost what one instance does that is on for the month;
    `async_files` one by one never let an async endpoint sleep; `async_lines` in a file cost the same by both, None: no
    size that a file may have."""

    busy_hours: float
    files: float
    async_files: float
    async_lines: float | None


def break_even(numbers: Numbers, measured: Measured) -> BreakEven:
    known = prices()
    hosting = known["hosting_hour"][numbers.hosting_type]
    serverless = numbers.memory_mb / 1024 * known["serverless_inference_gb_second"] * 3600
    work = measured.asked(SCORE, numbers.lines)["lines scored"] / measured.lines_a_second
    waiting = numbers.start_seconds + numbers.idle_seconds
    dearer = serverless - hosting  # an hour at work
    even_lines = waiting * hosting / dearer * measured.lines_a_second if dearer > 0 else inf
    return BreakEven(
        busy_hours=HOURS * hosting / serverless,
        files=HOURS * hosting / serverless / _hours(work),
        async_files=HOURS / _hours(waiting + work),
        async_lines=even_lines if even_lines <= MOST_LINES[SCORE] else None,
    )


def _hours(seconds: float) -> float:
    return seconds / 3600
