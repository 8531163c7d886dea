"""The README's demo as a person runs it, held against the published result of the seed's rule."""

import csv
import email
import email.message
import email.policy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PUBLISHED = {"recall": 0.50, "precision": 0.75}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A finished `python -m local demo` in a directory of its own: (its output, the directory)."""
    place = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "local", "demo"],
        cwd=place,
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, place


def mails(place: Path) -> list[email.message.EmailMessage]:
    files = sorted((place / ".local/outbox").glob("*.eml"))
    return [email.message_from_bytes(file.read_bytes(), policy=email.policy.default) for file in files]


def test_the_seeds_rule_gives_the_published_result_or_better(demo):
    _, place = demo
    metrics = json.loads((place / ".local/results/results/metrics.json").read_text())
    assert metrics["lines_read"] == 105_965
    assert metrics["lines_validation"] == 21_193
    assert metrics["threshold"]["strategy"] == "error-median"
    assert metrics["recall"] >= PUBLISHED["recall"]
    assert metrics["precision"] >= PUBLISHED["precision"]


def test_the_summary_says_what_the_files_say(demo):
    output, place = demo
    metrics = json.loads((place / ".local/results/results/metrics.json").read_text())
    assert f"{metrics['flagged']:,} on {metrics['matters']:,} matters" in output
    assert f"{metrics['amount_at_stake']:,.2f}" in output
    with (place / ".local/results/results/suspicious_lines.csv").open() as listed:
        worst = next(csv.DictReader(listed))
    assert f"line {worst['Line']}, matter {worst['Matter Number']}, score {worst['Score']}" in output
    for path in re.findall(r"\s(\.local/\S+)", output):
        assert (place / path).exists()


def test_the_email_names_the_dearest_line(demo):
    _, place = demo
    message, *_ = mails(place)
    with (place / ".local/results/results/suspicious_lines.csv").open() as listed:
        dearest = max(csv.DictReader(listed), key=lambda row: float(row["Amount At Stake"]))
    told = f"* line {dearest['Line']}: {float(dearest['Amount At Stake']):,.2f} at stake"
    assert told in message.get_content()


def test_new_lines_are_judged_by_the_model_that_was_just_trained(demo):
    output, place = demo
    receipts = [
        json.loads((place / ".local" / results / "receipt.json").read_text())
        for results in ("results", "results-invoices")
    ]
    assert receipts[1]["model"]["run"] == receipts[0]["run"] != receipts[1]["run"]
    assert receipts[1]["counts"]["lines_read"] == 2_000
    _, mail, *_ = mails(place)
    assert f"The 2,000 new lines: {mail['Subject']}" in output


def test_verdicts_on_the_new_lines_become_the_models_precision(demo):
    output, place = demo
    review = json.loads((place / ".local/results-verdicts/results/review.json").read_text())
    with (place / "data/verdicts.csv").open() as given:
        verdicts = [row["Verdict"] for row in csv.DictReader(given)]
    assert review["counts"]["kept"] == len(verdicts) > 0
    assert review["precision"]["precision"] == pytest.approx(verdicts.count("query") / len(verdicts))
    *_, mail = mails(place)
    assert f"The verdicts on them: {mail['Subject']}" in output
    assert f"{review['precision']['precision']:.2f} (" in output.rpartition("new precision")[2]
