"""Measures how good a candidate's scores are."""

from suspicious_lines.candidate_figures import judge_candidate
from suspicious_lines.candidate_messages import CandidateRequest, JudgedCandidate
from suspicious_lines.candidate_settings import CandidateSettings
from suspicious_lines.observability import entry_point

settings = CandidateSettings.from_environment()


@entry_point(CandidateRequest)
def handler(request: CandidateRequest) -> JudgedCandidate:
    return judge_candidate(request, settings)
