"""The expressions of a pipeline definition: what is known only when the pipeline runs.

https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-properties.html
"""

from typing import Any

Expression = dict[str, Any]


def get(path: str) -> Expression:
    """A parameter, a property of the execution, or what Describe tells of a step that has ended."""
    return {"Get": path}


def join(*values: str | Expression, on: str = "") -> Expression:
    return {"Std:Join": {"On": on, "Values": list(values)}}


def text(value: Expression) -> Expression:
    """A number as the string that hyperparameters and environments are made of."""
    return join(value)


def json_get(step: str, file: str, path: str) -> Expression:
    """A value in a property file, which a processing step wrote."""
    return {"Std:JsonGet": {"PropertyFile": get(f"Steps.{step}.PropertyFiles.{file}"), "Path": path}}


def compare(kind: str, left: Expression, right: Expression | float) -> Expression:
    return {"Type": kind, "LeftValue": left, "RightValue": right}
