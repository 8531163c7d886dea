"""Going back to a former model by one write: nothing is trained, deployed or deleted."""

from datetime import UTC, datetime
from typing import Literal

from msgspec.structs import asdict

from suspicious_lines.errors import NoFormerModelError
from suspicious_lines.hosting import can_score
from suspicious_lines.model_messages import LiveModel, ModelChange, ModelVersion, Restored, RestoreRequest
from suspicious_lines.model_settings import RestoreSettings
from suspicious_lines.notifications import Note, publish
from suspicious_lines.promotion import LISTED, change_live_model, version_of

NO_REASON = "no reason was given"


def restore_model(request: RestoreRequest, settings: RestoreSettings) -> Restored:
    """Makes a former model the live one, with the threshold it had; the live one becomes the newest former one.

    Promotions keep as many former models as before, and the endpoints of the same ones. A retry finds the rollback in
    the history by its execution, so that a model that went live since then stays.

    Raises:
        NoFormerModelError: there is no such model, or its endpoint cannot score.
        AwsUnavailableError: others kept changing the live model meanwhile.
    """

    def restored(current: LiveModel | None) -> LiveModel:
        if current is None:
            whose = f" of the family {request.order.family}" if request.order.family else ""
            raise NoFormerModelError(f"No model{whose} was ever live, so there is none to go back to.")
        if any(change.execution == request.run for change in current.history):
            return current
        wanted = _wanted(current, request.order.run, settings.models_kept)
        reason = request.order.reason or NO_REASON
        return gone_back(current, wanted, "rolled back", reason, request.run)

    live = change_live_model(settings.data_bucket, restored, request.order.family)
    done = next(change for change in live.history if change.execution == request.run)
    _tell(done, request, settings)
    return Restored(run=done.run, replaced=done.replaced)


def _wanted(current: LiveModel, run: str, models_kept: int) -> ModelVersion:
    if run == current.run:
        raise NoFormerModelError(f"The model of run {run} is the live one already.")
    if run in current.rejected:
        raise NoFormerModelError(f"The model of run {run} was rejected in the registry: approve its package there.")
    if found := former_that_can_serve(current, run):
        return found
    wanted = f"The model of run {run} cannot be gone back to" if run else "There is no model to go back to"
    kept = ", ".join(former.run for former in current.former) or "none"
    raise NoFormerModelError(
        f"{wanted}: former models that were kept: {kept}. One can serve again only while its endpoint is there, and "
        f"ModelsKept ({models_kept}) is how many endpoints stay, the live model's included."
    )


def former_that_can_serve(current: LiveModel, run: str = "") -> ModelVersion | None:
    """The newest former model, or that of `run`, that can score and was not rejected; None where there is none."""
    for former in current.former:
        if run in {"", former.run} and former.run not in current.rejected and can_score(former.endpoint_name):
            return former
    return None


def gone_back(
    current: LiveModel, wanted: ModelVersion, what: Literal["rolled back", "rejected"], reason: str, execution: str
) -> LiveModel:
    """The live model once a former one has taken its place again; what was live is the newest former one."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    change = ModelChange(
        at=now,
        what=what,
        run=wanted.run,
        threshold=wanted.threshold,
        reason=reason,
        replaced=current.run,
        execution=execution,
    )
    return LiveModel(
        **asdict(wanted) | {"promoted_at": now},
        former=[version_of(current), *(former for former in current.former if former.run != wanted.run)],
        dropped=current.dropped,
        withdrawn=current.withdrawn,
        rejected=current.rejected,
        challenger=current.challenger,
        trials=current.trials,
        history=[change, *current.history][:LISTED],
    )


def _tell(done: ModelChange, request: RestoreRequest, settings: RestoreSettings) -> None:
    execution, family = request.run, request.order.family
    text = [
        f"The model of run {done.run} is live again, in place of that of run {done.replaced}.",
        "",
        f"Reason: {done.reason}",
        f"Rolled back at {done.at} by execution {execution}.",
        "",
        "Files that began before then end with the model they began with. To undo it:",
        f"make rollback RUN={done.replaced}{f' FAMILY={family}' if family else ''}",
        "",
    ]
    note = Note(settings.data_bucket, execution, "rolled-back")
    publish(note, settings.operators_topic_arn, "Went back to a former model", "\n".join(text))
