import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frames import HEADER, csv_of, row
from suspicious_lines import checking, csv_records
from suspicious_lines.errors import InvalidUploadError
from suspicious_lines.lines import require_enough
from tests.whole import read_lines

KEY = "incoming/activities.csv"
GOOD = [row(i) for i in range(10)]


def read(body: bytes):
    lines = read_lines(io.BytesIO(body), KEY)
    require_enough(lines.counts, KEY)
    return lines


def refusal(body: bytes) -> str:
    with pytest.raises(InvalidUploadError) as refused:
        read(body)
    return str(refused.value)


def test_good_lines_are_typed_and_numbered_as_an_editor_shows_them():
    accepted = read(csv_of([*GOOD, row(11, 25, 180, "75.00", "True")])).accepted
    assert list(accepted["line"]) == list(range(2, 13))
    last = accepted.iloc[-1]
    assert (last.minutes, last.fee, last.total, last.error) == (25.0, 180.0, 75.0, True)
    assert last.matter_number == "11"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "line 1: the file is empty. It needs a header"),
        (b"\xef\xbb\xbf\n", "line 1: the file is empty"),
        (("\n".join(GOOD)).encode(), "line 1: there is no header. The first line must name the columns: Matter Number"),
        (csv_of(GOOD, HEADER.replace(",Fee", "")), "line 1, column Fee: the header lacks this column. Add: Fee."),
        (csv_of(GOOD, HEADER.replace("Fee", "Minutes")), "line 1, column Minutes: the header names this column twice"),
        (csv_of(GOOD).decode().encode("utf-16"), "line 1: the file is encoded as UTF-16"),
        (csv_of(GOOD).decode().encode("utf-16-le"), "line 1: the file is binary or encoded as UTF-16"),
        (csv_of(GOOD).replace(b",", b";"), "line 1: the columns are not separated by commas"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "line 1: the file is a PNG picture"),
        (b"\x1f\x8b\x08" + bytes(100), "line 1: the file is compressed by gzip"),
        (csv_of([]), "line 1: the file has 0 lines below its header. It needs at least 5."),
        (
            csv_of([row(1, "abc")] * 6),
            "line 2, column Minutes: only 0 of 6 lines can be used; this one is not a number",
        ),
    ],
)
def test_an_unusable_file_is_refused_with_file_line_and_remedy(body, told):
    message = refusal(body)
    assert message.startswith(f"{KEY}, line ")
    assert told in message


@pytest.mark.parametrize(
    ("bad", "column", "reason"),
    [
        (row(1, -5), "Minutes", "is negative"),
        (row(1, 0), "Minutes", "is zero"),
        (row(1, "two hours"), "Minutes", "is not a number"),
        (row(1, ""), "Minutes", "is empty"),
        (row(1, "inf"), "Minutes", "is above 100,000"),
        (row(1, "nan"), "Minutes", "is not a number"),
        (row(1, 60, "$50"), "Fee", "is not a number"),
        (row(1, 60, 100, "1e300"), "Total", "is above 100,000,000"),
        (row(1, error="maybe"), "Error", "is neither True nor False"),
        (row(1).replace("Specimen LLP", " "), "Firm Name", "is empty"),
        (row(1).replace("Specimen LLP", "x" * 201), "Firm Name", "is longer than 200 characters"),
        (row(1).replace("Specimen LLP", "x" * 1_000_000), "", "has a cell of more than 10000 characters"),
        (row(1).replace("Specimen LLP", "a\0b"), "", "holds a NUL character"),
        (row(1) + ",more", "", "has 10 cells where the header has 9"),
        (
            row(1).replace("Specimen LLP", '"Specimen LLP'),
            "",
            "has a quote in the wrong place, or one that is never closed",
        ),
    ],
)
def test_a_bad_line_is_listed_and_the_good_ones_are_kept(bad, column, reason):
    lines = read(csv_of([*GOOD, bad, *GOOD]))
    assert len(lines.accepted) == 20
    (refused,) = lines.refused
    assert (refused.line, refused.column) == (12, column)
    assert reason in refused.reason
    assert len(refused.value) <= 100


def test_bytes_that_are_not_utf8_refuse_their_line_only():
    lines = read(csv_of(GOOD) + row(1).replace("Specimen", "Spécimen").encode("latin-1"))
    assert [refused.reason for refused in lines.refused] == ["is not valid UTF-8"]
    assert len(lines.accepted) == 10


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_marks_and_line_ends_do_not_matter(mark, end):
    assert len(read(mark + csv_of(GOOD).replace(b"\n", end)).accepted) == 10


def test_header_case_spaces_order_and_more_columns_do_not_matter():
    header = "note, MATTER_NUMBER ,firm name,matter type,resource,activity,minutes,fee,total"
    body = csv_of([f"=1+1,{cells.rsplit(',', 1)[0]}" for cells in GOOD], header)
    lines = read(body)
    assert len(lines.accepted) == 10
    assert lines.accepted["error"].isna().all()


def test_blank_lines_are_not_lines_and_keep_the_numbers_right():
    lines = read(csv_of([*GOOD, "", ",,,,,,,,", row(1, -1)]))
    assert (len(lines.accepted), lines.read, lines.refused[0].line) == (10, 11, 14)


