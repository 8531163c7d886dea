"""The live model: models/current.json names it, and one write swaps it."""

from datetime import UTC, datetime

from suspicious_lines import parking, store
from suspicious_lines.errors import AwsUnavailableError, NoLiveModelError
from suspicious_lines.hosting import delete_endpoint
from suspicious_lines.layout import LIVE_MODEL_KEY, RunFiles
from suspicious_lines.messages import LiveModel, ModelChange, ModelVersion, PromoteRequest
from suspicious_lines.settings import PromoteSettings

TRIES = 5
LISTED = 100
# Deleting is repeated for a few more models than the one that fell out, should an earlier deletion have been lost.
DELETED_AGAIN = 2


def promote_model(request: PromoteRequest, settings: PromoteSettings) -> LiveModel:
    """Makes the run's model the live one, deletes the endpoints that are no longer kept and starts parked uploads.

    The models before it stay for `models_kept` in all: runs that began with them end with them.

    Raises:
        AwsUnavailableError: other runs kept swapping the live model meanwhile.
    """
    bucket = settings.data_bucket
    live = _swap(request, bucket)
    dropped = live.former[settings.models_kept - 1 :]
    for former in dropped[: 1 + DELETED_AGAIN]:
        delete_endpoint(former.endpoint_name)
    parking.start_parked(bucket, settings.score_state_machine_arn)
    return live


def _swap(request: PromoteRequest, bucket: str) -> LiveModel:
    threshold = store.get_json(bucket, RunFiles(request.run).result("metrics.json"))["threshold"]["value"]
    for _ in range(TRIES):
        found = store.get_with_etag(bucket, LIVE_MODEL_KEY)
        current, etag = (LiveModel.model_validate_json(found[0]), found[1]) if found else (None, None)
        if current and request.run in {current.run, *(former.run for former in current.former)}:
            return current  # an earlier try was promoted, and perhaps replaced since
        now = datetime.now(UTC).isoformat(timespec="seconds")
        change = ModelChange(at=now, what="promoted", run=request.run, threshold=threshold, reason="trained")
        live = LiveModel(
            run=request.run,
            endpoint_name=request.endpoint_name,
            max_concurrency=request.max_concurrency,
            encoder_key=RunFiles(request.run).encoder,
            threshold=threshold,
            promoted_at=now,
            former=[_version(current), *current.former][:LISTED] if current else [],
            history=[change, *current.history][:LISTED] if current else [change],
        )
        if store.replace(bucket, LIVE_MODEL_KEY, live.model_dump_json(indent=2) + "\n", etag):
            return live
    raise AwsUnavailableError(f"{LIVE_MODEL_KEY} changed {TRIES} times while this run tried to replace it")


def _version(live: LiveModel) -> ModelVersion:
    return ModelVersion.model_validate(live.model_dump(include=set(ModelVersion.model_fields)))


def live_model(bucket: str) -> LiveModel:
    """The live model.

    Raises:
        NoLiveModelError: none was promoted yet.
    """
    found = store.get_with_etag(bucket, LIVE_MODEL_KEY)
    if not found:
        raise NoLiveModelError("No model is live yet: train one by dropping past lines under incoming/.")
    return LiveModel.model_validate_json(found[0])
