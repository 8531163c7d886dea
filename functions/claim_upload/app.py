"""Claims an upload for one execution: the first of several deliveries wins."""

from suspicious_lines.claims import claim
from suspicious_lines.layout import family_of
from suspicious_lines.messages import Claim, ClaimRequest, Upload
from suspicious_lines.observability import entry_point, logger
from suspicious_lines.settings import ClaimSettings, family_names

settings = ClaimSettings.from_environment()


@entry_point(ClaimRequest)
def handler(request: ClaimRequest) -> Claim:
    upload = Upload.from_detail(request.detail)
    claimed = claim(settings.claim_table, upload, request.run)
    if not claimed:
        logger.info("Another execution owns this upload", key=upload.key, version_id=upload.version_id)
    family = family_of(upload.key, family_names(settings.families))
    return Claim(run=request.run, upload=upload, family=family, claimed=claimed, limits=settings.size_limits())
