import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suspicious_lines.spreadsheet import neutralise, to_csv


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", '=HYPERLINK("http://x","y")'])
def test_formulas_become_text(cell):
    assert neutralise(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["Specimen LLP", "", -5, 12.5, None])
def test_other_cells_stay(cell):
    assert neutralise(cell) == cell


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r")), min_size=3, max_size=3)))
def test_no_row_is_lost_and_none_runs(rows):
    read = list(csv.reader(io.StringIO(to_csv(["a", "b", "c"], rows))))
    assert len(read) == len(rows) + 1
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in read for cell in row)
    assert [[neutralise(cell) for cell in row] for row in rows] == read[1:]
