"""The live model, of each family its own: models/current.json names it, and one write swaps it."""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import msgspec
from msgspec import convert
from msgspec.structs import asdict

from suspicious_lines import parking, store
from suspicious_lines.errors import AwsUnavailableError, ChampionChangedError, NoLiveModelError, RunEndedError
from suspicious_lines.hosting import can_score, delete_endpoint, exists
from suspicious_lines.layout import RunFiles, incoming, live_model_key
from suspicious_lines.model_messages import LiveModel, ModelChange, ModelVersion, PromoteRequest, Refused, RefuseRequest
from suspicious_lines.model_settings import PromoteSettings, RefuseSettings
from suspicious_lines.notifications import Note, publish
from suspicious_lines.scaling import start_scaling

TRIES = 5
LISTED = 100
# Deletions are repeated for as many, should earlier ones have been lost: more than one promotion can ever drop.
DROPPED_LISTED = 12


def promote_model(request: PromoteRequest, settings: PromoteSettings) -> LiveModel:
    """Makes the run's model the live one, deletes the endpoints that are no longer kept and starts parked uploads.

    The models before it stay for `models_kept` in all: runs that began with them end with them, and a rollback finds
    them. A model is listed as dropped before its endpoint is deleted, and no dropped one goes live again, so that
    nobody can go back to an endpoint that is about to be deleted.

    Raises:
        ChampionChangedError: the live model is another than the one that this run's was compared with.
        RunEndedError: the run was reported as failed.
        AwsUnavailableError: other runs kept swapping the live model meanwhile.
    """
    bucket = settings.data_bucket
    threshold = store.get_json(bucket, RunFiles(request.run).result("metrics.json"))["threshold"]["value"]

    def promoted(current: LiveModel | None) -> LiveModel:
        if current and any(change.run == request.run for change in current.history):
            return current  # an earlier try was promoted, and perhaps replaced since
        live_run = current.run if current else None
        if live_run != request.live_run:
            raise ChampionChangedError(f"{live_run or 'no model'} is live and not {request.live_run or 'none'}")
        withdrawn = current is not None and request.run in current.withdrawn
        if withdrawn or not can_score(request.endpoint_name):
            raise RunEndedError(
                f"run {request.run} was reported as failed, or its endpoint is gone: drop the file again"
            )
        start_scaling(request.endpoint_name, settings)  # before it is live: what cannot scale must not be
        return _promoted(current, request, threshold, settings.models_kept)

    live = change_live_model(bucket, promoted, request.family)
    delete_dropped(live)
    parking.start_parked(bucket, settings.score_state_machine_arn, request.family)
    return live


def delete_dropped(live: LiveModel) -> None:
    """Deletes the endpoints that a promotion listed as no longer kept.

    Raises:
        EndpointBusyError: one is changing and cannot be deleted yet.
    """
    for dropped in live.dropped:
        for name in (dropped.endpoint_name, *dropped.beside):
            delete_endpoint(name)


def _promoted(current: LiveModel | None, request: PromoteRequest, threshold: float, models_kept: int) -> LiveModel:
    change = ModelChange(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        what="promoted",
        run=request.run,
        threshold=threshold,
        reason=request.reason,
        replaced=request.live_run,
    )
    promoted = ModelVersion(
        run=request.run,
        endpoint_name=request.endpoint_name,
        max_concurrency=request.max_concurrency,
        encoder_key=RunFiles(request.run).encoder,
        threshold=threshold,
        promoted_at=change.at,
    )
    return replaced(current, promoted, change, models_kept)


def replaced(current: LiveModel | None, new: ModelVersion, change: ModelChange, models_kept: int) -> LiveModel:
    """The live model once `new` has taken its place: those before it are former ones, as many as are kept and can
    score; the others are dropped, and their endpoints may be deleted once this is written."""
    before = [version_of(current), *current.former] if current else []
    before = [former for former in before if former.endpoint_name != new.endpoint_name]
    kept: list[ModelVersion] = []
    for former in before:
        if len(kept) == models_kept - 1:
            break
        if former.run != new.run and can_score(former.endpoint_name):
            kept.append(former)
    dropped = [former for former in before if former not in kept] + (current.dropped if current else [])
    return LiveModel(
        **asdict(new),
        former=kept,
        dropped=dropped[:DROPPED_LISTED],
        withdrawn=current.withdrawn if current else [],
        rejected=current.rejected if current else [],
        challenger=current.challenger if current else None,
        trials=current.trials if current else [],
        history=[change, *(current.history if current else [])][:LISTED],
    )


