import json

import pytest

from frames import BUCKET
from suspicious_lines import parking, promotion, store
from suspicious_lines.errors import AwsUnavailableError, NoLiveModelError
from suspicious_lines.messages import PromoteRequest
from suspicious_lines.promotion import live_model, promote_model
from suspicious_lines.settings import PromoteSettings


@pytest.fixture
def deleted(monkeypatch):
    names = []
    monkeypatch.setattr(promotion, "delete_endpoint", names.append)
    return names


@pytest.fixture
def started(monkeypatch):
    executions = []

    class StepFunctions:
        def start_execution(self, stateMachineArn, input):
            executions.append(json.loads(input))

    monkeypatch.setattr(parking, "client", lambda service: StepFunctions())
    return executions


def promote(run, kept=2):
    store.put_json(BUCKET, f"runs/{run}/results/metrics.json", {"threshold": {"value": 1.5, "strategy": "budget"}})
    settings = PromoteSettings.from_environment().model_copy(update={"models_kept": kept})
    return promote_model(PromoteRequest(run=run, endpoint_name=f"endpoint-{run}", max_concurrency=5), settings)


def test_the_first_model_goes_live_and_deletes_nothing(cloud, deleted):
    with pytest.raises(NoLiveModelError):
        live_model(BUCKET)
    promote("a")
    live = live_model(BUCKET)
    assert (live.run, live.threshold, live.encoder_key, live.former) == ("a", 1.5, "runs/a/encoder.json", [])
    assert deleted == []


def test_the_former_model_stays_until_it_is_no_longer_kept(cloud, deleted):
    promote("a")
    assert [former.run for former in promote("b").former] == ["a"]
    assert deleted == []
    promote("c")
    assert deleted == ["endpoint-a"]
    promote("d", kept=1)
    assert deleted[1:] == ["endpoint-c", "endpoint-b", "endpoint-a"]


def test_a_retry_finishes_what_an_earlier_try_began(cloud, deleted):
    for run in ("a", "b", "c", "c"):
        promote(run)
    assert deleted == ["endpoint-a", "endpoint-a"]
    assert live_model(BUCKET).run == "c"


def test_a_late_retry_does_not_bring_a_replaced_model_back(cloud, deleted):
    promote("a")
    promote("b")
    assert promote("a").run == "b"
    assert live_model(BUCKET).run == "b"


def test_losing_every_race_is_worth_a_retry(cloud, deleted, monkeypatch):
    monkeypatch.setattr(store, "replace", lambda *args: False)
    with pytest.raises(AwsUnavailableError):
        promote("a")


def test_a_promotion_starts_what_waited_and_takes_the_notes_away(cloud, deleted, started):
    for number in range(3):
        store.put_json(BUCKET, f"parked/{number}.json", {"object": {"key": f"invoices/{number}.csv"}})
    promote("a")
    assert [detail["object"]["key"] for detail in started] == [f"invoices/{number}.csv" for number in range(3)]
    assert store.keys(BUCKET, "parked/") == []


def test_a_write_with_a_stale_etag_is_refused(cloud):
    assert store.replace(BUCKET, "models/current.json", "1", None)
    assert not store.replace(BUCKET, "models/current.json", "2", None)
    _, etag = store.get_with_etag(BUCKET, "models/current.json")
    assert store.replace(BUCKET, "models/current.json", "3", etag)
    assert not store.replace(BUCKET, "models/current.json", "4", etag)
    assert store.get_bytes(BUCKET, "models/current.json") == b"3"
