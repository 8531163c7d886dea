"""template.yaml and the nested stacks under stacks/ as if they were one template, so that every rule holds in all."""

import copy
import re
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

Template = dict[str, Any]
APPLICATION = "AWS::Serverless::Application"
_SUB_REFERENCE = re.compile(r"\$\{([\w.:]+)\}")
# Folders and files: in a nested template they are relative to that file.
_PATHS = ("CodeUri", "DefinitionUri", "ContentUri")


def children(path: Path) -> dict[str, tuple[Path, Template, dict[str, Any]]]:
    """Logical id -> file, template and given parameters of each nested stack; `Options.Registry` is inside Options."""
    found = {}
    for name, resource in yaml_parse(path.read_text())["Resources"].items():
        if resource["Type"] == APPLICATION:
            properties = resource["Properties"]
            child, given = path.parent / properties["Location"], properties["Parameters"]
            found[name] = (child, yaml_parse(child.read_text()), given)
            for deep, (inner, template, own) in children(child).items():
                found[f"{name}.{deep}"] = (inner, template, replaced(own, given))
    return found


def flatten(path: Path) -> Template:
    """The parameters of a nested stack are replaced by what it is given, its outputs by what they are.

    Its Globals are those of the first stack that has any; test_stack.py holds that all have the same.
    """
    flat = _flatten(path, path.parent)
    return flat | {"Globals": chosen(flat["Globals"])}


def _flatten(path: Path, root: Path) -> Template:
    template = yaml_parse(path.read_text())
    for resource in template["Resources"].values():
        for key in _PATHS:
            if isinstance(uri := resource.get("Properties", {}).get(key), str):
                resource["Properties"][key] = (path.parent / uri).resolve().relative_to(root).as_posix()
    outputs: dict[str, Any] = {}
    for name, nested in [(n, r) for n, r in template["Resources"].items() if r["Type"] == APPLICATION]:
        del template["Resources"][name]
        given = nested["Properties"]["Parameters"]
        child = _flatten(path.parent / nested["Properties"]["Location"], root)
        resources = replaced(child["Resources"], given)
        if "Condition" in nested:
            for resource in resources.values():
                resource["Condition"] = nested["Condition"]
        assert not set(resources) & set(template["Resources"]), f"{name}: a logical id is there twice"
        template["Resources"] |= resources
        template.setdefault("Conditions", {}).update(replaced(child.get("Conditions", {}), given))
        if "Globals" in child:
            template.setdefault("Globals", replaced(child["Globals"], given))
        outputs |= {
            f"{name}.Outputs.{key}": replaced(output["Value"], given)
            for key, output in child.get("Outputs", {}).items()
        }
    return replaced(template, outputs)


def chosen(node: Any, conditions: frozenset[str] = frozenset()) -> Any:
    """`node` without the conditions that are decided by one around them."""
    if isinstance(node, list):
        return [chosen(child, conditions) for child in node]
    if not isinstance(node, dict):
        return node
    if "Fn::If" in node:
        name, yes, no = node["Fn::If"]
        if name in conditions:
            return chosen(yes, conditions)
        return {"Fn::If": [name, chosen(yes, conditions | {name}), chosen(no, conditions)]}
    return {key: chosen(child, conditions) for key, child in node.items()}


def replaced(node: Any, given: dict[str, Any]) -> Any:
    """`node` with every reference to a name in `given` replaced by its value."""
    if isinstance(node, list):
        return [replaced(child, given) for child in node]
    if not isinstance(node, dict):
        return node
    if set(node) == {"Ref"} and node["Ref"] in given:
        return copy.deepcopy(given[node["Ref"]])
    if set(node) == {"Fn::GetAtt"} and (name := ".".join(node["Fn::GetAtt"])) in given:
        return copy.deepcopy(given[name])
    if set(node) == {"Fn::Sub"}:
        text, *own = [node["Fn::Sub"]] if isinstance(node["Fn::Sub"], str) else node["Fn::Sub"]
        text = _SUB_REFERENCE.sub(lambda match: _inline(match, given), text)
        return {"Fn::Sub": [text, *replaced(own, given)] if own else text}
    return {key: replaced(value, given) for key, value in node.items()}


def _inline(match: re.Match[str], given: dict[str, Any]) -> str:
    """What stands in a !Sub for a reference to a name in `given`."""
    if match[1] not in given:
        return match[0]
    value = given[match[1]]
    if not isinstance(value, dict):
        return str(value)
    if "Ref" in value:
        return f"${{{value['Ref']}}}"
    if "Fn::GetAtt" in value:
        return f"${{{'.'.join(value['Fn::GetAtt'])}}}"
    if "Fn::If" in value:  # the parameters at their defaults switch nothing on
        return value["Fn::If"][2]
    return value["Fn::Sub"]
