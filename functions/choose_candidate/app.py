"""Chooses the best candidate of a sweep and tells the operators."""

from suspicious_lines.candidate_messages import ChooseRequest, Chosen
from suspicious_lines.candidate_settings import SweepEndSettings
from suspicious_lines.observability import entry_point
from suspicious_lines.sweep_end import choose_candidate

settings = SweepEndSettings.from_environment()


@entry_point(ChooseRequest)
def handler(request: ChooseRequest) -> Chosen:
    return choose_candidate(request, settings)
