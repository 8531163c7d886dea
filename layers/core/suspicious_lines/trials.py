"""A model on trial: begun and concluded by one write to models/current.json each.

The model is deployed anew from its run's artifact, to an endpoint named after the trial's execution: so that any run's
model can be tried, one that the gate refused or that is long dropped as well, and no deletion of those meets it.
"""

import json
from datetime import UTC, datetime

from msgspec import convert
from msgspec.structs import asdict, replace

from suspicious_lines import store
from suspicious_lines.errors import TrialRefusedError
from suspicious_lines.hosting import can_score, delete_endpoint, settle
from suspicious_lines.layout import RunFiles, resource_name
from suspicious_lines.model_messages import Challenger, LiveModel, ModelChange, ModelVersion, TrialEnd
from suspicious_lines.model_settings import RefuseSettings, RestoreSettings
from suspicious_lines.notifications import Note, publish
from suspicious_lines.promotion import (
    LISTED,
    change_live_model,
    delete_dropped,
    find_live_model,
    replaced,
    threshold_of,
)
from suspicious_lines.score_messages import ModelInUse
from suspicious_lines.trial_messages import (
    Abandoned,
    AbandonTrialRequest,
    BeginTrialRequest,
    ConcludedTrial,
    Prepared,
    TrialOrder,
    TrialRequest,
)
from suspicious_lines.trial_settings import AbandonTrialSettings, PrepareTrialSettings

NO_REASON = "no reason was given"
SETTLE_SECONDS = 600
NO_TRIAL = "No model is on trial: begin with make trial RUN=..."


def prepare_trial(request: TrialRequest, settings: PrepareTrialSettings) -> Prepared:
    """Finds what is to be deployed for the trial.

    Raises:
        TrialRefusedError: models are hosted otherwise, there is no such model, no live one beside which it could be
            tried, or another trial goes on.
    """
    bucket, run = settings.data_bucket, request.order.run
    if settings.hosting_mode != "serverless":
        raise TrialRefusedError(f"HostingMode is {settings.hosting_mode}: trials are of serverless endpoints.")
    _refuse(find_live_model(bucket), request)
    told = store.get_with_etag(bucket, RunFiles(run).receipt) if run else None
    receipt = json.loads(told[0]) if told else {}  # perhaps another version's: only what is needed is read
    if receipt.get("status") != "SUCCEEDED" or (receipt.get("model") or {}).get("run") != run:
        raise TrialRefusedError(f"{run or 'No run'} is no training run that succeeded: its model cannot be tried.")
    if family := receipt.get("family"):
        raise TrialRefusedError(f"The model of run {run} is of the family {family}: trials are of models of none.")
    from suspicious_lines.encoder import Encoder  # numpy, which nothing else here needs

    found = store.get_with_etag(bucket, RunFiles(run).encoder)
    try:
        Encoder.from_json(found[0].decode() if found else "")
    except (ValueError, KeyError, TypeError) as error:
        raise TrialRefusedError(f"The files of run {run} are gone, or another version's: train it again.") from error
    return Prepared(job_name=resource_name(settings.resource_prefix, run))


def _refuse(live: LiveModel | None, request: TrialRequest) -> None:
    if live is None:
        raise TrialRefusedError("No model is live: the first one needs no trial.")
    if live.challenger and live.challenger.trial != request.run:
        raise TrialRefusedError(
            f"The model of run {live.challenger.run} is on trial: conclude that first (make conclude)."
        )
    if live.run == request.order.run:
        raise TrialRefusedError(f"The model of run {live.run} is the live one already.")
    if request.order.run in live.rejected:
        raise TrialRefusedError(f"The model of run {request.order.run} was rejected in the registry.")


