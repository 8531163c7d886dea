"""Deploys the SAM template to the embedded AWS: packages as `sam package` does, then creates or updates the stack."""

import hashlib
import io
import json
import time
import zipfile
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip archive can tell: the same files make the same archive
_SKIPPED = {"__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache"}
# Layers of packages from PyPI. The functions here find those packages in the project's own environment.
_THIRD_PARTY = {"BaseLayer", "DataLayer"}
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
_REGION = "us-east-1"
_SECONDS = 120


class DeployError(RuntimeError):
    """The stack could not be created or updated; the message has the events that say why."""


def deploy(template: Path, stack: str, parameters: dict[str, str], s3: Any, cloudformation: Any) -> dict[str, str]:
    """Create or update a stack from a SAM template file and return its outputs.

    Args:
        template: template.yaml; the paths in it are relative to its folder.
        parameters: values of template parameters; the others keep their defaults.
        s3, cloudformation: boto3 clients of the embedded AWS.

    Raises:
        DeployError: the stack ended in a failed state, or did not end within two minutes.
    """
    bucket = f"{stack}-artifacts"
    s3.create_bucket(Bucket=bucket)

    def upload(body: bytes, suffix: str) -> str:
        key = hashlib.sha256(body).hexdigest()[:32] + suffix
        s3.put_object(Bucket=bucket, Key=key, Body=body)
        return key

    document = package(template, bucket, upload)
    key = upload(json.dumps(document).encode(), ".template")
    request = {
        "StackName": stack,
        "TemplateURL": f"https://s3.amazonaws.com/{bucket}/{key}",
        "Parameters": [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        "Capabilities": _CAPABILITIES,
    }
    since = time.time()
    try:
        if _status(cloudformation, stack) is None:
            cloudformation.create_stack(**request)
        else:
            cloudformation.update_stack(**request)
    except ClientError as error:
        message = error.response["Error"]["Message"]
        if "No updates are to be performed" not in message:
            raise DeployError(f"{template.name} was refused: {message}") from error
    return _wait(cloudformation, stack, since)


def package(template: Path, bucket: str, upload: Any) -> dict[str, Any]:
    """The template with every local path replaced by the object it was uploaded as.

    `upload(body, suffix)` stores bytes in the bucket and returns their key.
    """
    folder = template.resolve().parent
    document = yaml_parse(template.read_text())
    shared = (document.get("Globals") or {}).get("Function") or {}
    shared_code = shared.pop("CodeUri", None)
    for name, resource in document["Resources"].items():
        kind, properties = resource["Type"], resource.setdefault("Properties", {})
        if kind == "AWS::Serverless::Function":
            path = properties.get("CodeUri", shared_code)
            if isinstance(path, str) and "InlineCode" not in properties:
                properties["CodeUri"] = f"s3://{bucket}/{upload(_archive(folder / path), '.zip')}"
        elif kind == "AWS::Serverless::LayerVersion" and isinstance(properties.get("ContentUri"), str):
            body = _layer(folder / properties["ContentUri"], name, resource)
            properties["ContentUri"] = f"s3://{bucket}/{upload(body, '.zip')}"
        elif kind == "AWS::Lambda::LayerVersion" and isinstance(properties.get("Content"), str):
            body = _layer(folder / properties["Content"], name, resource)
            properties["Content"] = {"S3Bucket": bucket, "S3Key": upload(body, ".zip")}
        elif kind == "AWS::Serverless::StateMachine" and isinstance(properties.get("DefinitionUri"), str):
            key = upload(_definition(folder / properties["DefinitionUri"]), ".json")
            properties["DefinitionUri"] = {"Bucket": bucket, "Key": key}
        elif kind == "AWS::StepFunctions::StateMachine" and isinstance(properties.get("DefinitionS3Location"), str):
            key = upload(_definition(folder / properties["DefinitionS3Location"]), ".json")
            properties["DefinitionS3Location"] = {"Bucket": bucket, "Key": key}
        elif kind == "AWS::Serverless::Application" and isinstance(properties.get("Location"), str):
            child = _translated(package(folder / properties["Location"], bucket, upload))
            key = upload(json.dumps(child).encode(), ".template")
            properties["Location"] = f"https://s3.amazonaws.com/{bucket}/{key}"
    return document


def _translated(document: dict[str, Any]) -> dict[str, Any]:
    """What SAM's transform makes of a nested stack's template: the embedded AWS transforms the root's only."""
    translator = Translator(managed_policy_map={}, sam_parser=Parser(), boto_session=boto3.Session(region_name=_REGION))
    translated = translator.translate(sam_template=document, parameter_values={})
    translator.metrics.publish()  # to nobody, but it would complain of what it was not asked for
    translated.pop("Transform", None)
    return translated


def _definition(path: Path) -> bytes:
    """A state machine's definition; sam turns YAML into JSON as well."""
    text = path.read_text()
    return (text if path.suffix == ".json" else json.dumps(yaml_parse(text))).encode()


def _layer(path: Path, name: str, resource: dict[str, Any]) -> bytes:
    """A layer as its build would leave it: the content below python/ where the layer is built at all."""
    if name in _THIRD_PARTY:
        return _zip({"python/README": b"These packages come from the project's own environment here.\n"})
    built = "BuildMethod" in (resource.get("Metadata") or {})
    return _archive(path, "python/" if built else "")


def _archive(folder: Path, prefix: str = "") -> bytes:
    if folder.suffix == ".zip":
        return folder.read_bytes()
    if not folder.is_dir():
        raise DeployError(f"{folder} is named in the template, but is no folder")
    files = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and path.suffix != ".pyc" and not _SKIPPED.intersection(relative.parts):
            files[prefix + relative.as_posix()] = path.read_bytes()
    return _zip(files)


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, body)
    return buffer.getvalue()


def _status(cloudformation: Any, stack: str) -> dict[str, Any] | None:
    try:
        return cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError:
        return None


def _wait(cloudformation: Any, stack: str, since: float) -> dict[str, str]:
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        found = _status(cloudformation, stack)
        status = found["StackStatus"] if found else "DELETED"
        if found and status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
        if not status.endswith("_IN_PROGRESS"):
            raise DeployError(f"The stack {stack} ended as {status}:\n" + _failures(cloudformation, stack, since))
        time.sleep(0.05)
    raise DeployError(
        f"The stack {stack} is not ready after {_SECONDS} seconds:\n{_failures(cloudformation, stack, since)}"
    )


def _failures(cloudformation: Any, stack: str, since: float) -> str:
    """The failure events of this deployment, oldest first."""
    try:
        events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    except ClientError as error:
        return str(error)
    lines = [
        f"  {event['ResourceType']} {event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
        for event in reversed(events)
        if event["ResourceStatus"].endswith("FAILED") and event["Timestamp"].timestamp() >= since - 1
    ]
    return "\n".join(lines) or "  (no failure events)"
