"""Deletes what nobody needs any more: endpoints, models and jobs without a run, and files of old runs."""

from msgspec.structs import asdict

from suspicious_lines.observability import count, entry_point, logger
from suspicious_lines.orphans import delete_orphans
from suspicious_lines.upkeep_messages import Cleared, UpkeepRequest
from suspicious_lines.upkeep_settings import OrphanSettings

settings = OrphanSettings.from_environment()


@entry_point(UpkeepRequest)
def handler(_: UpkeepRequest) -> Cleared:
    cleared = delete_orphans(settings)
    logger.info("Deleted", **asdict(cleared))
    if cleared.hosted:  # a metric costs money while it is written
        count(OrphansDeleted=len(cleared.hosted))
    return cleared
