from datetime import UTC, datetime, timedelta

import pytest
from msgspec import ValidationError, convert

from suspicious_lines.messages import AwareDatetime, ExecutionEvent, Family, Part, Run, Upload
from suspicious_lines.registry_messages import Package

PACKAGE = "arn:aws:sagemaker:us-east-1:000000000000:model-package/group/1"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Run, "run-7"),
        (Run | None, "run-7"),
        (Family, "claims"),
        (Family, ""),
        (Part, "invoices/0123abcd/part-00000"),
        (Package, PACKAGE),
    ],
)
def test_a_name_with_anything_around_it_is_refused(kind, value):
    assert convert(value, kind) == value
    for other in (f"{value}\n", f"\n{value}", f"{value}/", f" {value}"):
        if (kind, other) != (Package, f"{PACKAGE}/"):
            with pytest.raises(ValidationError):
                convert(other, kind)


@pytest.mark.parametrize("start", [1_767_311_999_999, "2026-01-01T23:59:59.999Z", "2026-01-02T01:59:59.999+02:00"])
def test_an_event_says_when_the_execution_began_in_milliseconds_or_as_text(start):
    began = convert({"name": "run", "startDate": start}, ExecutionEvent).started_at
    assert began == datetime(2026, 1, 1, 23, 59, 59, 999_000, tzinfo=UTC)
    assert began.tzinfo is not None


@pytest.mark.parametrize("start", ["2026-01-01T23:59:59", "yesterday", None, True])
def test_a_start_that_is_no_moment_is_refused(start):
    with pytest.raises(ValidationError):
        convert({"name": "run", "startDate": start}, ExecutionEvent)


def test_a_moment_keeps_its_time_zone():
    assert convert("2026-01-02T01:59:59+02:00", AwareDatetime).utcoffset() == timedelta(hours=2)


def test_an_upload_is_what_s3_says_of_it():
    detail = {"bucket": {"name": "b"}, "object": {"key": "k", "size": 1, "etag": "e", "version-id": "v", "more": 1}}
    upload = Upload(bucket="b", key="k", etag="e", size=1, version_id="v")
    assert Upload.from_detail(detail) == Upload.from_detail(upload.as_detail()) == upload
    with pytest.raises(ValidationError):
        Upload.from_detail({"bucket": {"name": "b"}, "object": {"key": "k", "size": "large", "etag": "e"}})