def threshold_of(current: LiveModel, run: str, chosen: float) -> float:
    """The threshold of a model that goes live once more: what verdicts made of it, or what its training chose."""
    return next((past.threshold for past in (*current.former, *current.dropped) if past.run == run), chosen)


def withdraw(bucket: str, run: str, hosted: list[str], families: Iterable[str] = ("",)) -> bool:
    """Keeps the model of a failed run from going live in any of these families, so that its endpoint can be deleted,
    which has one of the names in `hosted`. False where it is live, or kept to go back to. The endpoint of an approval,
    whose run is its execution, is that of another run's model.

    It is noted in what promotions replace on condition: one that is under way has either happened, or does not.
    Before the first promotion of all there is nothing to note it in.

    Raises:
        AwsUnavailableError: others kept changing the live model meanwhile.
    """
    return all(_withdrawn(bucket, live_model_key(family), run, hosted) for family in families)


def _withdrawn(bucket: str, key: str, run: str, hosted: list[str]) -> bool:
    for _ in range(TRIES):
        found = store.get_with_etag(bucket, key)
        models = json.loads(found[0]) if found else {}  # perhaps another version's: only what is needed is read
        kept = [models, *models.get("former", [])]
        if any(run == model.get("run") or model.get("endpoint_name") in hosted for model in kept):
            return False
        noted = models.get("withdrawn", [])
        if not found or run in noted or not any(map(exists, hosted)):
            return True
        if store.replace(bucket, key, store.json_text(models | {"withdrawn": [run, *noted][:LISTED]}), found[1]):
            return True
    raise AwsUnavailableError(f"{key} changed {TRIES} times while run {run} was to be noted in it")


def refuse_model(request: RefuseRequest, settings: RefuseSettings) -> Refused:
    """Deletes a model that is not as good as the live one and tells the operators; told last, so that a try that was
    broken off before is told once.

    Raises:
        EndpointBusyError: the endpoint is changing and cannot be deleted yet.
    """
    bucket, files = settings.data_bucket, RunFiles(request.run)
    comparison = store.get_json(bucket, files.result("comparison.json"))
    deleted = delete_endpoint(request.endpoint_name)
    text = [
        f"The model that run {request.run} trained on {request.upload.name} was not promoted:",
        f"{comparison['reason']}.",
        "",
        f"The model of run {comparison['champion']} stays live, and the new one's endpoint is deleted. The lines of",
        "the file were scored by the new model, and the reviewers have been told.",
        "",
        "See whether the file's lines are right. If they are and the new model should serve all the same, raise",
        "PromotionMargin or lower PromotionAgreement and drop the file again.",
        "",
        f"Figures: s3://{bucket}/{files.result('comparison.json')}",
        "",
    ]
    subject = f"New model not promoted: {request.upload.name}"
    publish(Note(bucket, request.run, "not-promoted"), settings.operators_topic_arn, subject, "\n".join(text))
    return Refused(deleted=deleted)


def change_live_model(bucket: str, change: Callable[[LiveModel | None], LiveModel], family: str = "") -> LiveModel:
    """Writes what `change` makes of the live model, unless somebody else has written meanwhile: then of theirs. What
    comes back unchanged is not written.

    Raises:
        AwsUnavailableError: others kept changing it meanwhile.
    """
    key = live_model_key(family)
    for _ in range(TRIES):
        found = store.get_with_etag(bucket, key)
        current, etag = (msgspec.json.decode(found[0], type=LiveModel), found[1]) if found else (None, None)
        changed = change(current)
        if changed is current or store.replace(bucket, key, store.json_text(changed), etag):
            return changed
    raise AwsUnavailableError(f"{key} changed {TRIES} times while this run tried to replace it")


def version_of(live: LiveModel) -> ModelVersion:
    return convert(live, ModelVersion, from_attributes=True)


def find_live_model(bucket: str, family: str = "") -> LiveModel | None:
    found = store.get_with_etag(bucket, live_model_key(family))
    return msgspec.json.decode(found[0], type=LiveModel) if found else None


def live_models(bucket: str, families: Iterable[str]) -> list[LiveModel]:
    """The live model of no family and those of these, where there are any."""
    return [live for family in ("", *families) if (live := find_live_model(bucket, family))]


def live_model(bucket: str, family: str = "") -> LiveModel:
    """The live model of a family, or of none.

    Raises:
        NoLiveModelError: none was promoted yet.
    """
    live = find_live_model(bucket, family)
    if live is None:
        raise NoLiveModelError(f"No model is live yet: train one by dropping past lines under {incoming(family)}.")
    return live
