"""A sweep: other forests trained on a run's prepared lines, by the run's own training job but for two hyperparameters,
and asked by a transform job. docs/sweep.md is about it.

All that SageMaker has of a candidate has one name, derived from the sweep and the candidate: a retry finds what it made
before, and the end of a sweep that fails finds what to stop.
"""

from typing import Any

from botocore.exceptions import ClientError
from msgspec import convert

from suspicious_lines import store
from suspicious_lines.aws import client, error_code, error_message, found
from suspicious_lines.batch_transform import name_in_job, transform_job
from suspicious_lines.candidate_messages import (
    Candidate,
    CandidateJob,
    CandidateRequest,
    PlanRequest,
    SweepPlan,
)
from suspicious_lines.candidate_settings import PlanSettings, TrainCandidateSettings
from suspicious_lines.costs import job_cost
from suspicious_lines.errors import RunEndedError, SweepRefusedError, TrainingFailedError
from suspicious_lines.jobs import TRAINING, TRANSFORM, Kind, stop
from suspicious_lines.large_messages import TransformRequest
from suspicious_lines.large_settings import BatchSettings
from suspicious_lines.layout import RunFiles, resource_name, run_tags
from suspicious_lines.receipts import find_receipt

VALIDATION, PLANTED = "validation", "planted"
SHORTEST_JOB_SECONDS = 300  # what a job is taken to be billed for at least: its instance starts, and loads the image


def plan_sweep(request: PlanRequest, settings: PlanSettings) -> SweepPlan:
    """The candidates of a sweep.

    Raises:
        SweepRefusedError: the run left nothing to train or to try them on, or they could cost too much.
    """
    run, bucket = request.order.run, settings.data_bucket
    files, receipt = RunFiles(run), find_receipt(settings.data_bucket, run)
    if receipt is None or receipt.promotion is None:
        raise SweepRefusedError(f"run {run} trained no model, or has not ended")
    name = resource_name(settings.resource_prefix, run)
    job = found(client("sagemaker").describe_training_job, TrainingJobName=name)
    if not job or not store.keys(bucket, files.train_features) or not parts_of(bucket, files, VALIDATION):
        raise SweepRefusedError(f"the prepared lines of run {run} are gone: drop the file again")
    own = _own(job)
    candidates = request.order.grid()
    cost = _estimate(job, own, candidates, settings.batch_instance_type)
    if cost is None:
        raise SweepRefusedError("the price table does not know TrainingInstanceType or BatchInstanceType")
    if cost > settings.most_sweep_dollars:
        most = settings.most_sweep_dollars
        raise SweepRefusedError(f"{len(candidates)} candidates may cost ${cost:.2f}, MostSweepDollars is {most:g}")
    return SweepPlan(model_run=run, own=own, candidates=candidates, estimated_cost=round(cost, 4))


def _own(job: dict[str, Any]) -> Candidate:
    """The forest that the run trained itself."""
    given = job["HyperParameters"]
    return convert(given, Candidate, strict=False)  # SageMaker has them as text


def _estimate(job: dict[str, Any], own: Candidate, candidates: list[Candidate], batch_type: str) -> float | None:
    """Dollars: each candidate trains as long as the run did, or longer by as much as it is larger, and is asked as long
    as that took. None where the price table does not know an instance type."""
    cost = 0.0
    for candidate in candidates:
        larger = size_of(candidate) / size_of(own)
        seconds = max(SHORTEST_JOB_SECONDS, job["BillableTimeInSeconds"] * max(1.0, larger))
        parts = [job_cost(seconds, type_) for type_ in (job["ResourceConfig"]["InstanceType"], batch_type)]
        if None in parts:
            return None
        cost += sum(part for part in parts if part)
    return cost


def size_of(candidate: Candidate) -> int:
    return candidate.num_trees * candidate.num_samples_per_tree


def parts_of(bucket: str, files: RunFiles, kind: str) -> list[str]:
    """The names of the run's parts of a kind, in the order of their lines; copies that lie beside them are left out."""
    names = (key.rpartition("/")[2].partition(".")[0] for key in store.keys(bucket, files.features_of(kind)))
    return [f"{kind}/{name}" for name in sorted(names) if name.startswith("part-")]


