"""Starts the transform job that scores the run's lines by a candidate."""

from suspicious_lines.candidate_messages import CandidateJob, CandidateRequest
from suspicious_lines.candidates import score_candidate
from suspicious_lines.large_settings import BatchSettings
from suspicious_lines.observability import entry_point

settings = BatchSettings.from_environment()


@entry_point(CandidateRequest)
def handler(request: CandidateRequest) -> CandidateJob:
    return score_candidate(request, settings)
