"""Every function starts with the environment that the template gives it, all parameters at their defaults."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from suspicious_lines.errors import SettingsError
from suspicious_lines.settings import Settings

# What Ref and GetAtt give for each kind of resource, once deployed.
DEPLOYED = {
    "AWS::KMS::Key": "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555",
    "AWS::IAM::Role": "arn:aws:iam::000000000000:role/suspicious-lines-role",
    "AWS::SNS::Topic": "arn:aws:sns:us-east-1:000000000000:suspicious-lines-topic",
    "AWS::SQS::Queue": "https://sqs.us-east-1.amazonaws.com/000000000000/suspicious-lines-queue",
    "AWS::Serverless::LayerVersion": "arn:aws:lambda:us-east-1:000000000000:layer:suspicious-lines:1",
    "AWS::Serverless::StateMachine": "arn:aws:states:us-east-1:000000000000:stateMachine:suspicious-lines-train",
    "AWS::Serverless::Function": "arn:aws:lambda:us-east-1:000000000000:function:suspicious-lines-function",
}
PSEUDO = {"Partition": "aws", "Region": "us-east-1", "AccountId": "000000000000", "StackName": "suspicious-lines"}


def deployed_value(value: Any, template: dict[str, Any]) -> str:
    if not isinstance(value, dict):
        return str(value)
    if "Fn::Sub" in value:
        return re.sub(r"\$\{AWS::(\w+)\}", lambda match: PSEUDO[match[1]], value["Fn::Sub"])
    if "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return separator.join(deployed_value(part, template) for part in parts)
    if value == {"Ref": "AWS::NoValue"}:
        return ""
    if value == {"Ref": "AWS::StackName"}:
        return "suspicious-lines"
    if "Fn::If" in value:  # the parameters at their defaults switch nothing on
        return deployed_value(value["Fn::If"][2], template)
    name = value["Ref"] if "Ref" in value else value["Fn::GetAtt"][0]
    if name in template["Parameters"]:
        return str(template["Parameters"][name]["Default"])
    return DEPLOYED.get(template["Resources"][name]["Type"], f"suspicious-lines-{name.lower()}")


def environment_of(properties: dict[str, Any], template: dict[str, Any]) -> dict[str, str]:
    shared = template["Globals"]["Function"]["Environment"]["Variables"]
    own = properties.get("Environment", {}).get("Variables", {})
    values = {name: deployed_value(value, template) for name, value in {**shared, **own}.items()}
    return {name: value for name, value in values.items() if name != "RELEASE"}  # not there by default


def start(folder: Path) -> None:
    """Run a handler's module as a cold start does, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"{folder.name}_app", folder / "app.py")
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_functions_start_with_the_environment_of_the_template(
    template: dict[str, Any], functions: dict[str, dict[str, Any]], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, properties in functions.items():
        with monkeypatch.context() as patch:
            for variable, value in environment_of(properties, template).items():
                patch.setenv(variable, value)
            patch.setenv("AWS_REGION", "us-east-1")
            patch.setenv("AWS_LAMBDA_FUNCTION_NAME", "suspicious-lines-function")
            try:
                start(root / properties["CodeUri"])
            except SettingsError as error:
                pytest.fail(f"{name}: {error}")


def test_functions_get_no_variable_that_no_settings_read(functions: dict[str, dict[str, Any]]) -> None:
    known, waiting = {"MALLOC_ARENA_MAX"}, [Settings]  # the C library reads that one
    while waiting:
        settings = waiting.pop()
        known |= {field.upper() for field in settings.__struct_fields__}
        waiting += settings.__subclasses__()
    for name, properties in functions.items():
        own = set(properties.get("Environment", {}).get("Variables", {}))
        assert own <= known, name
