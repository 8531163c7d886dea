"""Threads that make the next things while those before them are used: NumPy, Arrow and S3 let go of Python's lock."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, one of which is made ahead."""
    none = object()
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, items, none)
        while (item := coming.result()) is not none:
            coming = maker.submit(next, items, none)
            yield item  # type: ignore[misc]
