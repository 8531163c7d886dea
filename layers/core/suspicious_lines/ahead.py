"""Threads that make the next things while those before them are used: NumPy, Arrow and S3 let go of Python's lock."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

AT_ONCE = 2


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, one of which is made ahead."""
    none = object()
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, items, none)
        while (item := coming.result()) is not none:
            coming = maker.submit(next, items, none)
            yield item  # type: ignore[misc]


def each_ahead(make: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """`make` of each item, in their order; AT_ONCE of them are made ahead, each by a thread."""
    coming: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(AT_ONCE) as makers:
        for item in items:
            coming.append(makers.submit(make, item))
            if len(coming) > AT_ONCE:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
