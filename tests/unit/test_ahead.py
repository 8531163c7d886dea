"""Things made ahead come in their order, once each, and what fails fails where it is wanted."""

import time
from collections.abc import Iterator

import pytest

from suspicious_lines.ahead import ahead


@pytest.mark.parametrize("count", [0, 1, 20])
def test_all_come_in_their_order(count):
    assert list(ahead(iter(range(count)))) == list(range(count))


def noted(begun: list[int]) -> Iterator[int]:
    for number in range(100):
        begun.append(number)
        yield number


def test_one_is_made_while_the_one_before_it_is_used():
    begun: list[int] = []
    made = ahead(noted(begun))
    assert next(made) == 0
    deadline = time.monotonic() + 10
    while len(begun) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.05)
    assert begun == [0, 1]
    made.close()


def test_an_error_comes_in_its_turn():
    made = ahead(1 // number for number in [1, 0, 1])
    assert next(made) == 1
    with pytest.raises(ZeroDivisionError):
        next(made)
