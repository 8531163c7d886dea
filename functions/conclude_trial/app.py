"""Ends a trial: makes the model the live one, or deletes its endpoint."""

from suspicious_lines.model_settings import RestoreSettings
from suspicious_lines.observability import entry_point
from suspicious_lines.trial_messages import ConcludedTrial, TrialRequest
from suspicious_lines.trials import conclude_trial

settings = RestoreSettings.from_environment()


@entry_point(TrialRequest)
def handler(request: TrialRequest) -> ConcludedTrial:
    return conclude_trial(request, settings)
