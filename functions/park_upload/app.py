"""Keeps an upload for the first model, where none is live yet."""

from suspicious_lines.observability import entry_point
from suspicious_lines.parking import park_upload
from suspicious_lines.score_messages import Parked, ParkRequest
from suspicious_lines.settings import ParkSettings

settings = ParkSettings.from_environment()


@entry_point(ParkRequest)
def handler(request: ParkRequest) -> Parked:
    return park_upload(request, settings)
