"""Deletes all that SageMaker hosts for the stack when the stack is deleted, and answers CloudFormation."""

from suspicious_lines.observability import entry_point
from suspicious_lines.stack_deletion import answer_stack
from suspicious_lines.upkeep_messages import StackAnswer, StackChange
from suspicious_lines.upkeep_settings import HostedSettings

settings = HostedSettings.from_environment()


@entry_point(StackChange)
def handler(request: StackChange) -> StackAnswer:
    return answer_stack(request, settings)
