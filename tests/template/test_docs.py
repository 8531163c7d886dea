"""docs/ as a site: every page is reached, the reference is that of the code, the review names what was run."""

import importlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml


def pages(node: Any) -> Iterator[str]:
    """The paths in a navigation of mkdocs.yml."""
    if isinstance(node, str):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from pages(child)


def rows(text: str) -> Iterator[list[str]]:
    """The cells of the rows of all tables, without their headings."""
    for table in re.findall(r"^\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE):
        for line in table.splitlines():
            yield [cell.strip() for cell in line.strip("|").split("|")]


def test_every_page_is_in_the_navigation_once(root: Path) -> None:
    named = Counter(pages(yaml.safe_load((root / "mkdocs.yml").read_text())["nav"]))
    found = {path.relative_to(root / "docs").as_posix() for path in (root / "docs").rglob("*.md")}
    assert set(named) == found
    assert max(named.values()) == 1


def test_the_reference_is_what_the_code_says(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(root / "scripts")
    for name, text in importlib.import_module("reference").pages().items():
        assert (root / "docs" / name).read_text() == text, f"docs/{name} is not that of the code: run make reference"


def test_every_parameter_metric_and_error_is_in_the_reference(root: Path, template: dict[str, Any]) -> None:
    """Counted by other means than the pages are made by."""
    parameters = {row[0].strip("`") for row in rows((root / "docs/parameters.md").read_text())}
    assert parameters == set(template["Parameters"])
    errors = {row[0].strip("`") for row in rows((root / "docs/errors.md").read_text())}
    source = (root / "layers/core/suspicious_lines/errors.py").read_text()
    assert errors == set(re.findall(r"^class (\w+)\(", source, re.MULTILINE))
    metrics = {row[0].strip("`") for row in rows((root / "docs/metrics.md").read_text())}
    handlers = "\n".join(path.read_text() for path in root.glob("functions/*/app.py"))
    assert metrics == set(re.findall(r"\b([A-Z]\w+)=", handlers))


def test_every_item_of_the_review_names_tests_and_places_that_exist(root: Path) -> None:
    tests = "\n".join(path.read_text() for path in (root / "tests").rglob("test_*.py"))
    known = set(re.findall(r"^def (test_\w+)", tests, re.MULTILINE))
    library = root / "layers/core/suspicious_lines"
    items = list(rows((root / "docs/review.md").read_text()))
    assert len(items) > 20
    for item, what, where, run in items:
        named = set(re.findall(r"`(test_\w+)`", run))
        assert what, item
        assert named, f"{item}: no test"
        assert named <= known, f"{item}: {named - known} do not exist"
        for place in re.findall(r"`([\w./-]+)`", where):
            assert (root / place).exists() or (library / place).exists(), f"{item}: {place} does not exist"


def test_the_site_is_made_strictly_where_reviewers_look(root: Path) -> None:
    recipe = re.search(r"^docs:.*\n((?:\t.*\n)+)", (root / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    assert "mkdocs build --strict" in recipe[1]
    assert "--quiet" not in recipe[1]  # it would hide the warnings from --strict
    assert "check_site.py" in recipe[1]
    assert "make docs" in (root / ".ci/run").read_text().splitlines()
