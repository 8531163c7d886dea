"""Things made ahead come in their order, once each, and what fails fails where it is wanted."""

import threading
import time

import pytest

from suspicious_lines.ahead import AT_ONCE, ahead, each_ahead


@pytest.mark.parametrize("count", [0, 1, AT_ONCE, 20])
def test_all_come_in_their_order(count):
    assert list(ahead(iter(range(count)))) == list(range(count))
    assert list(each_ahead(lambda number: -number, range(count))) == [-number for number in range(count)]


def test_several_are_made_at_once():
    together = threading.Barrier(AT_ONCE, timeout=10)
    assert list(each_ahead(lambda number: together.wait() >= 0, range(AT_ONCE))) == [True] * AT_ONCE


def test_no_more_are_made_than_are_wanted_soon():
    begun = []
    made = each_ahead(begun.append, range(100))
    next(made)
    time.sleep(0.05)
    assert len(begun) <= AT_ONCE + 1
    made.close()


def test_an_error_comes_in_its_turn():
    made = each_ahead(lambda number: 1 // number, [1, 0, 1])
    assert next(made) == 1
    with pytest.raises(ZeroDivisionError):
        next(made)
