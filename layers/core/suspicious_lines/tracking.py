"""Each run in the experiment: what it was made with, how good it is, and where its files are.

Nothing here names the upload: a key can have a firm's name, and what is written here outlives the run's files. The
version and the hash tell which file it was, to whoever has the file or the receipt.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from suspicious_lines import store
from suspicious_lines.aws import client
from suspicious_lines.layout import RunFiles, resource_name
from suspicious_lines.mlflow_runs import write_run
from suspicious_lines.receipts import Receipt, find_receipt
from suspicious_lines.tracking_messages import Tracked, TrackRequest
from suspicious_lines.tracking_settings import TrackSettings
from suspicious_lines.trial_components import write_component

HYPERPARAMETERS = ("num_trees", "num_samples_per_tree", "feature_dim")
# What metrics.json has beside its figures by kind.
FIGURES = (
    "average_precision", "roc_auc", "precision", "recall", "f1", "flagged", "amount_at_stake", "matters", "labelled",
    "lines_read", "lines_rejected", "lines_train", "lines_validation",
)  # fmt: skip


@dataclass(frozen=True)
class RunRecord:
    """What is tracked of a run. `name`: that of its training job, and so of its trial component; `inputs` and
    `outputs`: the S3 URIs of its files by what they are."""

    run: str
    name: str
    started_at: datetime
    ended_at: datetime
    parameters: dict[str, str | float]
    metrics: dict[str, float]
    inputs: dict[str, str]
    outputs: dict[str, str]


def track_run(request: TrackRequest, settings: TrackSettings) -> Tracked:
    """Writes a run into the experiment, or finds it written by an earlier try.

    Raises:
        AwsUnavailableError: SageMaker did not take some metric.
        TrackingFailedError: MLflow did not take something.
    """
    bucket, files = settings.data_bucket, RunFiles(request.run)
    receipt = find_receipt(bucket, request.run)
    if receipt is None or receipt.promotion is None:  # a second delivery of an upload, which trains nothing
        return Tracked(component=None, mlflow_run=None)
    name = resource_name(settings.resource_prefix, request.run).lower()  # names are compared so, and metrics' must be
    job = client("sagemaker").describe_training_job(TrainingJobName=name)
    metrics = store.get_json(bucket, files.result("metrics.json"))
    encoder = store.get_json(bucket, files.encoder)
    kept: dict[str, str | float] = {
        "split_seed": float(settings.split_seed),
        "encoder_version": float(encoder["version"]),
    }
    record = record_of(bucket, name, receipt, metrics, job, kept)
    component = write_component(record, settings.experiment)
    uri = settings.mlflow_tracking_uri
    run_id = write_run(record, settings.experiment, uri, bucket) if uri else None
    return Tracked(component=component, mlflow_run=run_id)


def record_of(
    bucket: str,
    name: str,
    receipt: Receipt,
    metrics: dict[str, Any],
    job: dict[str, Any],
    kept: dict[str, str | float] | None = None,
) -> RunRecord:
    """`metrics`: metrics.json; `job`: the run's training job, described; `kept`: further parameters."""
    files = RunFiles(receipt.run)
    started = receipt.timings.started_at
    return RunRecord(
        run=receipt.run,
        name=name,
        started_at=started,
        ended_at=started + timedelta(seconds=receipt.timings.seconds),
        parameters=_parameters(receipt, job) | (kept or {}),
        metrics=_metrics(receipt, metrics),
        inputs={
            "encoder": f"s3://{bucket}/{files.encoder}",
            "train_features": f"s3://{bucket}/{files.train_features}",
        },
        outputs={
            "model": job["ModelArtifacts"]["S3ModelArtifacts"],
            "receipt": f"s3://{bucket}/{files.receipt}",
            **{
                name.partition(".")[0]: f"s3://{bucket}/{files.result(name)}"
                for name in ("metrics.json", "comparison.json", "scored_lines.parquet")
            },
        },
    )


def _parameters(receipt: Receipt, job: dict[str, Any]) -> dict[str, str | float]:
    """What is not known is left out: a receipt of a former version, a bucket without versions."""
    found: dict[str, str | float | None] = {
        "run": receipt.run,
        **{name: float(job["HyperParameters"][name]) for name in HYPERPARAMETERS if name in job["HyperParameters"]},
        "instance_type": job["ResourceConfig"]["InstanceType"],
        "threshold_strategy": receipt.threshold.strategy if receipt.threshold else None,
        "input_version": receipt.input.version_id if receipt.input else None,
        "input_sha256": receipt.sha256,
        "promoted": str(receipt.promotion.promoted).lower() if receipt.promotion else None,
        "champion": receipt.promotion.champion if receipt.promotion else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _metrics(receipt: Receipt, metrics: dict[str, Any]) -> dict[str, float]:
    """Figures that need labels are left out where there are none."""
    held_out = metrics.get("held_out") or {}
    found = {name: metrics.get(name) for name in FIGURES}
    found |= {f"held_out_{name}": held_out.get(name) for name in ("precision", "recall", "f1")}
    found |= {f"caught_{kind}": caught["caught"] / caught["planted"] for kind, caught in metrics["self_test"].items()}
    found |= {"threshold": metrics["threshold"]["value"]}
    found |= {"seconds": receipt.timings.seconds, "estimated_cost": receipt.estimated_cost.total}
    return {name: float(value) for name, value in found.items() if value is not None}
