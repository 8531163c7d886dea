import json
from pathlib import Path

import msgspec
import pytest
from botocore.stub import Stubber

from frames import BUCKET
from suspicious_lines import batch_transform, store
from suspicious_lines.errors import ModelGoneError, QuotaExceededError
from suspicious_lines.large_messages import TransformRequest
from suspicious_lines.large_settings import BatchSettings
from suspicious_lines.layout import resource_name

ROOT = Path(__file__).parents[2]
EVENT = json.loads((ROOT / "events" / "start_transform.json").read_text())


@pytest.fixture
def sagemaker(cloud, monkeypatch):
    monkeypatch.setattr(batch_transform, "client", lambda service: cloud.sagemaker)
    with Stubber(cloud.sagemaker) as stubber:
        yield stubber


def job() -> dict:
    request = msgspec.convert(EVENT, TransformRequest)
    name = resource_name("suspicious-lines", request.run, request.model_name)
    return batch_transform.transform_job(request, BatchSettings.from_environment(), name)


def test_the_job_reads_the_parts_and_satisfies_sagemakers_model(sagemaker, load_handler, context):
    # The stubber validates the request against SageMaker's own service model.
    sagemaker.add_response(
        "create_transform_job", {"TransformJobArn": "arn:aws:sagemaker:us-east-1:000000000000:transform-job/x"}, job()
    )
    answer = load_handler("start_transform")(EVENT, context)
    finish = json.loads((ROOT / "events" / "finish_transform.json").read_text())
    assert answer == {"job_name": finish["job_name"], "poll_seconds": 20}
    assert store.get_json(BUCKET, "runs/example/transform.json") == {"job_name": answer["job_name"]}
    source = job()["TransformInput"]["DataSource"]["S3DataSource"]
    assert source == {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/runs/example/features/validation/"}
    # Formats differ, so that SageMaker could not join input and output; both are cut at line ends.
    assert job()["TransformInput"]["ContentType"] != job()["TransformOutput"]["Accept"]
    assert (job()["TransformInput"]["SplitType"], job()["TransformOutput"]["AssembleWith"]) == ("Line", "Line")
    assert "DataProcessing" not in job()


@pytest.mark.parametrize(
    ("code", "message", "error"),
    [
        ("ValidationException", 'Could not find model "arn:aws:sagemaker:..."', ModelGoneError),
        ("ResourceLimitExceeded", "ml.m5.xlarge for transform job usage", QuotaExceededError),
        ("ResourceInUse", "names must be unique", None),
    ],
)
def test_what_sagemaker_refuses(sagemaker, load_handler, context, code, message, error):
    sagemaker.add_client_error("create_transform_job", code, message)
    handler = load_handler("start_transform")
    if error is None:  # an earlier try has started it
        assert handler(EVENT, context)["job_name"]
    else:
        with pytest.raises(error):
            handler(EVENT, context)


BATCH = resource_name("suspicious-lines", "example", mark="bt")


def started(sagemaker, load_handler, context, **changed) -> dict:
    """Starts the job by a model without an endpoint; what is asked of SageMaker is looked at elsewhere."""
    sagemaker.add_response("create_transform_job", {"TransformJobArn": "arn:aws:sagemaker:us-east-1:0:transform-job/x"})
    return load_handler("start_transform")(EVENT | {"model_name": BATCH} | changed, context)


def test_where_no_endpoint_scores_the_few_other_parts_the_job_does(sagemaker, load_handler, context):
    for part in ("planted/part-00000", "judged/part-00000"):
        store.put(BUCKET, f"runs/example/features/{part}.csv", f"{part}\n", "text/csv")
    parts = ["validation/part-00000", "planted/part-00000", "judged/part-00000"]
    started(sagemaker, load_handler, context, parts=parts)
    prefix = "runs/example/features/validation/"
    assert {key: store.get_bytes(BUCKET, key) for key in store.keys(BUCKET, prefix)} == {
        f"{prefix}planted-part-00000.csv": b"planted/part-00000\n",
        f"{prefix}judged-part-00000.csv": b"judged/part-00000\n",
    }


def test_the_note_of_a_champions_job_keeps_the_runs_own(sagemaker, load_handler, context):
    own = started(sagemaker, load_handler, context, parts=["validation/part-00000"])["job_name"]
    for _ in range(2):  # a retry notes the same
        other = {"parts": ["champion/0a1b2c3d/validation/part-00000"], "model_name": BATCH[:-1] + "0"}
        theirs = started(sagemaker, load_handler, context, **other)["job_name"]
        assert store.get_json(BUCKET, "runs/example/transform.json") == {"job_name": theirs, "before": [own]}
