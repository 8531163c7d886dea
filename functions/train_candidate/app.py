"""Starts the training job of a candidate."""

from suspicious_lines.candidate_messages import CandidateJob, CandidateRequest
from suspicious_lines.candidate_settings import TrainCandidateSettings
from suspicious_lines.candidates import train_candidate
from suspicious_lines.observability import entry_point

settings = TrainCandidateSettings.from_environment()


@entry_point(CandidateRequest)
def handler(request: CandidateRequest) -> CandidateJob:
    return train_candidate(request, settings)
