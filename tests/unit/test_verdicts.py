import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suspicious_lines.errors import InvalidUploadError
from suspicious_lines.verdicts import MOST_NOTE_CHARACTERS, MOST_RUNS, check, read_rows, require_some, wanted_lines

KEY = "verdicts/v.csv"
SCORED = {"run-1": {5, 8, 11, 14}, "=weekly": {5}}
# Byte for byte what tests/browser/test_verdicts.py downloads from the page.
FROM_THE_PAGE = (
    b"Run,Line,Verdict,Note\r\n"
    b"run-1,5,query,\r\n"
    b"run-1,8,query,'=1+1\r\n"
    b'run-1,11,fine,"ask for the time sheet, qfu"\r\n'
    b'run-1,14,unsure,"two\nlines, and a, b, c, d, e"\r\n'
    b"'=weekly,5,query,\r\n"
)


def read(body: bytes, scored=SCORED):
    return check(*read_rows(io.BytesIO(body), KEY), scored)


def file_of(*rows: str) -> bytes:
    return "\r\n".join(["Run,Line,Verdict,Note", *rows, ""]).encode()


def refusals(*rows: str) -> list[tuple[int, str, str]]:
    return [(refusal.line, refusal.column, refusal.reason) for refusal in read(file_of(*rows)).refused]


def test_the_pages_own_file_is_read_whole():
    answers = read(FROM_THE_PAGE)
    assert answers.refused == []
    assert [answer.verdict for answer in answers.accepted] == ["query", "query", "fine", "unsure", "query"]
    assert [answer.note for answer in answers.accepted][1:4] == [
        "=1+1",
        "ask for the time sheet, qfu",
        "two\nlines, and a, b, c, d, e",
    ]
    assert answers.accepted[4].run == "=weekly"
    counts = answers.counts()
    assert (counts.read, counts.query, counts.fine, counts.unsure, counts.runs) == (5, 3, 1, 1, 2)


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + file_of("run-1,5,Query,"),
        b"LINE,verdict,run\n 5 , QUERY ,run-1\n",
        b"Run,Reviewed By,Line,Verdict\nrun-1,somebody,5,query\n",
    ],
)
def test_spreadsheets_case_blanks_order_and_further_columns_are_forgiven(body):
    (answer,) = read(body).accepted
    assert (answer.run, answer.line, answer.verdict, answer.note) == ("run-1", 5, "query", "")


def test_each_row_is_refused_with_its_first_fault():
    assert refusals(
        "run-2,5,query,",
        ",5,query,",
        "run-1,6,query,",
        "run-1,five,query,",
        "run-1,8,burn,",
        f"run-1,8,query,{'x' * (MOST_NOTE_CHARACTERS + 1)}",
        "run-1,8,query",
        "../../models,5,query,",
    ) == [
        (2, "Run", "is no run with results"),
        (3, "Run", "is empty"),
        (4, "Line", "is not a line that the run scored"),
        (5, "Line", "is not the number of a line"),
        (6, "Verdict", "is none of query, fine, unsure"),
        (7, "Note", f"is longer than {MOST_NOTE_CHARACTERS} characters"),
        (8, "", "has 3 cells where the header has 4"),
        (9, "Run", "is no run with results"),
    ]


def test_a_bad_byte_or_an_open_quote_costs_its_own_row_only():
    body = file_of('run-1,5,query,"open', "run-1,8,fine,", "run-1,11,fine,").replace(b"11,fine", b"11,fine\xff")
    answers = read(body)
    assert [answer.line for answer in answers.accepted] == [8]
    assert [refusal.line for refusal in answers.refused] == [2, 4]


def test_contradictions_are_refused_and_repeats_are_kept_once():
    answers = read(file_of("run-1,5,query,", "run-1,8,fine,first", "run-1,5,fine,", "run-1,8,Fine,second"))
    assert [(refusal.line, refusal.column) for refusal in answers.refused] == [(2, "Verdict"), (4, "Verdict")]
    assert (answers.counts().accepted, answers.counts().kept) == (2, 1)
    assert answers.kept[0].note == "second"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "line 1: the file is empty"),
        (b"PK\x03\x04xxxx", "is a zip archive or an Excel workbook"),
        (b"Run;Line;Verdict;Note\nrun-1;5;query;\n", "the columns are not separated by commas"),
        (b"Run,Line,Note\nrun-1,5,\n", "line 1, column Verdict: the header lacks this column. Add: Verdict."),
        (
            b"Matter Number,Total\n1,2\n",
            "there is no header. The first line must name the columns: Run, Line",
        ),
        (file_of(*(f"run-{number},5,query," for number in range(MOST_RUNS + 1))), "answers more than 100 runs"),
        (file_of(), "the file has no verdicts below its header"),
        (file_of("run-9,5,query,"), "line 2, column Run: none of 1 verdicts can be used; this one is no run with"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_words(body, told):
    with pytest.raises(InvalidUploadError) as refused:
        require_some(read(body), KEY)
    assert str(refused.value).startswith(KEY)
    assert told in str(refused.value)


def test_only_well_formed_runs_and_lines_are_looked_for():
    rows, _ = read_rows(io.BytesIO(file_of("run-1,5,burn,", "a/b,5,query,", "run-1,99999999999,fine,")), KEY)
    assert wanted_lines(rows) == {"run-1": {5}}


cells = st.one_of(st.sampled_from(["run-1", "=weekly", "5", "8", "query", "FINE", "", "'", '"', "\n", "\0"]), st.text())
some_rows = st.lists(
    st.one_of(
        st.lists(cells, min_size=1, max_size=6),
        st.tuples(st.just("run-1"), st.sampled_from("58"), st.sampled_from(["query", "fine", "odd"]), st.just("")),
    ),
    max_size=20,
)


@given(some_rows)
def test_accepted_and_rejected_make_what_was_read(rows):
    body = file_of(*(",".join(row) for row in rows)).decode().encode("utf-8", "surrogatepass")
    found, unread = read_rows(io.BytesIO(body), KEY)
    answers = check(found, unread, SCORED)
    counts = answers.counts()
    assert counts.accepted + counts.rejected == counts.read == len(found) + len(unread)
    assert counts.query + counts.fine + counts.unsure == counts.kept <= counts.accepted
    said = {(answer.run, answer.line): answer.verdict for answer in answers.accepted}
    assert all(said[answer.run, answer.line] == answer.verdict for answer in answers.accepted)
    assert all(answer.line in SCORED[answer.run] for answer in answers.accepted)
