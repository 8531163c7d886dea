"""A second thread that makes the next thing while the one before it is used."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, one of which is made ahead. Two threads gain because numpy, Arrow and S3 let go of the lock."""
    none = object()
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, items, none)
        while (item := coming.result()) is not none:
            coming = maker.submit(next, items, none)
            yield item  # type: ignore[misc]
