"""How `make test` shares the tests between two processes."""

from pathlib import Path

import pytest

# The longest first, so that what is left at the end can be shared out. Those of unit are handed out by file.
TIERS = ["workflow", "faults", "e2e", "emulator", "engine", "browser", "corpus", "template", "unit"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A tier's tests stay in one process: they share a cloud, and the workflows' calls are looked at as a whole."""
    for item in items:
        tier, *below = item.path.relative_to(Path(__file__).parent).parts
        item.add_marker(pytest.mark.xdist_group(below[-1] if tier == "unit" else tier))
    items.sort(key=lambda item: TIERS.index(item.path.relative_to(Path(__file__).parent).parts[0]))
