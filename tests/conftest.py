"""How `make test` shares the tests between two processes (pytest -n 2)."""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# The longest first, so that what is left at the end can be shared out.
TIERS = ["workflow", "faults", "e2e", "emulator", "engine", "browser", "corpus", "template", "unit"]


def tier_and_file(nodeid: str) -> tuple[str, str]:
    _, tier, *_, file = nodeid.partition("::")[0].split("/")
    return tier, file


class ByTier(LoadScopeScheduling):
    """A tier's tests stay in one process, for they share a cloud. Those of unit share nothing, and those of workflow
    take so long that each process has a cloud for them: they are handed out by file.

    Marks of xdist_group, which would say the same, do nothing under pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        tier, file = tier_and_file(nodeid)
        return file if tier in {"unit", "workflow"} else tier


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByTier:
    config.option.loadscopereorder = False  # not by the number of tests
    return ByTier(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # one of the two
        tiers = {tier: place for place, tier in enumerate(TIERS)}
        items.sort(key=lambda item: tiers.get(tier_and_file(item.nodeid)[0], len(tiers)))
