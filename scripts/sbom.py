"""Lists what the built layers bring, as CycloneDX 1.6: version, licence, and the files and hashes of the lock.

Usage: sbom.py BUILD_FOLDER TARGET. What is listed is what `sam build` packed, not what was asked for.
"""

import json
import re
import sys
import tomllib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SHORT = 100  # a longer field holds the whole text of the licence
# The wheels that the layers' makefiles may take: Python 3.13 on Linux, x86_64, or any.
OURS = re.compile(r"-(py2\.py3-none|py3-none|cp313-cp313|cp3\d+-abi3)-(any|[^/]*manylinux[^/]*x86_64[^/]*)\.whl$")


def packed(build: Path) -> Iterator[tuple[str, Distribution]]:
    """The packages of each built layer; ours, the library, has no metadata of its own."""
    for folder in sorted(build.glob("*Layer/python/*.dist-info")):
        yield folder.parts[-3], PathDistribution(folder)


def locked(lock: Path) -> dict[tuple[str, str], list[dict[str, str]]]:
    """The files that the lock allows for each package and version here, with their hashes."""
    return {
        (package["name"], package["version"]): [file for file in package.get("wheels", []) if OURS.search(file["url"])]
        for package in tomllib.loads(lock.read_text())["package"]
        if "registry" in package["source"]
    }


def licences(metadata: Any) -> list[dict[str, Any]]:
    """What the package itself says of its licence. Raises RuntimeError where it says nothing."""
    if expression := metadata.get("License-Expression"):
        return [{"expression": expression}]
    classified = [
        entry.rpartition(" :: ")[2]
        for entry in metadata.get_all("Classifier", [])
        if entry.startswith("License :: ") and not entry.endswith("OSI Approved")
    ]
    told = metadata.get("License", "").strip()
    names = [told] if told and len(told) < SHORT and not classified else classified
    if not names:
        raise RuntimeError(f"{metadata['Name']} {metadata['Version']} does not say what its licence is")
    return [{"license": {"name": name}} for name in names]


def component(layer: str, package: Distribution, files: dict[tuple[str, str], list[dict[str, str]]]) -> dict[str, Any]:
    """Raises RuntimeError where the lock has no such package to take: it came from elsewhere."""
    name, version = package.metadata["Name"].lower().replace("_", "-").replace(".", "-"), package.version
    if not files.get((name, version)):
        raise RuntimeError(f"{name} {version} is in {layer} and not in uv.lock")
    purl = f"pkg:pypi/{name}@{version}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "licenses": licences(package.metadata),
        "externalReferences": [
            {
                "type": "distribution",
                "url": file["url"],
                "hashes": [{"alg": "SHA-256", "content": file["hash"].removeprefix("sha256:")}],
            }
            for file in files[name, version]
        ],
        "properties": [{"name": "suspicious-lines:layer", "value": layer}],
    }


def document(build: Path, lock: Path) -> dict[str, Any]:
    files = locked(lock)
    components = {}
    for layer, package in packed(build):
        found = component(layer, package, files)
        components[found["bom-ref"]] = found
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid4()}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "component": {
                "type": "application",
                "bom-ref": project["name"],
                "name": project["name"],
                "version": project["version"],
                "licenses": [{"expression": project["license"]}],
            },
        },
        "components": list(components.values()),
        "dependencies": [{"ref": project["name"], "dependsOn": list(components)}],
    }


def main(build: Path, target: Path) -> int:
    try:
        found = document(build, ROOT / "uv.lock")
    except RuntimeError as error:
        print(f"sbom: {error}", file=sys.stderr)
        return 1
    target.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{len(found['components'])} packages listed in {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
