import dataclasses
import time

import msgspec
import pytest

from suspicious_lines.claims import (
    NEVER_CLAIMED,
    claim,
    claim_again,
    note_told,
    note_try,
    read_claims,
    release,
    settle,
)
from suspicious_lines.messages import Upload

UPLOAD = Upload(bucket="bucket", key="incoming/a b+c%.csv", etag="e", size=1, version_id="v1")


def test_the_first_run_owns_an_upload_and_keeps_it_on_a_retry(cloud):
    assert claim("claims", UPLOAD, "run-1")
    assert not claim("claims", UPLOAD, "run-2")
    assert claim("claims", UPLOAD, "run-1")


def test_another_version_is_another_upload(cloud):
    assert claim("claims", UPLOAD, "run-1")
    assert claim("claims", msgspec.structs.replace(UPLOAD, version_id="v2"), "run-2")


def test_without_versions_etag_and_sequencer_tell_uploads_apart():
    plain = msgspec.structs.replace(UPLOAD, version_id=None, sequencer="1")
    assert plain.claim_id != msgspec.structs.replace(plain, sequencer="2").claim_id
    assert plain.claim_id == msgspec.structs.replace(plain).claim_id


def test_only_the_owner_releases(cloud):
    claim("claims", UPLOAD, "run-1")
    assert not release("claims", UPLOAD, "run-2")
    assert release("claims", UPLOAD, "run-1")
    assert claim("claims", UPLOAD, "run-2")


def test_a_released_claim_stays_and_can_be_taken_by_another_run_once(cloud):
    claim("claims", UPLOAD, "run-1")
    assert release("claims", UPLOAD, "run-1")
    assert release("claims", UPLOAD, "run-1"), "a retry after a lost answer"
    (record,) = read_claims("claims").values()
    assert (record.run, record.released) == ("run-1", True)
    assert claim("claims", UPLOAD, "run-2")
    assert not claim("claims", UPLOAD, "run-3")
    assert not release("claims", UPLOAD, "run-1"), "the first run's end, reported late, is not the second's"
    (record,) = read_claims("claims").values()
    assert (record.run, record.released) == ("run-2", False)


def test_a_run_that_gave_an_upload_back_itself_can_take_it_again(cloud):
    claim("claims", UPLOAD, "run-1")
    release("claims", UPLOAD, "run-1")
    assert claim_again("claims", UPLOAD, "run-1")
    assert not claim("claims", UPLOAD, "run-2")


@pytest.mark.parametrize("claimed_before", [True, False])
def test_a_claim_that_comes_after_the_runs_end_holds_nothing(cloud, claimed_before):
    if claimed_before:
        claim("claims", UPLOAD, "aborted")
    assert release("claims", UPLOAD, "aborted")
    assert not claim("claims", UPLOAD, "aborted")
    assert claim("claims", UPLOAD, "run-2")


def test_tries_are_noted_before_and_after_a_claim_and_once_each(cloud):
    note_try("claims", UPLOAD, 1)
    assert read_claims("claims")[UPLOAD.claim_id].run is None
    assert claim("claims", UPLOAD, "run-1"), "an upload that was only tried is nobody's"
    note_try("claims", UPLOAD, 2)
    release("claims", UPLOAD, "run-1")
    note_try("claims", UPLOAD, 3)
    note_try("claims", UPLOAD, 3)  # its answer was lost
    assert read_claims("claims")[UPLOAD.claim_id].tries == 3


def test_an_upload_is_settled_for_the_run_that_has_it_only_and_until_another_takes_it(cloud):
    claim("claims", UPLOAD, "run-1")
    settle("claims", UPLOAD, "run-2")
    assert not read_claims("claims")[UPLOAD.claim_id].settled
    settle("claims", UPLOAD, "run-1")
    assert read_claims("claims")[UPLOAD.claim_id].settled
    release("claims", UPLOAD, "run-1")
    claim("claims", UPLOAD, "run-2")
    assert not read_claims("claims")[UPLOAD.claim_id].settled


def test_that_people_were_told_is_kept_as_long_as_a_claim(cloud):
    note_told("claims", UPLOAD)
    assert read_claims("claims") == {UPLOAD.claim_id: dataclasses.replace(NEVER_CLAIMED, told=True)}
    (item,) = cloud.dynamodb.scan(TableName="claims")["Items"]
    assert int(item["expires_at"]["N"]) > time.time() + 89 * 24 * 3600


@pytest.mark.parametrize("key", ["incoming/" + "ü" * 505 + "a.csv", "incoming/a+b%2B c#d?e=f&é\u2028.csv"])
def test_the_longest_and_the_oddest_keys_can_be_claimed(cloud, key):
    upload = msgspec.structs.replace(UPLOAD, key=key, bucket="b" * 63, version_id="v" * 900)
    assert len(key.encode()) <= 1024
    assert len(upload.claim_id.encode()) <= 2048, "DynamoDB's limit of a partition key"
    assert claim("claims", upload, "run-1")
    assert not claim("claims", upload, "run-2")
    assert list(read_claims("claims")) == [upload.claim_id]


def test_claims_expire(cloud):
    claim("claims", UPLOAD, "run-1")
    (item,) = cloud.dynamodb.scan(TableName="claims")["Items"]
    assert int(item["expires_at"]["N"]) - int(item["claimed_at"]["N"]) == 90 * 24 * 3600


def test_the_handler_answers_a_duplicate_quietly(cloud, load_handler, context):
    handler = load_handler("claim_upload")
    detail = {"bucket": {"name": "b"}, "object": {"key": "incoming/x.csv", "etag": "e", "size": 3, "version-id": "v"}}
    first = handler({"run": "run-1", "detail": detail}, context)
    assert first["claimed"] is True
    assert first["limits"] == {"distributed_above": 100_000_000, "batch_above": 400_000_000}
    answer = handler({"run": "run-2", "detail": detail}, context)
    assert answer["claimed"] is False
    assert answer["upload"]["version_id"] == "v"
