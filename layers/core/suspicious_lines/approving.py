"""What people decide in the model registry: an approved model goes live, a rejected one never does."""

from datetime import UTC, datetime
from typing import Any

from msgspec.structs import asdict, replace

from suspicious_lines import store
from suspicious_lines.aws import client
from suspicious_lines.errors import NoLiveModelError, RunEndedError
from suspicious_lines.hosting import can_score, delete_endpoint
from suspicious_lines.layout import RunFiles, incoming, resource_name
from suspicious_lines.model_messages import LiveModel, ModelChange, ModelVersion
from suspicious_lines.model_settings import RefuseSettings
from suspicious_lines.notifications import Note, publish
from suspicious_lines.promotion import LISTED, change_live_model, find_live_model, replaced, threshold_of
from suspicious_lines.registering import family_of_package, require, run_of
from suspicious_lines.registry_messages import (
    Approval,
    ApprovalRequest,
    ApproveRequest,
    Decided,
    RejectRequest,
    ServingEndpoint,
)
from suspicious_lines.registry_settings import ApprovalSettings, ApproveSettings
from suspicious_lines.restoring import former_that_can_serve, gone_back
from suspicious_lines.scaling import start_scaling

NO_REASON = "no reason was given"
LONGEST_REASON = 500


def read_approval(request: ApprovalRequest, settings: ApprovalSettings) -> Approval:
    """What the registry says now, which may be another thing than the event that started the execution said.

    Raises:
        PackageUnusableError: the package is none of ours, or was approved and files that its model needs are gone.
    """
    package, bucket = _described(request.package), settings.data_bucket
    run, status = run_of(package), package["ModelApprovalStatus"]
    family = family_of_package(package)
    live = find_live_model(bucket, family)
    is_live = live is not None and live.run == run
    kept = next((model for model in (live, *live.former) if model.run == run), None) if live else None
    if status == "Approved" and not is_live:
        files = RunFiles(run)
        require(bucket, run, files.encoder, files.result("metrics.json"), files.result("scored_lines.parquet"))
    return Approval(
        status=status,
        model_run=run,
        family=family,
        job_name=resource_name(settings.resource_prefix, run),
        is_live=live is not None and is_live and run not in live.rejected,
        endpoint=ServingEndpoint(endpoint_name=kept.endpoint_name, max_concurrency=kept.max_concurrency)
        if kept and can_score(kept.endpoint_name)
        else None,
    )


def approve_model(request: ApproveRequest, settings: ApproveSettings) -> Decided:
    """Makes an approved model the live one as a promotion does, and tells the operators. It gets the threshold that it
    had, or that training chose.

    The registry is asked again at each try: a rejection either comes before, and this changes nothing, or finds the
    model live.

    Raises:
        NoLiveModelError: nothing is live that could be replaced.
        RunEndedError: this execution was reported as failed, or its endpoint is gone.
        AwsUnavailableError: others kept changing the live model meanwhile.
        EndpointBusyError: the endpoint of a model that is no longer kept is changing and cannot be deleted yet.
    """
    bucket, run, endpoint = settings.data_bucket, request.model_run, request.endpoint
    chosen = store.get_json(bucket, RunFiles(run).result("metrics.json"))["threshold"]["value"]

    def approved(current: LiveModel | None) -> LiveModel:
        package = _described(request.package)
        if current is None:
            raise NoLiveModelError(
                f"No model is live: train one by dropping past lines under {incoming(request.family)}."
            )
        if any(change.execution == request.run for change in current.history):
            return current  # an earlier try made it live, and perhaps it was replaced since
        if package["ModelApprovalStatus"] != "Approved":
            return current  # taken back meanwhile
        if current.run == run:
            return _unbarred(current, run) if run in current.rejected else current
        if request.run in current.withdrawn or not can_score(endpoint.endpoint_name):
            raise RunEndedError(f"{request.run} was reported as failed, or its endpoint is gone: approve again")
        start_scaling(endpoint.endpoint_name, settings)  # before it is live: what cannot scale must not be
        return _approved(current, request, chosen, _reason(package), settings.models_kept)

    live = change_live_model(bucket, approved, request.family)
    kept = {model.endpoint_name for model in (live, *live.former)}
    # Nor is this execution's endpoint, where another about the same approval was quicker or it was taken back.
    dropped = [name for model in live.dropped for name in (model.endpoint_name, *model.beside)]
    for name in dict.fromkeys([*dropped, endpoint.endpoint_name]):
        if name not in kept:
            delete_endpoint(name)
    if done := _change(live, request.run):
        text = [f"The model of run {done.run} is live, in place of that of run {done.replaced}."]
        _tell(request, "Approved model is live", [*text, "", *_how(done, request)], settings)
    return Decided(live_run=live.run)


