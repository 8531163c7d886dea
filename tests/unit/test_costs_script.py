"""scripts/costs.py: the month's estimate, where the modes break even, and the receipts beside it."""

import importlib
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from frames import BUCKET, ROOT
from suspicious_lines.costs import prices

DOCUMENT = """
<!-- benchmarks.bill -->

On 2 cores.

| dropped under | lines | gigabyte seconds | invocations | transitions | lines scored | objects | stored mb | logs mb |
|---|---|---|---|---|---|---|---|---|
| incoming/ | 10,000 | 6.000 | 14 | 22 | 4,000 | 25 | 4.000 | 0.010 |
| incoming/ | 100,000 | 15.000 | 23 | 31 | 40,000 | 43 | 22.000 | 0.100 |
| invoices/ | 1,000 | 2.000 | 6 | 11 | 1,000 | 13 | 1.000 | 0.004 |
| invoices/ | 3,000 | 4.000 | 8 | 13 | 3,000 | 15 | 3.000 | 0.006 |
| invoices/ | 13,000 | 4.000 | 8 | 13 | 13,000 | 15 | 3.000 | 0.006 |

<!-- end of benchmarks.bill -->
<!-- benchmarks.scoring -->

| lines a part | way | lines a second | speed |
|---|---|---|---|
| 5,000 | forest, part by part | 80,000 | 1.00 |
| 5,000 | endpoint, 1 at once | 50,000 | 0.71 |
| 1,000 | endpoint, 1 at once | 20,000 | 0.59 |

<!-- end of benchmarks.scoring -->
"""


