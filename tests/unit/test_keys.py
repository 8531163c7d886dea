"""Whatever a dropped file is called, it is found, claimed once, and told in one harmless line."""

import json
import re

import msgspec
import pytest

from frames import BUCKET
from suspicious_lines import failures, store
from suspicious_lines.claims import claim, release
from suspicious_lines.errors import InvalidUploadError
from suspicious_lines.messages import FailureReport, Upload
from suspicious_lines.parking import park_upload
from suspicious_lines.receipts import Receipt
from suspicious_lines.score_messages import ParkRequest
from suspicious_lines.settings import FailureSettings, ParkSettings
from test_failures import deleted, messages  # noqa: F401 (a fixture)
from tests.corpus.keys import KEYS, Key

DROPPED = [case for case in KEYS if case.starts]


def named(cases: list[Key]) -> dict:
    return {"argvalues": cases, "ids": [case.name.encode("ascii", "backslashreplace").decode() for case in cases]}


def dropped(cloud, case: Key) -> dict:
    """The detail of the event that S3 sends; its key is not encoded."""
    version = cloud.s3.put_object(Bucket=BUCKET, Key=case.key, Body=b"as it was dropped")["VersionId"]
    found = {"key": case.key, "etag": "e", "size": 17, "version-id": version, "sequencer": "1"}
    return json.loads(json.dumps({"version": "0", "bucket": {"name": BUCKET}, "object": found}))


@pytest.mark.parametrize("case", **named(DROPPED))
def test_the_version_that_was_dropped_is_read_and_claimed_once(cloud, case):
    upload = Upload.from_detail(dropped(cloud, case))
    assert upload.key == case.key
    assert store.open_upload(upload).read() == b"as it was dropped"
    assert len(upload.claim_id.encode()) <= 2_048  # what DynamoDB takes as a key
    assert claim("claims", upload, "run-1")
    assert not claim("claims", upload, "run-2")
    assert release("claims", upload, "run-1")


def test_no_two_keys_share_a_claim():
    uploads = [Upload(bucket="b", key=case.key, etag="e", size=1, version_id="v") for case in KEYS]
    assert len({upload.claim_id for upload in uploads}) == len(KEYS)


@pytest.mark.parametrize("case", **named(DROPPED))
def test_a_failure_is_told_in_lines_of_our_own(cloud, deleted, case):  # noqa: F811
    detail = dropped(cloud, case)
    cause = str(InvalidUploadError(case.key, "the file is empty", "It needs a header."))
    told = {"name": "run", "executionArn": "arn", "status": "FAILED", "startDate": "2026-11-24T12:00:00Z"}
    told |= {"error": "InvalidUploadError", "cause": json.dumps({"errorMessage": cause}), "input": json.dumps(detail)}
    report = msgspec.convert(told, FailureReport)
    failures.report_failure(report, FailureSettings.from_environment())
    receipt = msgspec.json.decode(store.get_bytes(BUCKET, "runs/run/receipt.json"), type=Receipt)
    assert receipt.input == Upload.from_detail(detail)
    (to_reviewers,), (to_operators,) = (messages(cloud, topic) for topic in ("reviewers", "operators"))
    assert to_reviewers["Message"].count("\n") == 3
    assert to_operators["Message"].count("\n") == 8
    for message in (to_reviewers, to_operators):
        assert re.fullmatch(r"[ -~]{1,99}", message["Subject"])
        assert all(character.isprintable() for character in message["Message"].replace("\n", ""))


@pytest.mark.parametrize("case", **named([case for case in KEYS if case.starts == "score"]))
def test_a_parked_upload_is_noted_under_a_key_of_our_own(cloud, case):
    detail = dropped(cloud, case)
    request = ParkRequest(run="run", upload=Upload.from_detail(detail), detail=detail)
    assert park_upload(request, ParkSettings.from_environment()).parked
    (key,) = store.keys(BUCKET, "parked/")
    assert re.fullmatch(r"parked/[0-9a-f]{64}\.json", key)
    assert store.get_json(BUCKET, key) == detail
