"""Runs a buildspec on this machine as CodeBuild does: phase by phase, command by command; then collects artifacts."""

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

PHASES = ["install", "pre_build", "build", "post_build"]


@dataclass
class Build:
    """What became of it: the commands that ran, and all that they said."""

    status: int = 0
    ran: list[str] = field(default_factory=list)
    said: str = ""


def read(path: Path) -> dict[str, Any]:
    """A buildspec; none of its keys is one that CodeBuild would pass over in silence."""
    spec = yaml.safe_load(path.read_text())
    assert set(spec) <= {"version", "env", "phases", "artifacts"}, path.name
    assert (spec["version"], spec["env"]) == (0.2, {"shell": "bash"}), path.name
    assert set(spec["phases"]) <= set(PHASES), path.name
    assert set(spec.get("artifacts", {})) <= {"base-directory", "files"}, path.name
    for name, phase in spec["phases"].items():
        assert set(phase) <= ({"runtime-versions", "commands"} if name == "install" else {"commands"}), path.name
    return spec


def commands(spec: dict[str, Any]) -> list[str]:
    return [command for phase in PHASES for command in spec["phases"].get(phase, {}).get("commands", [])]


def run(path: Path, checkout: Path, environment: dict[str, str], artifacts: Path | None = None) -> Build:
    """Each command in the checkout, in a shell of its own, until one fails; then the artifacts, copied to a folder."""
    spec, build = read(path), Build()
    for command in commands(spec):
        build.ran.append(command)
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=checkout,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        build.said += done.stdout
        build.status = done.returncode
        if build.status:
            return build
    if artifacts:
        base = checkout / spec["artifacts"]["base-directory"]
        for pattern in spec["artifacts"]["files"]:
            found = [file for file in base.glob(pattern) if file.is_file()]
            assert found, f"{path.name}: no file is {pattern}"
            for file in found:
                target = artifacts / file.relative_to(base)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, target)
    return build
