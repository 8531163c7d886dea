import json

import pytest

from frames import BUCKET
from suspicious_lines import promotion, store
from suspicious_lines.errors import AwsUnavailableError
from suspicious_lines.messages import PromoteRequest
from suspicious_lines.promotion import live_run, promote_model
from suspicious_lines.settings import BucketSettings


@pytest.fixture
def deleted(monkeypatch):
    names = []
    monkeypatch.setattr(promotion, "delete_endpoint", names.append)
    return names


def promote(run):
    store.put_json(BUCKET, f"runs/{run}/results/metrics.json", {"threshold": {"value": 1.5, "strategy": "budget"}})
    return promote_model(PromoteRequest(run=run, endpoint_name=f"endpoint-{run}"), BucketSettings.from_environment())


def test_the_first_model_goes_live_and_deletes_nothing(cloud, deleted):
    assert live_run(BUCKET) is None
    promote("a")
    live = json.loads(cloud.s3.get_object(Bucket=BUCKET, Key="models/current.json")["Body"].read())
    assert (live["run"], live["threshold"], live["encoder_key"]) == ("a", 1.5, "runs/a/encoder.json")
    assert live_run(BUCKET) == "a"
    assert deleted == []


def test_the_next_model_deletes_the_endpoint_it_replaces(cloud, deleted):
    promote("a")
    assert [former.run for former in promote("b").former] == ["a"]
    assert deleted == ["endpoint-a"]


def test_a_retry_finishes_what_an_earlier_try_began(cloud, deleted):
    promote("a")
    promote("b")
    promote("b")
    assert deleted == ["endpoint-a", "endpoint-a"]
    assert live_run(BUCKET) == "b"


def test_a_late_retry_does_not_bring_a_replaced_model_back(cloud, deleted):
    promote("a")
    promote("b")
    assert promote("a").run == "b"
    assert live_run(BUCKET) == "b"


def test_losing_every_race_is_worth_a_retry(cloud, deleted, monkeypatch):
    monkeypatch.setattr(store, "replace", lambda *args: False)
    with pytest.raises(AwsUnavailableError):
        promote("a")
    assert live_run(BUCKET) is None


def test_a_write_with_a_stale_etag_is_refused(cloud):
    assert store.replace(BUCKET, "models/current.json", "1", None)
    assert not store.replace(BUCKET, "models/current.json", "2", None)
    _, etag = store.get_with_etag(BUCKET, "models/current.json")
    assert store.replace(BUCKET, "models/current.json", "3", etag)
    assert not store.replace(BUCKET, "models/current.json", "4", etag)
    assert store.get_bytes(BUCKET, "models/current.json") == b"3"
