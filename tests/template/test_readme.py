"""The README speaks of commands, files and names that exist."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
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


@pytest.mark.parametrize("name", ["DataBucket", "ReviewersEmail", "OperatorsEmail", "ReviewBudget"])
def test_template_names_are_the_templates(name):
    template = (ROOT / "template.yaml").read_text()
    assert f"  {name}:" in template
