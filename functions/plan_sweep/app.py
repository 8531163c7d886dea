"""Checks what a sweep was asked to try, and makes the grid of candidates."""

from suspicious_lines.candidate_messages import PlanRequest, SweepPlan
from suspicious_lines.candidate_settings import PlanSettings
from suspicious_lines.candidates import plan_sweep
from suspicious_lines.observability import entry_point

settings = PlanSettings.from_environment()


@entry_point(PlanRequest)
def handler(request: PlanRequest) -> SweepPlan:
    return plan_sweep(request, settings)
