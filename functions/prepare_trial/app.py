"""Finds what is to be deployed for the trial of a model."""

from suspicious_lines.observability import entry_point
from suspicious_lines.trial_messages import Prepared, TrialRequest
from suspicious_lines.trial_settings import PrepareTrialSettings
from suspicious_lines.trials import prepare_trial

settings = PrepareTrialSettings.from_environment()


@entry_point(TrialRequest)
def handler(request: TrialRequest) -> Prepared:
    return prepare_trial(request, settings)
