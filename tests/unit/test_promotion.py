import json

import msgspec
import pytest

from frames import BUCKET, ROOT
from suspicious_lines import parking, promotion, store
from suspicious_lines.errors import (
    AwsUnavailableError,
    ChampionChangedError,
    EndpointBusyError,
    NoLiveModelError,
    RunEndedError,
)
from suspicious_lines.model_messages import PromoteRequest
from suspicious_lines.model_settings import PromoteSettings
from suspicious_lines.promotion import find_live_model, live_model, promote_model


@pytest.fixture
def deleted(monkeypatch):
    """The names of the endpoints that were deleted, which cannot score any more."""
    names = []
    monkeypatch.setattr(promotion, "delete_endpoint", lambda name: names.append(name) or ["endpoint"])
    monkeypatch.setattr(promotion, "can_score", lambda name: name not in names)
    return names


@pytest.fixture
def started(monkeypatch):
    executions = []

    class StepFunctions:
        def start_execution(self, stateMachineArn, input):
            executions.append(json.loads(input))

    monkeypatch.setattr(parking, "client", lambda service: StepFunctions())
    return executions


def promote(run, kept=2, **given):
    """Promotes a run that was compared with the model that is live now, unless `live_run` says otherwise."""
    store.put_json(BUCKET, f"runs/{run}/results/metrics.json", {"threshold": {"value": 1.5, "strategy": "budget"}})
    settings = msgspec.structs.replace(PromoteSettings.from_environment(), models_kept=kept)
    live = find_live_model(BUCKET)
    event = {"run": run, "endpoint_name": f"endpoint-{run}", "max_concurrency": 5, "reason": f"{run} is good"}
    return promote_model(
        PromoteRequest(**event | {"live_run": live.run if live else None} | given),
        settings,
    )


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
    live = promote("d", kept=1)
    assert deleted[1:] == ["endpoint-c", "endpoint-b", "endpoint-a"]
    assert ([former.run for former in live.former], [gone.run for gone in live.dropped]) == ([], ["c", "b", "a"])


def test_a_former_model_without_an_endpoint_takes_nobodys_place(cloud, deleted):
    for run in ("a", "b", "c"):
        promote(run, kept=3)
    deleted.append("endpoint-b")  # by hand
    live = promote("d", kept=3)
    assert [former.run for former in live.former] == ["c", "a"]
    assert deleted[1:] == ["endpoint-b"]


def test_the_history_says_who_was_replaced_and_what_the_comparison_said(cloud, deleted):
    promote("a")
    promote("b")
    told = [(change.what, change.run, change.replaced, change.reason) for change in live_model(BUCKET).history]
    assert told == [("promoted", "b", "a", "b is good"), ("promoted", "a", None, "a is good")]


def test_a_model_that_was_compared_with_another_is_not_promoted(cloud, deleted):
    with pytest.raises(ChampionChangedError, match="no model is live and not a"):
        promote("b", live_run="a")
    promote("a")
    with pytest.raises(ChampionChangedError, match="a is live and not none"):
        promote("b", live_run=None)
    assert live_model(BUCKET).run == "a"


def test_the_champion_may_change_between_reading_and_writing(cloud, deleted, monkeypatch):
    promote("a")
    replace = store.replace

    def overtaken(*args):
        monkeypatch.setattr(store, "replace", replace)
        promote("b")
        return replace(*args)

    monkeypatch.setattr(store, "replace", overtaken)
    with pytest.raises(ChampionChangedError):
        promote("c", live_run="a")
    assert live_model(BUCKET).run == "b"


def test_a_retry_finishes_what_an_earlier_try_began(cloud, deleted, monkeypatch):
    promote("a")
    promote("b")

    def busy(name):
        raise EndpointBusyError

    with monkeypatch.context() as patch:
        patch.setattr(promotion, "delete_endpoint", busy)
        with pytest.raises(EndpointBusyError):
            promote("c")
    assert deleted == []
    promote("c", live_run="b")
    assert deleted == ["endpoint-a"]
    assert live_model(BUCKET).run == "c"


def test_a_late_retry_does_not_bring_a_replaced_model_back(cloud, deleted):
    promote("a")
    promote("b")
    assert promote("a", live_run=None).run == "b"
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


def test_refuse_model_deletes_the_candidate_and_tells_the_operators_both_figures(cloud, deleted, load_handler, context):
    event = json.loads((ROOT / "events/refuse_model.json").read_text())
    reason = "average precision 0.700, the live model's is 0.900; it may be worse by 0.02"
    store.put_json(BUCKET, "runs/example/results/comparison.json", {"champion": "former", "reason": reason})
    assert load_handler("refuse_model")(event, context) == {"deleted": ["endpoint"]}
    assert deleted == [event["endpoint_name"]]
    (message,) = cloud.sqs.receive_message(QueueUrl=cloud.queues["operators"])["Messages"]
    told = json.loads(message["Body"])
    assert told["Subject"] == "New model not promoted: incoming/activities.csv"
    assert f"{reason}." in told["Message"]
    assert "The model of run former stays live" in told["Message"]


def test_a_run_that_was_withdrawn_does_not_go_live_whatever_is_promoted_or_restored_since(cloud, deleted, monkeypatch):
    promote("a")
    monkeypatch.setattr(promotion, "exists", lambda name: True)
    assert promotion.withdraw(BUCKET, "b", ["endpoint-b"])
    assert not promotion.withdraw(BUCKET, "a", ["endpoint-a"])
    promote("c")
    with pytest.raises(RunEndedError):
        promote("b")
    assert (live_model(BUCKET).run, live_model(BUCKET).withdrawn) == ("c", ["b"])


def test_a_run_whose_endpoint_was_cleaned_up_does_not_go_live(cloud, deleted):
    promote("a")
    deleted.append("endpoint-b")  # ReportFailure was quicker: the run was aborted
    with pytest.raises(RunEndedError):
        promote("b")
    assert live_model(BUCKET).run == "a"
