"""What the template tests look at: the templates as written and as SAM translates them, and the state machines."""

import copy
import json
from pathlib import Path
from typing import Any

import aws_xray_sdk.core  # noqa: F401 (opens a datagram socket when first imported: before sockets are off)
import boto3
import pytest
from flatten import flatten
from pytest_socket import disable_socket
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

ROOT = Path(__file__).parents[2]

# Properties that name a folder or file here and an object in S3 once deployed; the translator only takes the latter.
LOCAL_PATHS = ("CodeUri", "ContentUri", "DefinitionUri")


@pytest.fixture(autouse=True)
def _no_network() -> None:
    disable_socket()


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def template(root: Path) -> dict[str, Any]:
    """template.yaml and stacks/*.yaml as written and as one, with !Ref and !Sub in their long form."""
    return flatten(root / "template.yaml")


@pytest.fixture(scope="session")
def translated(template: dict[str, Any]) -> dict[str, Any]:
    """What CloudFormation gets: SAM's translation, every parameter at its default."""
    source = copy.deepcopy(template)
    for resource in source["Resources"].values():
        for name in LOCAL_PATHS:
            if name in resource.get("Properties", {}):
                resource["Properties"][name] = "s3://bucket/key"
    defaults = {name: parameter["Default"] for name, parameter in source["Parameters"].items()}
    translator = Translator(
        managed_policy_map={}, sam_parser=Parser(), boto_session=boto3.Session(region_name="us-east-1")
    )
    return translator.translate(sam_template=source, parameter_values=defaults)


@pytest.fixture(scope="session")
def functions(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Logical id -> properties of each function as written."""
    return {
        name: resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


@pytest.fixture(scope="session")
def machines(root: Path) -> dict[Path, dict[str, Any]]:
    """File -> definition of each state machine."""
    found = {path: json.loads(path.read_text()) for path in sorted((root / "statemachine").glob("*.asl.json"))}
    assert found, "statemachine/ holds no *.asl.json"
    return found
