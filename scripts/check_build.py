"""Weighs and tries what `sam build` made: each handler with its own layers, their byte code, the trimmed data layer on
real Parquet.

Usage: check_build.py BUILD_FOLDER PYTHON, where PYTHON is a Python 3.13.
Ends with status 1 and a sentence where something does not fit or does not import.
"""

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import yaml

LAMBDA_LIMIT_BYTES = 262_144_000  # a function and its layers, unzipped
OUR_LIMIT_BYTES = 230_000_000  # leaves room for the next release of pandas and pyarrow
# A .pyc's flags (PEP 552): by default it names its source's time, which is another once a layer is unpacked.
UNCHECKED_HASH = b"\x01\0\0\0"

# Without the stack's settings a handler refuses to start; that it finds all its packages is what counts here.
IMPORT_HANDLER = """
import sys
sys.path[:0] = sys.argv[1:]
try:
    import app
except Exception as refusal:
    if isinstance(refusal, ImportError) or type(refusal).__name__ != "SettingsError":
        raise
"""


def folder_bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def without_byte_code(folder: Path) -> list[Path]:
    """The modules that Lambda compiles at every cold start: those without a .pyc that it takes unchecked."""
    found = []
    for module in sorted(folder.rglob("*.py")):
        compiled = module.parent / "__pycache__" / f"{module.stem}.cpython-313.pyc"
        if not compiled.is_file() or compiled.read_bytes()[4:8] != UNCHECKED_HASH:
            found.append(module)
    return found


def run_isolated(python: str, program: Iterable[str]) -> bool:
    """Run Python without site-packages and without this process's settings; True where it ends well."""
    environment = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": os.devnull,
    }
    return subprocess.run([python, "-S", "-s", *program], env=environment, check=False).returncode == 0


def read_built_stack(build: Path) -> tuple[dict[str, Path], dict[str, list[str]], dict[str, Path]]:
    """The built template's layers (id -> folder), the functions' layers (id -> ids) and the functions' folders."""
    template = yaml.safe_load((build / "template.yaml").read_text())
    shared = template.get("Globals", {}).get("Function", {}).get("Layers", [])
    layers, attached, functions = {}, {}, {}
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::LayerVersion":
            layers[name] = build / properties["ContentUri"]
        elif resource["Type"] == "AWS::Serverless::Application":
            # A nested stack calls the layers that it is given as the root does.
            _, nested_attached, nested_functions = read_built_stack((build / properties["Location"]).parent)
            attached |= nested_attached
            functions |= nested_functions
        elif resource["Type"] == "AWS::Serverless::Function":
            functions[name] = build / properties["CodeUri"]
            # SAM appends a function's own layers to the shared ones.
            attached[name] = list(dict.fromkeys(layer["Ref"] for layer in [*shared, *properties.get("Layers", [])]))
    return layers, attached, functions


def main(build: Path, python: str) -> int:
    layers, attached, functions = read_built_stack(build)
    weights = {name: folder_bytes(folder) for name, folder in layers.items()}
    for name, weight in weights.items():
        print(f"{weight / 1e6:8.1f} MB  {name}", flush=True)

    failures = [
        f"{name}: {len(slow)} modules have no byte code that Lambda takes as it is, such as {slow[0]}"
        for name, folder in layers.items()
        if (slow := without_byte_code(folder))
    ]
    runs_here = (platform.system(), platform.machine()) == ("Linux", "x86_64")
    for name, folder in functions.items():
        weight = folder_bytes(folder) + sum(weights[layer] for layer in attached[name])
        print(f"{weight / 1e6:8.1f} MB  {name} with {', '.join(attached[name])}", flush=True)
        if weight > OUR_LIMIT_BYTES:
            failures.append(
                f"{name} weighs {weight:,} bytes with its layers, above our limit of {OUR_LIMIT_BYTES:,} "
                f"(Lambda's is {LAMBDA_LIMIT_BYTES:,}): trim a layer in layers/"
            )
        paths = [folder, *(layers[layer] / "python" for layer in attached[name])]
        if runs_here and not run_isolated(python, ["-c", IMPORT_HANDLER, *map(str, paths)]):
            failures.append(f"{name} does not import with the layers it is given")
    if runs_here:
        script = Path(__file__).with_name("try_parquet.py")
        if not run_isolated(
            python, [str(script), *(str(layers[name] / "python") for name in ("BaseLayer", "DataLayer"))]
        ):
            failures.append("the trimmed DataLayer cannot write and read Parquet")
    else:
        print("The layers are built for Linux on x86_64: weighed, but not tried on this machine.")

    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
