"""Tells the operators what has drifted."""

from suspicious_lines.drift_mail import report_drift
from suspicious_lines.messages import Notified
from suspicious_lines.monitor_messages import DriftMailRequest
from suspicious_lines.monitor_settings import DriftMailSettings
from suspicious_lines.observability import entry_point

settings = DriftMailSettings.from_environment()


@entry_point(DriftMailRequest)
def handler(request: DriftMailRequest) -> Notified:
    return report_drift(request, settings)
