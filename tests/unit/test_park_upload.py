import json

import msgspec

from frames import BUCKET
from suspicious_lines import claims, store
from suspicious_lines.claims import claim
from suspicious_lines.messages import Upload

DETAIL = {
    "bucket": {"name": BUCKET},
    "object": {"key": "invoices/x.csv", "etag": "e", "size": 1, "version-id": "v"},
}
UPLOAD = Upload.from_detail(DETAIL)
EVENT = {"run": "run", "upload": msgspec.to_builtins(UPLOAD), "detail": DETAIL}


def test_an_upload_without_a_model_waits_and_can_be_claimed_again(cloud, load_handler, context):
    claim("claims", UPLOAD, "run")
    assert load_handler("park_upload")(EVENT, context) == {"parked": True}
    (note,) = store.keys(BUCKET, "parked/")
    assert store.get_json(BUCKET, note) == DETAIL
    assert claim("claims", UPLOAD, "another-run")
    (message,) = cloud.sqs.receive_message(QueueUrl=cloud.queues["operators"])["Messages"]
    assert json.loads(message["Body"])["Subject"] == "Waiting for a first model: invoices/x.csv"


def test_a_retry_leaves_one_note(cloud, load_handler, context):
    handler = load_handler("park_upload")
    handler(EVENT, context)
    handler(EVENT, context)
    assert len(store.keys(BUCKET, "parked/")) == 1


def test_a_model_that_went_live_meanwhile_leaves_nothing_to_wait_for(cloud, load_handler, context):
    claim("claims", UPLOAD, "run")
    store.put_json(BUCKET, "models/current.json", {})
    assert load_handler("park_upload")(EVENT, context) == {"parked": False}
    assert store.keys(BUCKET, "parked/") == []
    assert not claim("claims", UPLOAD, "another-run")


def test_an_execution_that_took_the_upload_meanwhile_scores_it(cloud, load_handler, context, monkeypatch):
    release = claims.release

    def release_and_lose(table, upload, run):
        release(table, upload, run)
        claim(table, upload, "another-run")

    monkeypatch.setattr(claims, "release", release_and_lose)
    store.put_json(BUCKET, "models/current.json", {})
    claim("claims", UPLOAD, "run")
    assert load_handler("park_upload")(EVENT, context) == {"parked": True}