@pytest.fixture
def estimating(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("estimating")


@pytest.fixture
def costs(monkeypatch, estimating):
    return importlib.import_module("costs")


@pytest.fixture
def numbers(estimating):
    """Two files of 2,000 lines, and one of 10,000 to train on."""
    types = {"training_type": "ml.m5.large", "hosting_type": "ml.m5.large", "batch_type": "ml.m5.xlarge"}
    sizes = {"files": 2, "lines": 2_000, "past_files": 1, "past_lines": 10_000}
    return estimating.Numbers(**sizes, **types, memory_mb=2048, endpoints=2, start_seconds=300, idle_seconds=900)


def test_a_month_is_what_its_runs_were_measured_to_ask_for(estimating, numbers):
    bill = estimating.month(numbers, estimating.read_measured(DOCUMENT))
    # One training run, and two runs that lie halfway between 1,000 and 3,000 lines.
    shared = {
        "training": 300 / 3600 * 0.115,
        "S3": (25 + 2 * 14) * 0.000005 + (4 + 2 * 2) / 1000 * 12 * 0.023,
        "CloudWatch logs, metrics": (0.010 + 2 * 0.005) / 1000 * 0.5 + 6 * 3 / 730 * 0.3,
        "CloudWatch alarms": (24 + 2) * 0.1,
        "KMS": 1,
        "e-mail": 3 * 0.00002,
    }
    for mode in estimating.MODES:
        assert {part: bill[mode][part] for part in shared} == pytest.approx(shared), mode
        assert set(bill[mode]) == {*shared, "Lambda", "Step Functions", "inference"}
    # One part of each file waits for the live model's sleeping endpoint in a function of 1 GB.
    functions = (6 + 2 * 3) * 0.0000166667 + (14 + 2 * 7) * 0.0000002
    for mode in estimating.MODES:
        asleep = 3 * 300 * 0.0000166667 if mode == "async" else 0
        assert bill[mode]["Lambda"] == pytest.approx(functions + asleep), mode
    # 15 looks of 3 transitions at each of what starts: training and endpoint; training and a transform job for each
    # scoring, of which a training run has two.
    waits = {mode: (bill[mode]["Step Functions"] / 0.000025 - 22 - 2 * 12) / 45 for mode in estimating.MODES}
    assert waits == pytest.approx({"serverless": 2, "real-time": 2, "async": 2, "batch": 5})
    seconds, data = 8_000 / 50_000, 8_000 * 90 / 1e9 * 0.016
    inference = {mode: bill[mode]["inference"] for mode in estimating.MODES}
    assert inference == pytest.approx(
        {
            "serverless": seconds * 2 * 0.00002 + data,
            "real-time": 2 * 730 * 0.115 + data,
            "async": (4 * 1200 + seconds) / 3600 * 0.115 + data,
            "batch": (4 * 300 + seconds) / 3600 * 0.23,
        }
    )


def test_an_endpoint_is_never_awake_for_longer_than_the_month(estimating, numbers):
    measured = estimating.read_measured(DOCUMENT)
    busy = estimating.month(replace(numbers, files=100_000), measured)
    assert busy["async"]["inference"] == pytest.approx(busy["real-time"]["inference"])


@pytest.mark.parametrize(("prefix", "most"), [("incoming/", 5_000_000), ("invoices/", 2_000_000)])
def test_files_that_go_a_way_that_was_not_measured_are_refused(estimating, prefix, most):
    measured = estimating.read_measured(DOCUMENT)
    assert measured.asked(prefix, most)["lines scored"] > 0
    for lines in (0, most + 1):
        with pytest.raises(ValueError, match="large-files"):
            measured.asked(prefix, lines)


def test_beyond_the_sizes_it_goes_on_as_between_the_nearest_two(estimating):
    measured = estimating.read_measured(DOCUMENT)
    assert measured.asked("invoices/", 23_000)["lines scored"] == 23_000
    assert measured.asked("invoices/", 500)["gigabyte seconds"] == pytest.approx(1.5)
    assert measured.asked("incoming/", 190_000)["gigabyte seconds"] == pytest.approx(24)
    assert measured.asked("incoming/", 1)["stored mb"] == pytest.approx(2.0002)


def test_a_document_without_its_tables_is_refused(estimating):
    with pytest.raises(ValueError, match=r"benchmarks\.bill"):
        estimating.read_measured("# Performance\n")


def test_the_break_even_is_where_the_bills_are_equal(estimating, numbers):
    measured = estimating.read_measured(DOCUMENT)
    numbers = replace(numbers, past_files=0, endpoints=1, idle_seconds=0, start_seconds=0.01, memory_mb=6144)
    even = estimating.break_even(numbers, measured)
    bill = estimating.month(replace(numbers, files=round(even.files)), measured)
    assert bill["serverless"]["inference"] == pytest.approx(bill["real-time"]["inference"], rel=1e-6)
    bill = estimating.month(replace(numbers, files=1, lines=round(even.async_lines)), measured)
    assert bill["serverless"]["inference"] == pytest.approx(bill["async"]["inference"], rel=0.01)
    assert even.async_files == pytest.approx(730 * 3600 / (0.01 + 2_000 / 50_000))
    cheap = estimating.break_even(replace(numbers, memory_mb=1024), measured)
    assert cheap.async_lines is None  # a second of serverless is cheaper than one of the instance


def receipt(run, key, lines, started, status="SUCCEEDED", total=0.02):
    cost = {
        "functions": 0.001,
        "state_machine": 0.002,
        "training": None,
        "batch": 0,
        "inference": 0.003,
        "total": total,
    }
    return {
        "run": run,
        "status": status,
        "input": {"key": key},
        "counts": {"lines_read": lines} if status == "SUCCEEDED" else None,
        "estimated_cost": cost,
        "timings": {"started_at": started.isoformat()},
    }


def test_receipts_stand_beside_the_estimate(costs, estimating, numbers, cloud, monkeypatch, tmp_path, capsys):
    now = datetime.now(UTC)
    receipts = [
        receipt("one", "invoices/a.csv", 1_000, now),
        receipt("two", "invoices/b.csv", 3_000, now - timedelta(days=29)),
        receipt("old", "invoices/c.csv", 9_000_000, now - timedelta(days=31)),
        receipt("failed", "incoming/d.csv", 0, now, status="FAILED"),
        receipt("verdicts", "verdicts/e.csv", 0, now),
        receipt("jobs", "incoming/f.csv", 9_000_000, now),  # too many for the estimate
    ]
    for each in receipts:
        cloud.s3.put_object(Bucket=BUCKET, Key=f"runs/{each['run']}/receipt.json", Body=json.dumps(each).encode())
    cloud.s3.put_object(Bucket=BUCKET, Key="runs/at-work/encoder.json", Body=b"{}")
    stack = costs.find_stack.__globals__["Stack"]("here", {"DataBucketName": BUCKET}, lambda name: cloud.s3)
    monkeypatch.setattr(costs, "find_stack", lambda config, home: stack)
    (tmp_path / "performance.md").write_text(DOCUMENT)
    monkeypatch.setattr(costs, "DOCUMENT", tmp_path / "performance.md")
    monkeypatch.setattr("sys.argv", ["costs.py", "--files", "2", "--past-lines", "10000"])
    assert costs.main() == 0
    text = capsys.readouterr().out
    bill = estimating.month(numbers, estimating.read_measured(DOCUMENT))
    for mode, parts in bill.items():
        assert f"{sum(parts.values()):,.2f}" in text, mode
    shown = {cells[0]: cells[1:] for line in text.splitlines() if (cells := line.split())}
    assert shown["invoices/"] == ["2", "2,000", "0.001000", "0.002000", "0.000000", "0.003000"]
    of_one = estimating.month(replace(numbers, files=1, past_files=0), estimating.read_measured(DOCUMENT))["serverless"]
    assert shown["estimate"] == [f"{of_one[part]:,.6f}" for part in costs.PARTS.values()]
    assert shown["verdicts/"][0] == "1"
    assert shown["incoming/"][:2] == ["1", "9,000,000"]
    assert text.count("  estimate") == 1
    assert "All 5 receipts, of failed runs too: 0.1000 dollars." in text


def test_without_a_stack_the_estimate_is_shown_all_the_same(costs, monkeypatch, capsys):
    def none(config, home):
        raise RuntimeError("samconfig.toml has no environment nowhere to deploy")

    monkeypatch.setattr(costs, "find_stack", none)
    monkeypatch.setattr("sys.argv", ["costs.py", "--config", "nowhere"])
    assert costs.main() == 0
    assert "No receipts to put beside it: samconfig.toml has no environment nowhere" in capsys.readouterr().out


def test_numbers_that_cannot_be_are_refused_in_words(costs, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["costs.py", "--lines", "2000001"])
    assert costs.main() == 1
    assert "costs: a file under invoices/ has 1 to 2,000,000 lines" in capsys.readouterr().err


def test_the_page_shows_what_the_command_says(costs, estimating):
    options = costs._parser().parse_args([])
    numbers = estimating.Numbers(**{name: getattr(options, name) for name in estimating.Numbers.__dataclass_fields__})
    measured = estimating.read_measured((ROOT / "docs/performance.md").read_text())
    bill = estimating.month(numbers, measured)
    page = (ROOT / "docs/costs.md").read_text()
    for part in bill["serverless"]:
        row = " | ".join(f"{bill[mode][part]:,.2f}" for mode in estimating.MODES)
        assert f"| {part} | {row} |" in page
    assert "| total | " + " | ".join(f"{sum(bill[mode].values()):,.2f}" for mode in estimating.MODES) in page
    even = estimating.break_even(numbers, measured)
    assert f"busy for {even.busy_hours:,.0f} of a month's 730 hours" in " ".join(page.split())
    assert re.search(r"about 2,200\s+such\s+files", page)
    assert round(even.async_files, -2) == 2_200


def test_the_price_table_is_whole(estimating):
    known = prices()
    flat = {name: price for name, price in known.items() if not isinstance(price, str)}
    for name, price in flat.items():
        for each in price.values() if isinstance(price, dict) else [price]:
            assert each > 0, name
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", known["as_of"])
    assert f"us-east-1, {known['as_of']}" in (ROOT / "docs/costs.md").read_text()
