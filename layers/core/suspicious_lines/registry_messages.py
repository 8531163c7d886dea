"""What EventBridge and the approve workflow hand to the functions of the model registry and get back."""

from typing import Annotated, Literal

from msgspec import Meta, field

from suspicious_lines.messages import ExecutionEvent, Family, Message, Run

Package = Annotated[
    str, Meta(pattern=r"^arn:aws[a-z-]*:sagemaker:[^:]+:\d{12}:model-package/\S+\Z", description="its ARN")
]


class RegisterRequest(ExecutionEvent):
    """Of a training run that succeeded."""

    execution_arn: str = field(name="executionArn")


class Registered(Message):
    """`package`: the run's, made now or before; null where the run trained no model."""

    package: str | None


class ApprovalRequest(Message):
    """`run` is the approval's own execution."""

    run: Run
    package: Package


class ServingEndpoint(Message):
    endpoint_name: str
    max_concurrency: int


class Approval(Message):
    """What was decided in the registry about the model of `model_run`, as it stands now; `is_live`: whether that model
    is the live one, and not barred; `endpoint`: the model's, where it is kept; null where one must be made from the
    artifact of `job_name`."""

    status: Literal["Approved", "Rejected", "PendingManualApproval"]
    model_run: str
    family: Family = ""
    job_name: str
    is_live: bool
    endpoint: ServingEndpoint | None


class ApproveRequest(ApprovalRequest):
    model_run: str
    family: Family = ""
    endpoint: ServingEndpoint


class RejectRequest(ApprovalRequest):
    model_run: str
    family: Family = ""


class Decided(Message):
    """The run whose model is live now."""

    live_run: str | None