def _approved(current: LiveModel, request: ApproveRequest, chosen: float, reason: str, models_kept: int) -> LiveModel:
    run, name = request.model_run, request.endpoint.endpoint_name
    threshold = threshold_of(current, run, chosen)
    change = ModelChange(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        what="approved",
        run=run,
        threshold=threshold,
        reason=reason,
        replaced=current.run,
        execution=request.run,
    )
    version = ModelVersion(
        run=run,
        **asdict(request.endpoint),
        encoder_key=RunFiles(run).encoder,
        threshold=threshold,
        promoted_at=change.at,
        beside=next((past.beside for past in current.former if past.endpoint_name == name), []),
    )
    return _unbarred(replaced(current, version, change, models_kept), run)


def _unbarred(live: LiveModel, run: str) -> LiveModel:
    return replace(live, rejected=[other for other in live.rejected if other != run])


def reject_model(request: RejectRequest, settings: RefuseSettings) -> Decided:
    """Bars a model from going live. If it is the live one, the newest former model takes its place as by a rollback,
    and the operators are told, also where there is none that could.

    Raises:
        AwsUnavailableError: others kept changing the live model meanwhile.
    """
    bucket, run = settings.data_bucket, request.model_run
    if find_live_model(bucket, request.family) is None:
        return Decided(live_run=None)

    def rejected(current: LiveModel | None) -> LiveModel:
        assert current is not None  # it was there a moment ago, and is only ever replaced
        package = _described(request.package)
        if package["ModelApprovalStatus"] != "Rejected":
            return current  # approved again, which is another execution's work
        barred = [run, *(other for other in current.rejected if other != run)][:LISTED]
        noted = current if run in current.rejected else replace(current, rejected=barred)
        former = former_that_can_serve(noted) if current.run == run else None
        return gone_back(noted, former, "rejected", _reason(package), request.run) if former else noted

    live = change_live_model(bucket, rejected, request.family)
    if done := _change(live, request.run):
        text = [f"The model of run {run} was rejected. That of run {done.run} is live again in its place."]
        _tell(request, "Rejected model is not live any more", [*text, "", *_how(done, request)], settings)
    elif live.run == run and run in live.rejected:
        text = [
            f"The model of run {run} was rejected, and it stays live: no former model is kept that could serve.",
            "",
            f"Approve another package, or train a model by dropping past lines under {incoming(request.family)}: it",
            "goes live without a comparison.",
            "",
            f"Package: {request.package}",
            f"Barred by execution {request.run}.",
            "",
        ]
        _tell(request, "Rejected model is still live", text, settings)
    return Decided(live_run=live.run)


def _described(package: str) -> dict[str, Any]:
    return client("sagemaker").describe_model_package(ModelPackageName=package)


def _reason(package: dict[str, Any]) -> str:
    return package.get("ApprovalDescription", "")[:LONGEST_REASON] or NO_REASON


def _change(live: LiveModel, execution: str) -> ModelChange | None:
    return next((change for change in live.history if change.execution == execution), None)


def _how(done: ModelChange, request: ApprovalRequest) -> list[str]:
    return [
        f"Reason: {done.reason}",
        f"Package: {request.package}",
        f"Done at {done.at} by execution {request.run}.",
        "",
        "Files that began before then end with the model they began with.",
        "",
    ]


def _tell(request: ApprovalRequest, subject: str, text: list[str], settings: RefuseSettings | ApproveSettings) -> None:
    note = Note(settings.data_bucket, request.run, "decided")
    publish(note, settings.operators_topic_arn, subject, "\n".join(text))
