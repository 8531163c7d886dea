"""Every file of the corpus ends as it must, and nothing is lost on the way."""

import io

import pytest

from suspicious_lines.errors import InvalidUploadError
from suspicious_lines.lines import require_enough
from tests.corpus.cases import Case, cases
from tests.whole import read_lines

KEY = "incoming/activities.csv"
CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.encode("ascii", "backslashreplace").decode())
def test_a_file_ends_as_expected(case: Case) -> None:
    if case.told:
        with pytest.raises(InvalidUploadError) as refusal:
            require_enough(read_lines(io.BytesIO(case.body), KEY).counts, KEY)
        told = str(refusal.value)
        assert told.startswith(f"{KEY}, line ")
        position = 0
        for words in case.told:
            assert words in told[position:]
            position = told.index(words, position)
        return
    lines = read_lines(io.BytesIO(case.body), KEY)
    assert len(lines.accepted) == case.accepted
    assert {refusal.line: refusal.column for refusal in lines.refused} == {
        line: column for line, (column, _) in case.refused.items()
    }
    for refusal in lines.refused:
        assert case.refused[refusal.line][1] in refusal.reason
    assert lines.read == case.accepted + len(case.refused)


def test_the_corpus_is_as_large_as_it_says() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 100
