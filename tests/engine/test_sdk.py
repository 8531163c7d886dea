"""The SageMaker Python SDK itself (version 2, in .venv-sdk) against the engine: snippets, as they would run on AWS."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from local.activities import generate, write_csv

from .clients import BUCKET, REGION, SageMaker

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-sdk/bin/python"
SNIPPETS = Path(__file__).with_name("snippets")
# The SDK asks every 30 seconds whether an endpoint is there; the one here is in 0.2.
DRIVER = """
import runpy, sys, time
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.1))
runpy.run_path(sys.argv[1], run_name="__main__")
"""

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="`make test` makes .venv-sdk")


def run(name: str, folder: Path, engine_url: str, s3_url: str) -> str:
    """What a snippet prints; it works in `folder`. Only the endpoints tell it that this is not AWS."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAGEMAKER_"))}
    environment |= {
        "AWS_ENDPOINT_URL": s3_url,
        "AWS_ENDPOINT_URL_SAGEMAKER": engine_url,
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": engine_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(SNIPPETS / "config.yaml"),
    }
    command = [str(PYTHON), "-c", DRIVER, str(SNIPPETS / name)]
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def left(sagemaker: SageMaker, prefix: str) -> list[str]:
    """Whatever of the snippet's hosting still exists."""
    control = sagemaker.control
    models = [each["ModelName"] for each in control.list_models(NameContains=prefix)["Models"]]
    configs = control.list_endpoint_configs(NameContains=prefix)["EndpointConfigs"]
    endpoints = control.list_endpoints(NameContains=prefix)["Endpoints"]
    return models + [each["EndpointConfigName"] for each in configs] + [each["EndpointName"] for each in endpoints]


def last_job(sagemaker: SageMaker, prefix: str) -> dict:
    (newest, *_) = sagemaker.control.list_training_jobs(NameContains=prefix, SortOrder="Descending")[
        "TrainingJobSummaries"
    ]
    return sagemaker.control.describe_training_job(TrainingJobName=newest["TrainingJobName"])


def test_an_estimator_is_fitted_deployed_serverless_asked_and_deleted(
    sagemaker: SageMaker, s3_url: str, tmp_path: Path
) -> None:
    write_csv(generate(lines=5_000), tmp_path / "activities.csv")
    printed = run("estimator.py", tmp_path, sagemaker.url, s3_url)
    assert "Training job completed" in printed
    assert "Billable seconds" in printed

    job = last_job(sagemaker, "rcf-anomaly-detection")
    assert job["TrainingJobStatus"] == "Completed"
    assert (job["HyperParameters"]["num_trees"], job["HyperParameters"]["num_samples_per_tree"]) == ("50", "100")
    tags = sagemaker.control.list_tags(ResourceArn=job["TrainingJobArn"])["Tags"]
    assert {"Key": "project", "Value": "rcf-anomaly-detection"} in tags

    scored = pd.read_csv(tmp_path / "scored.csv")
    features = pd.read_csv(tmp_path / "features.csv", header=None).to_numpy()
    endpoint = sagemaker.endpoint(sagemaker.config(sagemaker.model(job["ModelArtifacts"]["S3ModelArtifacts"])))
    assert scored["Score"].tolist() == pytest.approx(sagemaker.scores(endpoint, features))
    assert scored[scored["Error"]]["Score"].median() > scored[~scored["Error"]]["Score"].median()
    assert left(sagemaker, "rcf-anomaly-detection") == []


def test_the_class_of_the_algorithm_does_the_same_in_recordio(
    sagemaker: SageMaker, s3_url: str, tmp_path: Path
) -> None:
    run("random_cut_forest.py", tmp_path, sagemaker.url, s3_url)
    job = last_job(sagemaker, "randomcutforest")
    source = job["InputDataConfig"][0]["DataSource"]["S3DataSource"]
    assert source["S3DataType"] == "ManifestFile"
    assert source["S3Uri"].startswith(f"s3://{BUCKET}/rcf-benchmarks/")
    assert job["HyperParameters"]["feature_dim"] == "2"
    scores = np.loadtxt(tmp_path / "scores.csv")
    assert (len(scores), scores.argmax()) == (4_000, 3_999)
    assert left(sagemaker, "randomcutforest") == []
