"""Writes what a run was made with and how good it is into the experiment."""

from suspicious_lines.observability import entry_point
from suspicious_lines.tracking import track_run
from suspicious_lines.tracking_messages import Tracked, TrackRequest
from suspicious_lines.tracking_settings import TrackSettings

settings = TrackSettings.from_environment()


@entry_point(TrackRequest)
def handler(request: TrackRequest) -> Tracked:
    return track_run(request, settings)
