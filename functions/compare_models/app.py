"""Decides whether a run's model may replace the live one."""

from suspicious_lines.messages import Decision
from suspicious_lines.model_messages import CompareRequest
from suspicious_lines.model_settings import CompareSettings
from suspicious_lines.observability import entry_point
from suspicious_lines.promotion_gate import compare_models

settings = CompareSettings.from_environment()


@entry_point(CompareRequest)
def handler(request: CompareRequest) -> Decision:
    return compare_models(request, settings)
