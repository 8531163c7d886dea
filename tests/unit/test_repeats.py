import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suspicious_lines import repeats
from suspicious_lines.repeats import Repeats

TEXT = pa.dictionary(pa.int32(), pa.string())
KINDS = [("a", 1.0), ("b", 1.0), ("a", 2.0), ("", 0.0), ("", -0.0)]


def batch(first: int, rows: list[tuple[str, float]]) -> pa.RecordBatch:
    texts, totals = zip(*rows, strict=True)
    return pa.RecordBatch.from_pydict(
        {
            "line": pa.array(range(first, first + len(rows))),
            "matter_number": pa.array(texts, pa.string()).cast(TEXT),
            "total": pa.array(totals, pa.float64()),
            "error": pa.array([n % 2 == 0 for n in range(len(rows))]),
        }
    )


@given(st.lists(st.lists(st.integers(0, len(KINDS) - 1), min_size=1, max_size=8), max_size=8))
def test_repeats_name_the_first_equal_line_whatever_the_batches(tmp_path_factory, batches):
    found = Repeats(tmp_path_factory.mktemp("repeats"))
    seen: dict[tuple[str, float], int] = {}
    line, expected = 10, []
    for kinds in batches:
        found.add(batch(line, [KINDS[kind] for kind in kinds]))
        for kind in kinds:
            first = seen.setdefault(KINDS[kind], line)
            expected.append(0 if first == line else first)
            line += 1
    found.find()
    assert list(found.of(np.arange(10, line))) == expected
    # Asked for some at a time, or for some only, the answer is the same.
    assert [repeat for at in range(10, line) for repeat in found.of(np.array([at]))] == expected
    assert list(found.of(np.arange(10, line, 3))) == expected[::3]


def test_lines_of_one_hash_are_told_apart_by_their_total(tmp_path, monkeypatch):
    monkeypatch.setattr(repeats, "_hashes", lambda lines: np.zeros(len(lines), dtype=np.uint64))
    found = Repeats(tmp_path)
    found.add(batch(2, [("a", 1.0), ("b", 2.0), ("c", 1.0), ("d", 2.0), ("e", 3.0)]))
    found.find()
    assert list(found.of(np.arange(2, 7))) == [0, 0, 2, 3, 0]


@pytest.mark.parametrize("other", [{"occasion": ["20260105 T1", "20260106 T1"]}, {"matter_number": ["a", "b"]}])
def test_every_column_but_the_label_counts(tmp_path, other):
    same = batch(2, [("a", 1.0)] * 2)
    columns = {name: pa.array(cells, pa.string()).cast(TEXT) for name, cells in other.items()}
    lines = pa.RecordBatch.from_pydict(dict(zip(same.schema.names, same.columns, strict=True)) | columns)
    found = Repeats(tmp_path)
    found.add(lines)
    found.find()
    assert list(found.of(np.array([2, 3]))) == [0, 0]
