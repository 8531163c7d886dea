"""What is deployed can be imported there, is no heavier than it must be, and knows nothing of the local world."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from test_environment import environment_of

DATA_PACKAGES = {"awswrangler", "numpy", "pandas", "pyarrow"}
BASE_PACKAGES = {
    "aws_lambda_powertools",
    "aws_xray_sdk",
    "boto3",
    "botocore",
    "msgspec",
    "s3transfer",
    "typing_extensions",
}
LIBRARY = "suspicious_lines"
# The function that archives its layers for a job, and uses none of the data packages itself.
SHIPS_ITS_LAYERS = {"StartPreprocessingFunction"}
# PrepareTrial imports them when it is called: it reads an encoder.
READ_NO_LINES = SHIPS_ITS_LAYERS | {"PrepareTrialFunction"}
# Tells which of the data packages each handler imports that it is given; each in a process of its own.
COLD_STARTS = """
import importlib, json, os, sys
importlib.import_module("suspicious_lines.observability")  # which all of them import
for name, folder, environment in json.load(sys.stdin):
    if not os.fork():
        os.environ.update(environment)
        sys.path.insert(0, folder)
        importlib.import_module("app")
        print(json.dumps([name, [package for package in sys.argv[1:] if package in sys.modules]]), flush=True)
        os._exit(0)
    if os.wait()[1]:
        sys.exit(f"{name} was not imported")
"""
LOCAL_WORLD = re.compile(r"ministack|localhost|127\.0\.0\.1|\bmoto\b|\bkrcf\b|\b4566\b|\b4567\b", re.IGNORECASE)


class Imports:
    """The modules that a file imports: when it is loaded, and at any time (inside functions as well)."""

    def __init__(self, path: Path, root: Path) -> None:
        tree = ast.parse(path.read_text())
        core = root / "layers" / "core"
        parts = path.relative_to(core).with_suffix("").parts if core in path.parents else ()
        self._package = parts[:-1]
        self.ever = set(self._names(list(ast.walk(tree))))
        self.at_load = set(self._names(list(self._loaded(tree.body))))

    def _loaded(self, body: list[ast.stmt]) -> Iterator[ast.AST]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                continue
            yield node
            for field in ("body", "orelse", "finalbody"):
                yield from self._loaded(getattr(node, field, []))

    def _names(self, nodes: list[ast.AST]) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self._package[: len(self._package) - node.level + 1] if node.level else ()
                module = ".".join([*base, *([node.module] if node.module else [])])
                yield module
                yield from (f"{module}.{alias.name}" for alias in node.names)


def imported(root: Path, app: Path, when: str) -> set[str]:
    """Top-level names of all the packages that a handler and the library modules behind it import."""
    modules: dict[str, Path] = {}
    for path in (root / "layers" / "core" / LIBRARY).rglob("*.py"):
        name = ".".join(path.relative_to(root / "layers" / "core").with_suffix("").parts)
        modules[name.removesuffix(".__init__")] = path
    packages, seen, waiting = set(), set(), [app]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in getattr(Imports(path, root), when):
            packages.add(name.split(".")[0])
            # Importing a.b.c loads a and a.b on the way.
            parts = name.split(".")
            waiting += [modules[module] for n in range(len(parts)) if (module := ".".join(parts[: n + 1])) in modules]
    return packages


def layers_of(translated: dict[str, Any], function: str) -> list[str]:
    """The logical ids of a function's layers, without the hash that SAM appends to them."""
    layers = translated["Resources"][function]["Properties"]["Layers"]
    return [re.sub(r"[0-9a-f]{10}$", "", layer["Ref"]) for layer in layers]


def test_functions_get_each_layer_once(translated: dict[str, Any], functions: dict[str, dict[str, Any]]) -> None:
    for name in functions:
        layers = layers_of(translated, name)
        assert len(layers) == len(set(layers)), f"{name}: SAM appends a function's layers to those of Globals: {layers}"
        assert {"CoreLayer", "BaseLayer"} <= set(layers), name