def begin_trial(request: BeginTrialRequest, settings: RefuseSettings) -> Challenger:
    """Puts the deployed model on trial and tells the operators; files that are encoded from now on meet it.

    Raises:
        TrialRefusedError: another trial began meanwhile, or the endpoint is gone.
        AwsUnavailableError: others kept changing the live model meanwhile.
    """
    bucket, order = settings.data_bucket, request.order
    chosen = store.get_json(bucket, RunFiles(order.run).result("metrics.json"))["threshold"]["value"]

    def begun(current: LiveModel | None) -> LiveModel:
        _refuse(current, request)
        assert current is not None
        if current.challenger or any(ended.trial == request.run for ended in current.trials):
            return current  # an earlier try began it
        if not can_score(request.endpoint.endpoint_name):
            raise TrialRefusedError(f"{request.endpoint.endpoint_name} is gone: begin again.")
        challenger = Challenger(
            run=order.run,
            endpoint_name=request.endpoint.endpoint_name,
            max_concurrency=request.endpoint.max_concurrency,
            threshold=threshold_of(current, order.run, chosen),
            trial=request.run,
            kind=order.kind,
            share=order.share if order.kind == "ab" else 100,
            began_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        return replace(current, challenger=challenger)

    live = change_live_model(bucket, begun)
    found = [*([live.challenger] if live.challenger else []), *live.trials]
    challenger = next(each for each in found if each.trial == request.run)
    _tell_beginning(challenger, live.run, settings)
    return convert(challenger, Challenger, from_attributes=True)


def abandon_trial(request: AbandonTrialRequest, settings: AbandonTrialSettings) -> Abandoned:
    """Deletes the endpoint of a trial that could not begin.

    Raises:
        EndpointBusyError: the endpoint is changing and cannot be deleted yet.
    """
    name = resource_name(settings.resource_prefix, request.run)
    live = find_live_model(settings.data_bucket)
    if live and live.challenger and live.challenger.trial == request.run:
        return Abandoned(deleted=[])  # it has begun after all: only the answer was lost
    settle(name, SETTLE_SECONDS)
    return Abandoned(deleted=delete_endpoint(name))


def conclude_trial(request: TrialRequest, settings: RestoreSettings) -> ConcludedTrial:
    """Ends the trial: makes the model the live one, or deletes its endpoint; tells the operators.

    Runs that began with an endpoint that is deleted begin again without it. A retry finds the end by its execution.

    Raises:
        TrialRefusedError: no model is on trial, or the one that is to be promoted cannot score, was rejected in the
            registry or is the live one already.
        EndpointBusyError: an endpoint is changing and cannot be deleted yet.
        AwsUnavailableError: others kept changing the live model meanwhile.
    """

    def concluded(current: LiveModel | None) -> LiveModel:
        if current and any(ended.execution == request.run for ended in current.trials):
            return current
        if not current or not current.challenger:
            raise TrialRefusedError(NO_TRIAL)
        return _concluded(current, current.challenger, request, settings.models_kept)

    live = change_live_model(settings.data_bucket, concluded)
    ended = next(ended for ended in live.trials if ended.execution == request.run)
    if ended.promoted:
        delete_dropped(live)
    else:
        delete_endpoint(ended.endpoint_name)
    _tell_end(ended, live.run, settings)
    return ConcludedTrial(run=ended.run, promoted=ended.promoted, live_run=live.run)


def _concluded(current: LiveModel, challenger: Challenger, request: TrialRequest, models_kept: int) -> LiveModel:
    order: TrialOrder = request.order
    reason = order.reason or NO_REASON
    now = datetime.now(UTC).isoformat(timespec="seconds")
    changed = current
    if order.promote:
        if challenger.run in [current.run, *current.rejected] or not can_score(challenger.endpoint_name):
            raise TrialRefusedError(
                f"The model of run {challenger.run} is live, was rejected or cannot score: conclude with PROMOTE=no."
            )
        change = ModelChange(
            at=now,
            what="promoted",
            run=challenger.run,
            threshold=challenger.threshold,
            reason=reason,
            replaced=current.run,
            execution=request.run,
        )
        version = ModelVersion(
            **asdict(convert(challenger, ModelInUse, from_attributes=True)),
            encoder_key=RunFiles(challenger.run).encoder,
            promoted_at=now,
        )
        changed = replaced(current, version, change, models_kept)
    ended = TrialEnd(**asdict(challenger), ended_at=now, promoted=order.promote, reason=reason, execution=request.run)
    return replace(changed, challenger=None, trials=[ended, *current.trials][:LISTED])


def _tell_beginning(challenger: Challenger, live_run: str, settings: RefuseSettings) -> None:
    does = {
        "ab": f"It scores {challenger.share} % of the invoices in place of the model of run {live_run}.",
        "shadow": f"It scores all new lines as well as the model of run {live_run}, and nobody is shown what it says.",
    }
    text = [
        f"The model of run {challenger.run} is on trial since {challenger.began_at}.",
        does[challenger.kind],
        "",
        "What it does so far: make trial-report",
        "To end the trial: make conclude PROMOTE=yes or PROMOTE=no",
        "",
    ]
    note = Note(settings.data_bucket, challenger.trial, "trial-began")
    publish(note, settings.operators_topic_arn, "A model is on trial", "\n".join(text))


def _tell_end(ended: TrialEnd, live_run: str, settings: RefuseSettings) -> None:
    text = [
        f"The trial of the model of run {ended.run} has ended. Live is the model of run {live_run}.",
        "",
        f"Reason: {ended.reason}",
        f"Concluded at {ended.ended_at} by execution {ended.execution}.",
        "",
    ]
    if ended.promoted:
        text += ["To undo it: make rollback", ""]
    note = Note(settings.data_bucket, ended.execution, "trial-ended")
    what = "promoted" if ended.promoted else "not promoted"
    publish(note, settings.operators_topic_arn, f"Trial ended: the model was {what}", "\n".join(text))
