"""README, SECURITY.md and the pages of docs/ speak of commands, files, names and tests that exist."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in sorted((ROOT / "docs").rglob("*.md"))}
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
COMMANDS = [line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines() if line.strip()]


def test_every_make_target_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {shlex.split(command)[1] for command in COMMANDS if command.startswith("make ")}
    named |= set(re.findall(r"`(?:time )?make ([a-z-]+)", README))
    assert {"demo", "test", "up", "invoke", "deploy"} <= named
    assert named <= targets


def test_every_function_and_file_named_exists():
    functions = re.findall(r"FUNCTION=(\w+)", README)
    assert functions
    assert all((ROOT / "functions" / name / "app.py").exists() for name in functions)
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    paths = re.findall(r"`((?:docs|functions|layers|statemachine|local|events|tests)/[\w./-]*)`", README)
    missing = [path for path in [*links, *paths] if not (ROOT / path).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_name_commands_and_files_that_exist(page):
    makefile = (ROOT / "Makefile").read_text()
    commands = re.findall(r"(?:^|`)make ([a-z-]+)", PAGES[page], re.MULTILINE)
    assert set(commands) <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    folders = "docs|functions|layers|local|scripts|stacks|statemachine|events|tests"
    paths = re.findall(rf"`((?:{folders})/[\w./-]*)`", PAGES[page])
    assert [path for path in paths if not (ROOT / path).exists()] == []
    scripts = re.findall(r"python -m ((?:benchmarks|local)[\w.]*)", PAGES[page])
    assert [name for name in scripts if not list(ROOT.glob(name.replace(".", "/") + "*"))] == []


def test_names_are_those_of_the_template_and_the_machines():
    text = README + "".join(PAGES[f"docs/{name}.md"] for name in ("deploy", "flags", "promotion", "verdicts", "costs"))
    named = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", text)) - {"SageMakerVariantInvocationsPerInstance"}
    assert {"ThresholdStrategy", "ReviewBudget", "ModelsKept", "ReviewersEmail"} <= named
    files = [ROOT / "template.yaml", *ROOT.glob("stacks/*.yaml"), *ROOT.glob("statemachine/*.asl.json")]
    known = set(re.findall(r"^\s*\"?(\w+)\"?:", "\n".join(file.read_text() for file in files), re.MULTILINE))
    assert named - known == set()


def test_every_control_names_a_test_that_exists():
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "SECURITY.md").read_text()))
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert named
    assert named - set(re.findall(r"^def (test_\w+)", tests, re.MULTILINE)) == set()
