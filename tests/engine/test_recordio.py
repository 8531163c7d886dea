"""RecordIO-protobuf: what is read of it, and what is refused. The SDK's own records are read in test_sdk.py."""

import struct
import uuid

import numpy as np
import pytest
from botocore.exceptions import ClientError

from local.sagemaker import recordio
from local.sagemaker.errors import DataError

from .clients import BUCKET, SageMaker, channel

FLOAT32, FLOAT64, INT32 = 2, 3, 7


def field(number: int, body: bytes) -> bytes:
    return bytes((number << 3 | 2, len(body))) + body


def values(tensor: int, packed: bytes) -> bytes:
    return field(1, b"values") + field(2, field(tensor, field(1, packed)))


def framed(record: bytes) -> bytes:
    return struct.pack("<II", 0xCED7230A, len(record)) + record + bytes(-len(record) % 4)


def floats(*row: float, label: float | None = None) -> bytes:
    features = field(1, values(FLOAT32, struct.pack(f"<{len(row)}f", *row)))
    return framed(features + (field(2, values(FLOAT32, struct.pack("<f", label))) if label is not None else b""))


def test_rows_of_each_kind_of_number_are_read() -> None:
    doubles = framed(field(1, values(FLOAT64, struct.pack("<2d", 0.1, -2.5))))
    minus_one = b"\xff" * 9 + b"\x01"
    whole = framed(field(1, values(INT32, minus_one + b"\xac\x02")))
    assert recordio.to_rows(floats(1.5, 2) + doubles + whole).tolist() == [[1.5, 2], [0.1, -2.5], [-1, 300]]


def test_a_number_may_stand_in_a_field_of_its_own() -> None:
    alone = b"\x0d" + struct.pack("<f", 4) + b"\x0d" + struct.pack("<f", 5)
    record = field(1, field(1, b"values") + field(2, field(FLOAT32, alone)))
    assert recordio.to_rows(framed(record)).tolist() == [[4, 5]]


def test_labels_come_first_where_they_are_asked_for_and_are_left_out_elsewhere() -> None:
    body = floats(1, 2, label=1) + floats(3, 4, label=0)
    assert recordio.to_rows(body, labelled=True).tolist() == [[1, 1, 2], [0, 3, 4]]
    assert recordio.to_rows(body).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "there are no rows"),
        (b"1,2\n3,4\n", "no RecordIO record begins here"),
        (floats(1, 2)[:6], "ends within a record's header"),
        (floats(1, 2)[:-4], "ends within a record"),
        (framed(b""), "record 1 has no dense features called values"),
        (framed(b"\x0a\x7f"), "record 1 is not a Record message"),
        (framed(b"\x0b"), "record 1 is not a Record message: wire type 3"),
        (framed(b"\xff"), "record 1 is not a Record message"),
        (floats(1, 2) + floats(3), "record 2 has 1 values, the first has 2"),
        (floats(1, float("nan")), "record 1 holds a value that is not a finite number"),
        (
            framed(field(1, field(1, b"values") + field(2, field(FLOAT32, field(1, bytes(4)) + field(2, b"\x05"))))),
            "sparse tensors are not read",
        ),
    ],
)
def test_what_is_not_read(body: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        recordio.to_rows(body)


def test_a_job_reads_a_manifest_of_records_and_a_labelled_test_channel(sagemaker: SageMaker) -> None:
    rows = np.random.default_rng(2).normal(size=(300, 2))
    folder = f"records/{uuid.uuid4().hex}/"
    for number, part in enumerate((rows[:200], rows[200:])):
        body = b"".join(floats(*row) for row in part)
        sagemaker.s3.put_object(Bucket=BUCKET, Key=f"{folder}matrix_{number}.pbr", Body=body)
    names = f'[{{"prefix": "s3://{BUCKET}/{folder}"}}, "matrix_0.pbr", "matrix_1.pbr"]'
    sagemaker.s3.put_object(Bucket=BUCKET, Key=f"{folder}.manifest", Body=names.encode())
    test = sagemaker.put(b"".join(floats(*row, label=row[0] > 2) for row in rows))
    train = channel("train", f"s3://{BUCKET}/{folder}.manifest", ContentType=recordio.MEDIA_TYPE)
    train["DataSource"]["S3DataSource"]["S3DataType"] = "ManifestFile"
    job = sagemaker.train(test, InputDataConfig=[train, channel("test", test, ContentType=recordio.MEDIA_TYPE)])
    assert job["TrainingJobStatus"] == "Completed", job
    assert job["FinalMetricDataList"][0]["MetricName"] == "test:f1"

    train["DataSource"]["S3DataSource"]["S3Uri"] = f"{test}part-0.csv"
    broken = sagemaker.train(test, InputDataConfig=[train])
    assert "is not a manifest" in broken["FailureReason"]


def test_an_endpoint_scores_records_as_it_scores_csv(sagemaker: SageMaker, serving: str) -> None:
    rows = np.array([[0.0, 0.0], [8.0, -8.0]])
    answer = sagemaker.runtime.invoke_endpoint(
        EndpointName=serving,
        ContentType=recordio.MEDIA_TYPE,
        Accept=recordio.MEDIA_TYPE,
        Body=floats(*rows[0]) + floats(*rows[1]),
    )
    assert answer["ContentType"] == recordio.MEDIA_TYPE
    expected = [
        framed(field(2, field(1, b"score") + field(2, field(FLOAT32, field(1, struct.pack("<f", score))))))
        for score in sagemaker.scores(serving, rows)
    ]
    assert answer["Body"].read() == b"".join(expected)
    with pytest.raises(ClientError, match="unable to evaluate payload provided: byte 0: no RecordIO record"):
        sagemaker.runtime.invoke_endpoint(EndpointName=serving, ContentType=recordio.MEDIA_TYPE, Body=b"0,0,0,0,")