def test_a_line_break_inside_quotes_is_one_line():
    lines = read(csv_of([*GOOD, row(1).replace("Specimen LLP", '"Specimen\nLLP"'), row(2)]))
    assert list(lines.accepted["line"][-2:]) == [12, 14]
    assert lines.accepted["firm_name"].iloc[-2] == "Specimen LLP"


@pytest.mark.parametrize("size", [1, 100, 1000])
def test_where_a_batch_ends_does_not_matter(monkeypatch, size):
    rows = [
        *GOOD,
        row(1).replace("Specimen LLP", '"Specimen\n\nLLP"'),
        row(2).replace("Specimen LLP", '"Specimen LLP'),
        row(3, -1),
        "",
        row(4).replace("Specimen", "Spécimen"),
        row(5) + ",",
        *GOOD,
    ]
    whole = read(csv_of(rows))
    monkeypatch.setattr(csv_records, "BATCH_CHARACTERS", size)
    monkeypatch.setattr(checking, "CHUNK_LINES", 3)
    parts = read(csv_of(rows))
    assert [refused.line for refused in whole.refused] == [15, 16, 19]
    assert parts.refused == whole.refused
    pd.testing.assert_frame_equal(parts.accepted, whole.accepted)


def test_a_csv_has_no_occasions():
    assert read(csv_of(GOOD)).occasions is None


def test_a_line_that_never_ends_is_refused_before_it_fills_the_memory(monkeypatch):
    monkeypatch.setattr(csv_records, "MOST_LINE_BYTES", 1 << 21)
    endless = csv_of(GOOD) + b"x" * (3 << 20)
    assert "a line of the file has more than 2 MB" in refusal(endless)


cells = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=12)
numbers = st.one_of(st.integers(-10, 600).map(str), st.floats(allow_nan=True, allow_infinity=True).map(str), cells)


@given(
    st.lists(
        st.one_of(
            st.tuples(
                cells, cells, cells, cells, cells, numbers, numbers, numbers, st.sampled_from(["True", "", "?"])
            ).map(",".join),
            cells,
        ),
        max_size=30,
    )
)
def test_accepted_and_rejected_are_all_that_was_read(rows):
    lines = read_lines(io.BytesIO(csv_of([*GOOD, *rows])), KEY)
    numbers_seen = [*lines.accepted["line"], *(refused.line for refused in lines.refused)]
    assert lines.read == len(numbers_seen) == len(set(numbers_seen))
    # Nothing but blank lines may be missing; a quoted line break may join lines, which these rows cannot hold.
    physical = {number for number, text in enumerate(rows, 12) if text.strip(",")}
    assert physical <= set(numbers_seen)
    assert (lines.accepted["minutes"] > 0).all()
    assert lines.accepted[["minutes", "fee", "total"]].notna().all(axis=None)


def test_two_stray_quotes_do_not_swallow_the_lines_between_them():
    stray = row(1).replace("Specimen LLP", '"Specimen LLP'), row(2).replace("Specimen LLP", 'Specimen LLP"')
    lines = read(csv_of([*GOOD, stray[0], *GOOD, stray[1], *GOOD]))
    assert lines.read == 32
    assert [refused.line for refused in lines.refused] == [12]
    assert read(csv_of([*GOOD, *stray, *GOOD])).read == 22


def test_names_keep_only_what_can_be_printed():
    lines = read(csv_of([*GOOD, row(1).replace("Specimen LLP", "Spec\u202eimen\x07 LLP")]))
    assert lines.accepted["firm_name"].iloc[-1] == "Spec imen LLP"


odd = st.sampled_from(
    [
        '"Smith, Jones"', '""', '"', 'a"b', '"a"b', '"a""b"', ' "a"', '"a\nb"', '"a\r\nb"', "a\rb", "\ufeff", "é",
        "x" * 201, "x" * 10_001, "a\0b", " ", "+5", " 30 ", "nan(1)", "1_0", "1e5", "-0", "inf", "",
    ]
)  # fmt: skip
odd_rows = st.lists(st.one_of(cells, odd, numbers), min_size=8, max_size=10).map(",".join)
some_rows = st.one_of(st.integers(1, 99).map(row), odd_rows, st.sampled_from(["", ",,,,,,,,", "\r", '"']))


@given(st.lists(some_rows, max_size=30), st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from([30, 200, 1 << 20]))
def test_a_block_read_at_once_gives_the_lines_that_reading_them_one_by_one_gives(rows, end, size):
    body = end.join([HEADER, *GOOD, *rows]).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_records, "_plain", lambda *block: None)
        one_by_one = read(body)
        patch.undo()
        patch.setattr(csv_records, "BLOCK_BYTES", size)
        at_once = read(body)
    assert at_once.refused == one_by_one.refused
    pd.testing.assert_frame_equal(at_once.accepted, one_by_one.accepted, check_exact=True)


@given(st.from_regex(checking._NUMBER.removeprefix("(?i)"), fullmatch=True))
def test_all_that_looks_like_a_number_is_one(text):
    not_one, number = checking.read_numbers(checking.coded(["nan(1)", text])).values
    assert np.isnan(not_one)
    assert number == float(text)
