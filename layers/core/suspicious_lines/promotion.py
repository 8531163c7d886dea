"""The live model: models/current.json names it, and one write swaps it."""

from datetime import UTC, datetime

from suspicious_lines import store
from suspicious_lines.errors import AwsUnavailableError
from suspicious_lines.hosting import delete_endpoint
from suspicious_lines.layout import LIVE_MODEL_KEY, RunFiles
from suspicious_lines.messages import FormerModel, LiveModel, PromoteRequest
from suspicious_lines.settings import BucketSettings

TRIES = 5
FORMER_KEPT = 100


def promote_model(request: PromoteRequest, settings: BucketSettings) -> LiveModel:
    """Makes the run's model the live one, then deletes the endpoint and model it replaces.

    Raises:
        AwsUnavailableError: other runs kept swapping the live model meanwhile.
    """
    bucket = settings.data_bucket
    threshold = store.get_json(bucket, RunFiles(request.run).result("metrics.json"))["threshold"]["value"]
    for _ in range(TRIES):
        found = store.get_with_etag(bucket, LIVE_MODEL_KEY)
        current, etag = (LiveModel.model_validate_json(found[0]), found[1]) if found else (None, None)
        if current and any(former.run == request.run for former in current.former):
            return current  # an earlier try was promoted, and replaced since
        if current and current.run == request.run:
            live = current  # an earlier try got as far as this
        else:
            former = (
                [FormerModel(run=current.run, endpoint_name=current.endpoint_name), *current.former] if current else []
            )
            live = LiveModel(
                run=request.run,
                endpoint_name=request.endpoint_name,
                encoder_key=RunFiles(request.run).encoder,
                threshold=threshold,
                promoted_at=datetime.now(UTC).isoformat(timespec="seconds"),
                former=former[:FORMER_KEPT],
            )
            if not store.replace(bucket, LIVE_MODEL_KEY, live.model_dump_json(indent=2) + "\n", etag):
                continue
        if live.former:
            delete_endpoint(live.former[0].endpoint_name)
        return live
    raise AwsUnavailableError(f"{LIVE_MODEL_KEY} changed {TRIES} times while this run tried to replace it")


def live_run(bucket: str) -> str | None:
    """The run whose model is live, if any."""
    found = store.get_with_etag(bucket, LIVE_MODEL_KEY)
    return LiveModel.model_validate_json(found[0]).run if found else None
