"""Executions as upkeep sees them: started again, still running, or how they ended."""

import json
from typing import Any

from botocore.exceptions import ClientError

from suspicious_lines.aws import client, error_code
from suspicious_lines.messages import Upload


def start(state_machine_arn: str, upload: Upload) -> None:
    """Starts a workflow as S3's event about the upload would have."""
    client("stepfunctions").start_execution(stateMachineArn=state_machine_arn, input=json.dumps(upload.as_detail()))


def find(state_machine_arn: str, run: str) -> dict[str, Any] | None:
    """What Step Functions says of a run, or None where there is none of this name: it forgets them after 90 days."""
    arn = f"{state_machine_arn.replace(':stateMachine:', ':execution:')}:{run}"
    try:
        return client("stepfunctions").describe_execution(executionArn=arn)
    except ClientError as error:
        if error_code(error) != "ExecutionDoesNotExist":
            raise
        return None


def running(state_machine_arn: str) -> list[str]:
    """The names of the executions that have not ended."""
    pages = client("stepfunctions").get_paginator("list_executions")
    found = pages.paginate(stateMachineArn=state_machine_arn, statusFilter="RUNNING")
    return [execution["name"] for page in found for execution in page["executions"]]


def report_end(function_arn: str, execution: dict[str, Any]) -> None:
    """Hands the end of an execution to ReportFailure, as the status-change rule does; it is dealt with later."""
    said = {name: execution.get(name) for name in ("name", "executionArn", "status", "input", "error", "cause")}
    said["startDate"] = execution["startDate"].isoformat()
    client("lambda").invoke(FunctionName=function_arn, InvocationType="Event", Payload=json.dumps(said))
