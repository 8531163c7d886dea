"""What EventBridge and the approve workflow hand to the functions of the model registry and get back."""

from typing import Literal

from pydantic import AwareDatetime, Field

from suspicious_lines.messages import Family, Message, Run

Package = Field(pattern=r"^arn:aws[a-z-]*:sagemaker:[^:]+:\d{12}:model-package/\S+$", description="its ARN")


class RegisterRequest(Message):
    """The detail of Step Functions' status-change event of a training run that succeeded."""

    run: str = Field(alias="name", pattern=r"^[^/\s]{1,80}$")
    execution_arn: str = Field(alias="executionArn")
    started_at: AwareDatetime = Field(alias="startDate")


class Registered(Message):
    """`package`: the run's, made now or before; null where the run trained no model."""

    package: str | None


class ApprovalRequest(Message):
    """`run` is the approval's own execution."""

    run: str = Run
    package: str = Package


class ServingEndpoint(Message):
    endpoint_name: str
    max_concurrency: int


class Approval(Message):
    """What was decided in the registry about the model of `model_run`, as it stands now; `is_live`: whether that model
    is the live one, and not barred; `endpoint`: the model's, where it is kept; null where one must be made from the
    artifact of `job_name`."""

    status: Literal["Approved", "Rejected", "PendingManualApproval"]
    model_run: str
    family: str = Family
    job_name: str
    is_live: bool
    endpoint: ServingEndpoint | None


class ApproveRequest(ApprovalRequest):
    model_run: str
    family: str = Family
    endpoint: ServingEndpoint


class RejectRequest(ApprovalRequest):
    model_run: str
    family: str = Family


class Decided(Message):
    """The run whose model is live now."""

    live_run: str | None
