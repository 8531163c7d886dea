import numpy as np
import pandas as pd
import pytest

from frames import lines_frame
from suspicious_lines.planted import KINDS, LINES_PER_KIND, plant

LINES = lines_frame(1_000)
PLANTED = plant(LINES, 1)
SOURCE = LINES.set_index("line").loc[PLANTED["line"]].reset_index()


def of(kind: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The planted lines of one kind and the lines that they copy."""
    mask = (PLANTED["planted"] == kind).to_numpy()
    return PLANTED[mask].reset_index(drop=True), SOURCE[mask].reset_index(drop=True)


def changed(planted: pd.DataFrame, source: pd.DataFrame) -> set[str]:
    return {name for name in source.columns if (planted[name].astype(object) != source[name].astype(object)).any()}


def test_every_kind_is_planted_in_as_many_lines():
    assert list(dict.fromkeys(PLANTED["planted"])) == KINDS
    assert (PLANTED["planted"].value_counts() == LINES_PER_KIND).all()
    assert not PLANTED[["line", "planted"]].duplicated().any()
    assert list(PLANTED.columns) == [*LINES.columns, "planted"]


def test_long_minutes_are_billed_in_full():
    planted, source = of("minutes")
    assert changed(planted, source) == {"minutes", "total"}
    assert (planted["minutes"] / source["minutes"]).between(3 - 0.5 / 10, 6 + 0.5 / 10).all()
    np.testing.assert_allclose(planted["total"], planted["minutes"] / 60 * planted["fee"], atol=0.0051)


def test_a_raised_rate_is_billed_in_full():
    planted, source = of("fee")
    assert changed(planted, source) == {"fee", "total"}
    assert (planted["fee"] / source["fee"]).between(1.29, 2.01).all()
    np.testing.assert_allclose(planted["total"], planted["minutes"] / 60 * planted["fee"], atol=0.0051)


def test_a_raised_total_is_more_than_minutes_and_rate_make():
    planted, source = of("total")
    assert changed(planted, source) == {"total"}
    assert (planted["total"] / (planted["minutes"] / 60 * planted["fee"])).between(1.049, 1.501).all()


def test_a_duplicate_repeats_the_line_that_it_copies():
    planted, source = of("duplicate")
    assert changed(planted, source) == {"repeats"}
    assert (planted["repeats"] == source["line"]).all()


def test_the_seed_alone_decides():
    pd.testing.assert_frame_equal(plant(LINES, 1), PLANTED)
    assert not plant(LINES, 2)["line"].equals(PLANTED["line"])


def test_the_lines_stay_as_they_were():
    before = LINES.copy(deep=True)
    plant(LINES, 3)
    pd.testing.assert_frame_equal(LINES, before)


def test_known_errors_are_not_copied():
    errors = LINES.loc[LINES["error"].to_numpy(bool), "line"]
    assert len(errors)
    assert not PLANTED["line"].isin(errors).any()


def test_lines_without_a_label_are_copied():
    assert len(plant(lines_frame(100, labelled=False), 1)) == 4 * LINES_PER_KIND


@pytest.mark.parametrize("count", [1, 7, LINES_PER_KIND])
def test_fewer_lines_than_wanted_are_all_copied_once_a_kind(count):
    lines = lines_frame(100)
    few = lines[~lines["error"].to_numpy(bool)].head(count)
    planted = plant(few, 1)
    for kind in KINDS:
        assert sorted(planted.loc[planted["planted"] == kind, "line"]) == sorted(few["line"])


def test_where_every_line_is_an_error_they_are_copied_all_the_same():
    lines = LINES.assign(error=pd.array([True] * len(LINES), dtype="boolean"))
    assert len(plant(lines, 1)) == 4 * LINES_PER_KIND
