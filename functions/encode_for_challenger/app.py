"""Encodes the lines that a run has scored for a model in the shadow."""

from suspicious_lines.observability import entry_point
from suspicious_lines.settings import BucketSettings
from suspicious_lines.shadow import encode_for_challenger
from suspicious_lines.trial_messages import Shadow, ShadowRequest

settings = BucketSettings.from_environment()


@entry_point(ShadowRequest)
def handler(request: ShadowRequest) -> Shadow:
    return encode_for_challenger(request, settings)
