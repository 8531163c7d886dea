"""Compares what a model in the shadow said of a run with what the live one said."""

from suspicious_lines.observability import entry_point
from suspicious_lines.settings import BucketSettings
from suspicious_lines.shadow_agreement import compare_shadow
from suspicious_lines.trial_messages import CompareShadowRequest
from suspicious_lines.trial_report import Agreement

settings = BucketSettings.from_environment()


@entry_point(CompareShadowRequest)
def handler(request: CompareShadowRequest) -> Agreement:
    return compare_shadow(request, settings)
