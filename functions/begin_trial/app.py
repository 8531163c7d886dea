"""Puts a deployed model on trial beside the live one."""

from suspicious_lines.model_messages import Challenger
from suspicious_lines.model_settings import RefuseSettings
from suspicious_lines.observability import entry_point
from suspicious_lines.trial_messages import BeginTrialRequest
from suspicious_lines.trials import begin_trial

settings = RefuseSettings.from_environment()


@entry_point(BeginTrialRequest)
def handler(request: BeginTrialRequest) -> Challenger:
    return begin_trial(request, settings)
