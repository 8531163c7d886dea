"""Brings uploads that have not ended to an end, and tells people of those that it cannot."""

from msgspec.structs import asdict

from suspicious_lines.observability import count, entry_point, logger
from suspicious_lines.sweeping import sweep_uploads
from suspicious_lines.upkeep_messages import Swept, UpkeepRequest
from suspicious_lines.upkeep_settings import SweepSettings

settings = SweepSettings.from_environment()


@entry_point(UpkeepRequest)
def handler(_: UpkeepRequest) -> Swept:
    swept = sweep_uploads(settings)
    logger.info("Swept", **asdict(swept))
    if swept.stuck:  # a metric costs money while it is written
        count(UploadsStuck=swept.stuck)
    return swept
