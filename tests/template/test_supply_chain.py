"""What is installed is what was locked, the list of it is complete, and an audit that could not ask never passes."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement

LAYERS = {"base": "BaseLayer", "data": "DataLayer", "core": "CoreLayer"}
HASH = re.compile(r"sha256:[0-9a-f]{64}")


def requirements(root: Path, layer: str) -> list[str]:
    """Each requirement with its options, as one line."""
    text = (root / "layers" / layer / "requirements.txt").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def packed(root: Path, layer: str) -> list[tuple[str, str]]:
    """(name, version) of what a layer gets on Lambda."""
    lambdas = {"python_full_version": "3.13.1", "sys_platform": "linux"}
    found = [Requirement(re.sub(r" --hash=\S+", "", line).strip()) for line in requirements(root, layer)]
    wanted = [one for one in found if one.marker is None or one.marker.evaluate(lambdas)]
    return [(one.name, str(one.specifier).removeprefix("==")) for one in wanted]


def test_every_requirement_of_a_layer_has_a_hash(root: Path) -> None:
    for layer in LAYERS:
        found = requirements(root, layer)
        assert found, layer
        for line in found:
            hashes = re.findall(r"--hash=(\S+)", line)
            assert hashes, f"{layer}: {line} has no hash"
            assert all(map(HASH.fullmatch, hashes)), line


def test_every_locked_file_has_a_hash(root: Path) -> None:
    for package in tomllib.loads((root / "uv.lock").read_text())["package"]:
        if package["source"] == {"virtual": "."}:
            continue
        assert package["source"] == {"registry": "https://pypi.org/simple"}, package["name"]
        files = [*package.get("wheels", []), *filter(None, [package.get("sdist")])]
        assert files, package["name"]
        assert all(HASH.fullmatch(file["hash"]) for file in files), package["name"]
    for name, package in json.loads((root / "package-lock.json").read_text())["packages"].items():
        assert not name or package["integrity"].startswith("sha512-"), name


@pytest.fixture
def build(root: Path, tmp_path: Path) -> Path:
    """Layers as `sam build` leaves them, as far as their packages' metadata go: as they say it here."""
    for layer, folder in LAYERS.items():
        for name, version in packed(root, layer):
            text = importlib.metadata.distribution(name).read_text("METADATA") or ""
            metadata = tmp_path / folder / "python" / f"{name.replace('-', '_')}-{version}.dist-info"
            metadata.mkdir(parents=True)
            # An older Python has older versions of some.
            (metadata / "METADATA").write_text(
                re.sub(r"^Version: .*", f"Version: {version}", text, count=1, flags=re.M)
            )
    return tmp_path


def sbom(root: Path, build: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "scripts/sbom.py", str(build), str(build / "sbom.cdx.json")]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_the_list_of_what_the_layers_bring_is_complete_and_valid(root: Path, build: Path) -> None:
    assert sbom(root, build).stderr == ""
    text = (build / "sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    components: list[dict[str, Any]] = json.loads(text)["components"]
    expected = [package for layer in LAYERS for package in packed(root, layer)]
    assert sorted((found["name"], found["version"]) for found in components) == sorted(expected)
    for found in components:
        assert found["purl"] == f"pkg:pypi/{found['name']}@{found['version']}"
        assert all(licence.get("expression") or licence["license"]["name"] for licence in found["licenses"])
        hashes = [entry["hashes"][0] for entry in found["externalReferences"]]
        assert hashes
        assert all(re.fullmatch("[0-9a-f]{64}", told["content"]) for told in hashes)


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ("Name: unlocked\nVersion: 1\nLicense: MIT\n", "unlocked 1 is in BaseLayer and not in uv.lock"),
        ("Name: boto3\nVersion: 1.43.106\n", "boto3 1.43.106 does not say what its licence is"),
    ],
)
def test_a_package_of_unknown_origin_or_licence_is_not_listed_as_if_all_were_well(
    root: Path, tmp_path: Path, metadata: str, told: str
) -> None:
    folder = tmp_path / "BaseLayer" / "python" / "one-1.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\n{metadata}")
    done = sbom(root, tmp_path)
    assert (done.returncode, done.stderr) == (1, f"sbom: {told}\n")
    assert not (tmp_path / "sbom.cdx.json").exists()


def test_an_audit_that_reaches_nobody_fails(root: Path, tmp_path: Path) -> None:
    """The whole script with a proxy that is not there: all lists are read, none can be asked about."""
    if not shutil.which("bash"):
        pytest.skip("bash is missing")
    nowhere = dict.fromkeys(["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"], "http://127.0.0.1:9")
    environment = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"} | nowhere
    environment["HOME"] = str(tmp_path)  # no answers of an earlier audit
    done = subprocess.run(
        ["bash", "scripts/audit.sh"],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    asked = re.findall(r"^(\w+): asking about (\d+) packages$", done.stdout, re.MULTILINE)
    assert [name for name, _ in asked] == [*LAYERS, "dev", "sam", "checkov", "docs", "sdk"]
    assert [int(count) for _, count in asked[:3]] == [len(requirements(root, layer)) for layer in LAYERS]
    assert done.stderr.splitlines()[-1].startswith("audit: a package is known to be weak, or could not be asked about")


def test_no_test_target_audits(root: Path) -> None:
    """`make test` and `.ci/run` must end the same without a network."""
    makefile = (root / "Makefile").read_text()
    assert re.search(r"^audit: .*\n\t@bash scripts/audit\.sh$", makefile, re.MULTILINE)
    assert makefile.count("audit.sh") == 1
    assert "make audit" not in (root / ".ci/run").read_text()