def train_candidate(request: CandidateRequest, settings: TrainCandidateSettings) -> CandidateJob:
    """Starts the candidate's training job, or finds it started by an earlier try.

    Raises:
        QuotaExceededError: other jobs hold the account's instances.
        RunEndedError: the sweep was ended meanwhile.
    """
    sagemaker, name = client("sagemaker"), candidate_name(settings.resource_prefix, request.run, request.candidate)
    own = resource_name(settings.resource_prefix, request.model_run)
    job = training_job(request, name, sagemaker.describe_training_job(TrainingJobName=own))
    _unless_used(sagemaker.create_training_job, job)
    _refuse_ended(settings.data_bucket, request, TRAINING, name)
    return CandidateJob(job_name=name, poll_seconds=settings.poll_seconds)


def candidate_name(prefix: str, sweep: str, candidate: Candidate) -> str:
    return resource_name(prefix, sweep, candidate.name)


def training_job(request: CandidateRequest, name: str, own: dict[str, Any]) -> dict[str, Any]:
    """The CreateTrainingJob request of a candidate: `own`, the run's described job, with other hyperparameters."""
    parameters = {
        "feature_dim": own["HyperParameters"]["feature_dim"],
        "num_trees": str(request.candidate.num_trees),
        "num_samples_per_tree": str(request.candidate.num_samples_per_tree),
    }
    algorithm = own["AlgorithmSpecification"]
    network = {key: own[key] for key in ("VpcConfig", "EnableNetworkIsolation") if own.get(key)}
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {key: algorithm[key] for key in ("TrainingImage", "TrainingInputMode")},
        "HyperParameters": parameters,
        "InputDataConfig": [channel for channel in own["InputDataConfig"] if channel["ChannelName"] == "train"],
        "Tags": run_tags(request.run),
        **{key: own[key] for key in ("RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition")},
        **network,
    }


def score_candidate(request: CandidateRequest, settings: BatchSettings) -> CandidateJob:
    """Starts the transform job that scores the run's validation lines and planted errors by the candidate, or finds it
    started by an earlier try.

    Raises:
        TrainingFailedError: the candidate's training job failed or was stopped.
        QuotaExceededError: other jobs hold the account's instances.
        RunEndedError: the sweep was ended meanwhile.
    """
    sagemaker, name = client("sagemaker"), candidate_name(settings.resource_prefix, request.run, request.candidate)
    job = sagemaker.describe_training_job(TrainingJobName=name)
    if job["TrainingJobStatus"] != "Completed":
        reason = job.get("FailureReason", "SageMaker gives no reason")
        raise TrainingFailedError(f"{name} is {job['TrainingJobStatus']}: {reason}")
    image, artifact = job["AlgorithmSpecification"]["TrainingImage"], job["ModelArtifacts"]["S3ModelArtifacts"]
    model = {
        "ModelName": name,
        "PrimaryContainer": {"Image": image, "ModelDataUrl": artifact},
        "ExecutionRoleArn": job["RoleArn"],
        "Tags": run_tags(request.run),
    }
    _unless_used(sagemaker.create_model, model)
    bucket, files = settings.data_bucket, RunFiles(request.model_run)
    parts = parts_of(bucket, files, VALIDATION)
    for part in parts_of(bucket, files, PLANTED):
        copied = f"{files.features_of(VALIDATION)}{name_in_job(part, VALIDATION)}.csv"
        store.put(bucket, copied, store.get_bytes(bucket, files.features(part)), "text/csv")
    asked = TransformRequest(run=request.model_run, model_name=name, parts=parts)
    _unless_used(sagemaker.create_transform_job, transform_job(asked, settings, name) | {"Tags": model["Tags"]})
    _refuse_ended(bucket, request, TRANSFORM, name)
    return CandidateJob(job_name=name, poll_seconds=settings.poll_seconds)


def delete_model(name: str) -> bool:
    """Whether there was a model of this name."""
    try:
        client("sagemaker").delete_model(ModelName=name)
    except ClientError as error:
        if "Could not find" not in error_message(error):
            raise
        return False
    return True


def _unless_used(create: Any, request: dict[str, Any]) -> None:
    """Creates a thing, or finds it there: names are the candidate's own, so it is what an earlier try made."""
    try:
        create(**request)
    except ClientError as error:
        if error_code(error) != "ResourceInUse" and "already exist" not in error_message(error):
            raise


def _refuse_ended(bucket: str, request: CandidateRequest, kind: Kind, name: str) -> None:
    """Takes back what was started after the sweep was ended, which is noted before all that runs is stopped: so one of
    the two sees the other.

    Raises:
        RunEndedError: it was.
    """
    if store.exists(bucket, RunFiles(request.model_run).sweep(request.run, "ended.json")):
        stop(kind, name)
        if kind == TRANSFORM:
            delete_model(name)
        raise RunEndedError(f"sweep {request.run} was ended: start another")
