"""Deletes the endpoint of a trial that could not begin."""

from suspicious_lines.observability import entry_point
from suspicious_lines.trial_messages import Abandoned, AbandonTrialRequest
from suspicious_lines.trial_settings import AbandonTrialSettings
from suspicious_lines.trials import abandon_trial

settings = AbandonTrialSettings.from_environment()


@entry_point(AbandonTrialRequest)
def handler(request: AbandonTrialRequest) -> Abandoned:
    return abandon_trial(request, settings)
