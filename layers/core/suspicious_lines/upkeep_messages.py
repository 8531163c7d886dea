"""What schedules and CloudFormation hand to the functions of upkeep, and what these answer."""

from typing import Any, Literal

from msgspec import field

from suspicious_lines.messages import Message, Run


class UpkeepRequest(Message):
    """What a schedule sends; `run` is its own id of this invocation."""

    run: Run


class Swept(Message):
    """What a sweep found: uploads that it started, ends of runs that it reported, uploads that it has given up, files
    that no workflow takes."""

    started: int = 0
    reported: int = 0
    stuck: int = 0
    untaken: int = 0


class Cleared(Message):
    """What was deleted or stopped, in words, and the runs whose files were deleted."""

    hosted: list[str]
    runs: list[str] = []


class StackChange(Message):
    """CloudFormation's request to a custom resource, as far as it is read. One that has a model package group stands
    for the packages in it; one that has an experiment for that and all in it.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requests.html
    """

    run: Run = field(name="RequestId")
    kind: Literal["Create", "Update", "Delete"] = field(name="RequestType")
    response_url: str = field(name="ResponseURL")
    stack_id: str = field(name="StackId")
    logical_id: str = field(name="LogicalResourceId")
    properties: dict[str, Any] = field(name="ResourceProperties")

    @property
    def model_package_group(self) -> str | None:
        return self.properties.get("ModelPackageGroupName")

    @property
    def experiment(self) -> str | None:
        return self.properties.get("ExperimentName")


class StackAnswer(Message):
    status: Literal["SUCCESS", "FAILED"]
    reason: str