def test_functions_have_the_data_layer_where_they_need_it_and_only_there(
    translated: dict[str, Any], functions: dict[str, dict[str, Any]], root: Path
) -> None:
    for name, properties in functions.items():
        app = root / properties["CodeUri"] / "app.py"
        attached = "DataLayer" in layers_of(translated, name)
        at_load, ever = (imported(root, app, when) & DATA_PACKAGES for when in ("at_load", "ever"))
        assert attached or not at_load, f"{name} imports {at_load} without DataLayer"
        assert ever or not attached or name in SHIPS_ITS_LAYERS, f"{name} carries DataLayer and imports nothing of it"


def test_cold_starts_import_neither_boto3_nor_awswrangler(functions: dict[str, dict[str, Any]], root: Path) -> None:
    for name, properties in functions.items():
        slow = imported(root, root / properties["CodeUri"] / "app.py", "at_load") & {"boto3", "awswrangler"}
        assert not slow, f"{name} imports {slow} before it is called"


def test_cold_starts_of_data_functions_import_numpy_and_arrow_at_most(
    translated: dict[str, Any], template: dict[str, Any], functions: dict[str, dict[str, Any]], root: Path
) -> None:
    """As the interpreter sees it: Arrow imports pandas by itself where it is asked to convert."""
    data = {name: own for name, own in functions.items() if "DataLayer" in layers_of(translated, name)}
    asked = [(name, str(root / own["CodeUri"]), environment_of(own, template)) for name, own in data.items()]
    environment = os.environ | {
        "PYTHONPATH": str(root / "layers" / "core"),
        "AWS_REGION": "us-east-1",
        "AWS_LAMBDA_FUNCTION_NAME": "suspicious-lines-function",
    }
    command = [sys.executable, "-c", COLD_STARTS, *sorted(DATA_PACKAGES)]
    done = subprocess.run(
        command, env=environment, input=json.dumps(asked), capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    loaded = dict(map(json.loads, done.stdout.splitlines()))
    assert loaded == {name: [] if name in READ_NO_LINES else ["numpy", "pyarrow"] for name in data}


def test_functions_import_only_what_the_layers_bring(functions: dict[str, dict[str, Any]], root: Path) -> None:
    for name, properties in functions.items():
        packages = imported(root, root / properties["CodeUri"] / "app.py", "ever")
        unknown = packages - DATA_PACKAGES - BASE_PACKAGES - sys.stdlib_module_names - {LIBRARY, ""}
        assert not unknown, f"{name}: no layer brings {unknown}"


def test_handlers_leave_aws_and_frames_to_the_library(functions: dict[str, dict[str, Any]], root: Path) -> None:
    for name, properties in functions.items():
        own = {module.split(".")[0] for module in Imports(root / properties["CodeUri"] / "app.py", root).ever}
        assert not own & (DATA_PACKAGES | {"boto3", "botocore"}), name


def test_layers_are_built_for_the_architecture_of_the_functions(template: dict[str, Any]) -> None:
    architectures = template["Globals"]["Function"]["Architectures"]
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::LayerVersion":
            assert resource["Properties"]["CompatibleArchitectures"] == architectures, name
            assert resource["Properties"]["CompatibleRuntimes"] == ["python3.13"], name
            assert resource["Metadata"]["BuildMethod"] == "makefile", name


def test_nothing_that_is_deployed_knows_the_local_world(root: Path) -> None:
    folders = [root / name for name in ("functions", "layers", "statemachine")]
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    found = [
        f"{path.relative_to(root)}:{number}: {line.strip()}"
        for path in [*paths, root / "template.yaml", *root.glob("stacks/*.yaml")]
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if LOCAL_WORLD.search(line) or re.match(r"\s*(from|import) (local|tests|benchmarks)\b", line)
    ]

    assert found == []


def test_locked_files_name_public_addresses_only(root: Path) -> None:
    hosts = set()
    for name in ("uv.lock", "layers/base/requirements.txt", "layers/data/requirements.txt", "package-lock.json"):
        text = (root / name).read_text()
        assert "file://" not in text, name
        hosts |= set(re.findall(r"(?:registry =|url =|\"resolved\":) ?\"https?://([^/\"]+)", text))
        hosts |= set(re.findall(r"(?:index-url|find-links)\W+(\S+)", text))

    assert hosts <= {"pypi.org", "files.pythonhosted.org", "registry.npmjs.org"}
