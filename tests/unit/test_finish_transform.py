import json

import pyarrow as pa
import pytest

from frames import BUCKET
from suspicious_lines import batch_scoring, datasets, scoring, store
from suspicious_lines.errors import ModelResponseError, TransformFailedError
from suspicious_lines.layout import resource_name

PARTS = ["validation/part-00000", "validation/part-00001", "planted/part-00000"]
REQUEST = {"run": "run", "job_name": "job", "parts": PARTS, "endpoint_name": "endpoint"}


def answer(scores: list[float]) -> bytes:
    return "".join(json.dumps({"score": score}) + "\n" for score in scores).encode()


@pytest.fixture
def finish(cloud, load_handler, context, monkeypatch):
    """Three parts of two lines each, and a job that has ended as told."""
    status = {"TransformJobStatus": "Completed"}

    class SageMaker:
        def describe_transform_job(self, TransformJobName):
            return status

    monkeypatch.setattr(batch_scoring, "client", lambda name: SageMaker())
    endpoint = lambda *asked: lambda body: json.dumps({"scores": [{"score": 9.0}] * body.count(b"\n")}).encode()  # noqa: E731
    monkeypatch.setattr(scoring, "sender", endpoint)
    for number, part in enumerate(PARTS):
        lines = pa.table({"line": [10 * number, 10 * number + 1]})
        datasets.write_part(lines, BUCKET, f"runs/run/lines/{part}.parquet")
        store.put(BUCKET, f"runs/run/features/{part}.csv", "1,2\n3,4\n", "text/csv")

    def run(endpoint_name: str = "endpoint", **changed: str) -> dict:
        status.update(changed)
        return load_handler("finish_transform")(REQUEST | {"endpoint_name": endpoint_name}, context)

    return run


def put(name: str, body: bytes) -> None:
    store.put(BUCKET, f"runs/run/transformed/job/{name}.csv.out", body, "text/plain")


def scored(part: str) -> list[tuple[int, float]]:
    table = datasets.read_part(BUCKET, f"runs/run/scores/{part}.parquet", ["line", "score"])
    return list(zip(table["line"].to_pylist(), table["score"].to_pylist(), strict=True))


def test_answers_are_joined_by_their_order_and_other_parts_scored_by_the_endpoint(finish):
    put("part-00000", answer([0.5, 0.75]))
    put("nested/part-00001", answer([1.5, 2.0]))  # SageMaker may repeat folders
    assert finish() == {"lines": 6}
    assert [scored(part) for part in PARTS] == [
        [(0, 0.5), (1, 0.75)], [(10, 1.5), (11, 2.0)], [(20, 9.0), (21, 9.0)],
    ]  # fmt: skip


def test_a_model_without_an_endpoint_has_scored_all_parts_in_the_job(finish):
    put("part-00000", answer([0.5, 0.75]))
    put("part-00001", answer([1.5, 2.0]))
    put("planted-part-00000", answer([3.0, 4.0]))
    assert finish(endpoint_name=resource_name("suspicious-lines", "run", mark="bt")) == {"lines": 6}
    assert scored(PARTS[2]) == [(20, 3.0), (21, 4.0)]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (answer([1.0]), "validation/part-00001 has 2 lines and 1 scores"),
        (b"oops\n", "answers for validation/part-00001 are not scores"),
        (None, "wrote nothing for validation/part-00001"),
    ],
)
def test_answers_that_are_not_the_lines_scores(finish, body, reason):
    put("part-00000", answer([0.5, 0.75]))
    if body is not None:
        put("part-00001", body)
    with pytest.raises(ModelResponseError, match=reason):
        finish()


def test_a_job_that_did_not_complete(finish):
    with pytest.raises(TransformFailedError, match="job is Failed: ClientError: no space"):
        finish(TransformJobStatus="Failed", FailureReason="ClientError: no space")
    with pytest.raises(TransformFailedError, match="job is Stopped"):
        finish(TransformJobStatus="Stopped")
