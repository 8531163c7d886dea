"""The sample file holds the published statistics, and its labels are as noisy as the published ones."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from local import activities
from local.activities import generate, generate_with_answers, write_csv

KINDS = get_args(activities.Kind)
REPEAT = [column for column in activities.COLUMNS if column != "Error"]


@pytest.fixture(scope="module")
def lines() -> pd.DataFrame:
    return generate()


@pytest.fixture(scope="module")
def answers() -> dict[str, pd.DataFrame]:
    return {kind: generate_with_answers(kind) for kind in KINDS}


def due(frame: pd.DataFrame) -> pd.Series:
    return (frame["Minutes"] * frame["Fee"] / 60).round(2)


def test_columns_are_those_of_the_published_file(lines: pd.DataFrame) -> None:
    assert list(lines.columns) == [
        *["Matter Number", "Firm Name", "Matter Type", "Resource", "Activity", "Minutes", "Fee", "Total", "Error"]
    ]
    assert not lines.isna().any().any()


def test_there_are_as_many_lines_and_errors_as_published(lines: pd.DataFrame) -> None:
    assert len(lines) == 105_965
    assert lines["Error"].sum() == 2_030


@pytest.mark.parametrize("kind", KINDS)
def test_counts_by_category_are_the_published_ones(answers: dict[str, pd.DataFrame], kind: str) -> None:
    frame = answers[kind]
    assert len(frame) == 105_965
    assert frame["Error"].sum() == 2_030
    assert frame["Matter Type"].value_counts().to_dict() == {
        "Antitrust": 23922,
        "Insolvency": 16499,
        "IPO": 14236,
        "Commercial arbitration": 12927,
        "Project finance": 11776,
        "M&A": 6460,
        "Structured finance": 5498,
        "Asset recovery": 4913,
        "Tax planning": 4871,
        "Securities litigation": 4863,
    }
    assert frame["Resource"].value_counts().to_dict() == {
        "Partner": 26587,
        "Junior": 26543,
        "Paralegal": 26519,
        "Senior": 26316,
    }
    assert frame["Activity"].value_counts().to_dict() == {
        "Prepare Opinion": 26605,
        "Phone Call": 26586,
        "Attend Court": 26405,
        "Attend Meeting": 26369,
    }


def test_about_2000_invoices_of_about_50_lines_each_of_one_firm_and_matter_type(lines: pd.DataFrame) -> None:
    matters = lines.groupby("Matter Number")
    sizes = matters.size()
    assert 1_950 <= len(sizes) <= 2_150
    assert 45 <= sizes.mean() <= 55
    assert sizes.min() >= 20
    assert sizes.max() <= 90
    assert (matters["Firm Name"].nunique() == 1).all()
    assert (matters["Matter Type"].nunique() == 1).all()
    assert lines["Matter Number"].is_monotonic_increasing


def test_firms_are_many_and_their_names_say_that_they_are_invented(lines: pd.DataFrame) -> None:
    assert lines["Firm Name"].nunique() >= 30
    assert lines["Firm Name"].str.startswith("Specimen ").all()


@pytest.mark.parametrize("kind", KINDS)
def test_fine_lines_add_up_and_arithmetic_errors_do_not(answers: dict[str, pd.DataFrame], kind: str) -> None:
    frame = answers[kind]
    wrong = frame["Error Kind"] == "arithmetic"
    assert np.allclose(frame["Total"][~wrong], due(frame)[~wrong], atol=0.001)
    assert ((frame["Total"] - due(frame)).abs()[wrong] >= 0.02).all()


def test_rates_of_fine_lines_are_on_the_card_but_for_a_few_let_pass(lines: pd.DataFrame) -> None:
    fine = lines[~lines["Error"]]
    low, high = (
        fine["Resource"].map({name: card[end] for name, card in activities.RATE_CARD.items()}) for end in (0, 1)
    )
    off_card = ~fine["Fee"].between(low, high)
    assert 0 < off_card.sum() < 50


@pytest.mark.parametrize(
    ("resource", "activity", "minutes", "fee"),
    [
        ("Paralegal", "Attend Court", 110, 50),
        ("Paralegal", "Attend Court", 85, 70),
        ("Paralegal", "Attend Meeting", 60, 50),
        ("Junior", "Attend Court", 100, 180),
        ("Junior", "Phone Call", 25, 180),
        ("Partner", "Phone Call", 25, 600),
    ],
)
def test_published_sample_lines_are_ordinary_here(
    lines: pd.DataFrame, resource: str, activity: str, minutes: int, fee: int
) -> None:
    peers = lines[(lines["Resource"] == resource) & (lines["Activity"] == activity) & ~lines["Error"]]
    assert peers["Minutes"].quantile(0.02) <= minutes <= peers["Minutes"].quantile(0.98)
    assert (peers["Fee"] == fee).mean() > 0.01


def test_labels_are_noisy_a_working_day_in_court_is_sometimes_an_error_and_sometimes_fine(lines: pd.DataFrame) -> None:
    court = (lines["Resource"] == "Junior") & (lines["Activity"] == "Attend Court")
    long = lines[court & lines["Minutes"].between(450, 560)]
    assert long["Error"].any()
    assert (~long["Error"]).any()


def test_long_lines_that_are_fine_occur_at_every_activity(lines: pd.DataFrame) -> None:
    fine = lines[~lines["Error"] & (lines["Minutes"] >= 360)]
    assert set(fine["Activity"]) == set(activities.ACTIVITIES)


def test_some_errors_look_like_any_other_line(answers: dict[str, pd.DataFrame]) -> None:
    errors = answers["published"].query("Error")
    unexplained = errors[errors["Error Kind"] == "unexplained"]
    assert 30 <= len(unexplained) <= 100
    assert unexplained["Minutes"].median() < 100
    assert (unexplained["Altered Field"] == "").all()


def test_in_the_contextual_file_long_lines_are_fine_only_where_long_is_normal(answers: dict[str, pd.DataFrame]) -> None:
    frame = answers["contextual"]
    fine = frame[~frame["Error"] & (frame["Minutes"] >= 480)]
    assert len(fine) > 50
    assert set(fine["Activity"]) == {"Attend Court"}
    assert set(fine["Matter Type"]) <= set(activities.CONTENTIOUS)
    inflated = frame[frame["Error Kind"] == "minutes"]
    assert not ((inflated["Activity"] == "Attend Court") & inflated["Matter Type"].isin(activities.CONTENTIOUS)).any()


def test_errors_of_the_subtle_file_are_no_longer_than_fine_lines_get(answers: dict[str, pd.DataFrame]) -> None:
    frame = answers["subtle"]
    inflated = frame[frame["Error Kind"] == "minutes"]
    fine = frame[~frame["Error"]]
    assert inflated["Minutes"].quantile(0.5) < fine["Minutes"].quantile(0.995)


def test_kinds_of_error_and_the_fields_they_alter(answers: dict[str, pd.DataFrame]) -> None:
    fields = {"minutes": "Minutes", "rate": "Fee", "arithmetic": "Total", "duplicate": "", "staffing": "Resource"}
    fields["unexplained"] = ""
    for frame in answers.values():
        assert (frame["Error"] == (frame["Error Kind"] != "")).all()
        errors = frame[frame["Error"]]
        assert (errors["Altered Field"] == errors["Error Kind"].map(fields)).all()
    assert set(answers["published"].query("Error")["Error Kind"]) == set(fields)
    assert set(answers["contextual"].query("Error")["Error Kind"]) == {"minutes", "rate", "staffing", "unexplained"}
    assert set(answers["subtle"].query("Error")["Error Kind"]) == set(fields) - {"unexplained"}


@pytest.mark.parametrize("kind", KINDS)
def test_duplicates_repeat_an_earlier_line_and_fine_lines_hardly_ever_do(
    answers: dict[str, pd.DataFrame], kind: str
) -> None:
    frame = answers[kind]
    repeats = frame.duplicated(REPEAT)
    assert repeats[frame["Error Kind"] == "duplicate"].all()
    assert repeats[~frame["Error"]].sum() <= 2 + 0.2 * (frame["Error Kind"] == "duplicate").sum()


def test_staffing_errors_are_unusual_among_fine_lines(answers: dict[str, pd.DataFrame]) -> None:
    frame = answers["subtle"]
    unusual = activities.is_unusual(*(frame[name].to_numpy() for name in ("Matter Type", "Resource", "Activity")))
    assert unusual[frame["Error Kind"] == "staffing"].all()
    assert unusual[~frame["Error"]].mean() < 0.005


def test_equal_seeds_give_equal_bytes_and_other_seeds_other_bytes(tmp_path: Path) -> None:
    digests = {}
    for name, seed in [("a", 7), ("again", 7), ("b", 8)]:
        write_csv(generate("published", seed, 5_000), tmp_path / name)
        digests[name] = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert digests["a"] == digests["again"]
    assert digests["a"] != digests["b"]


def test_the_file_is_the_same_on_every_machine(lines: pd.DataFrame, tmp_path: Path) -> None:
    write_csv(lines, tmp_path / "activities.csv")
    digest = hashlib.sha256((tmp_path / "activities.csv").read_bytes()).hexdigest()
    assert digest == "00eeaa74ae41104ea5aa11ae9f271132fc403a35ed7f9b5f75fdb47b1fa4803b"


def test_csv_reads_back_as_the_same_lines(tmp_path: Path) -> None:
    frame = generate("subtle", 3, 2_000)
    write_csv(generate_with_answers("subtle", 3, 2_000), tmp_path / "lines.csv")
    text = (tmp_path / "lines.csv").read_bytes()
    assert text.startswith(b"Matter Number,Firm Name,Matter Type,Resource,Activity,Minutes,Fee,Total,Error\n")
    assert b"\r" not in text
    read = pd.read_csv(tmp_path / "lines.csv", dtype={"Firm Name": object})
    assert np.allclose(read["Total"], frame["Total"], atol=0.001)
    assert (read[REPEAT[:-1]].astype(str) == frame[REPEAT[:-1]].astype(str)).all().all()
    assert (read["Error"] == frame["Error"]).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 5, 60, 1_000])
def test_small_files_have_as_many_lines_as_asked(kind: activities.Kind, count: int) -> None:
    frame = generate(kind, 1, count)
    assert len(frame) == count
    assert frame["Error"].sum() == round(count * 2_030 / 105_965)
    assert (frame["Minutes"] >= 5).all()


def test_command_line_writes_the_file(tmp_path: Path) -> None:
    target = tmp_path / "new" / "lines.csv"
    command = [sys.executable, "-m", "local.activities", str(target), "--kind", "contextual", "--seed", "2"]
    subprocess.run([*command, "--lines", "500"], check=True, timeout=60)
    write_csv(generate("contextual", 2, 500), tmp_path / "same.csv")
    assert target.read_bytes() == (tmp_path / "same.csv").read_bytes()
