import json

import msgspec
import pytest

from frames import BUCKET, ROOT
from suspicious_lines import restoring, store
from suspicious_lines.errors import NoFormerModelError
from suspicious_lines.model_messages import LiveModel, ModelVersion, RestoreRequest
from suspicious_lines.model_settings import RestoreSettings
from suspicious_lines.promotion import live_model
from suspicious_lines.restoring import restore_model


def version(run, threshold=1.0):
    return ModelVersion(
        run=run,
        endpoint_name=f"endpoint-{run}",
        max_concurrency=5,
        encoder_key=f"runs/{run}/encoder.json",
        threshold=threshold,
        promoted_at="2026-11-01T00:00:00+00:00",
    )


@pytest.fixture
def gone(monkeypatch):
    """Endpoints that cannot score."""
    names = set()
    monkeypatch.setattr(restoring, "can_score", lambda name: name not in names)
    return names


@pytest.fixture
def live(cloud, gone):
    """c is live, b and a were before it, z is dropped."""
    document = LiveModel(
        **msgspec.to_builtins(version("c", 3.0)), former=[version("b", 2.0), version("a")], dropped=[version("z")]
    )
    store.put_json(BUCKET, "models/current.json", document)
    return document


def restore(run="", reason="", execution="rollback-1"):
    request = msgspec.convert({"run": execution, "order": {"run": run, "reason": reason}}, RestoreRequest)
    return restore_model(request, RestoreSettings.from_environment())


def told(cloud):
    found = cloud.sqs.receive_message(QueueUrl=cloud.queues["operators"], MaxNumberOfMessages=10).get("Messages", [])
    return [json.loads(message["Body"]) for message in found]


def test_the_newest_former_model_serves_again_with_its_own_threshold(cloud, live):
    answer = restore(reason="too many lines")
    assert (answer.run, answer.replaced) == ("b", "c")
    now = live_model(BUCKET)
    assert (now.run, now.endpoint_name, now.threshold, now.encoder_key) == (
        "b",
        "endpoint-b",
        2.0,
        "runs/b/encoder.json",
    )
    assert now.promoted_at > "2026-11-01"
    assert [former.run for former in now.former] == ["c", "a"]
    assert now.dropped == live.dropped
    (change,) = now.history
    assert (change.what, change.run, change.replaced, change.reason, change.execution) == (
        "rolled back", "b", "c", "too many lines", "rollback-1",
    )  # fmt: skip
    (message,) = told(cloud)
    assert message["Subject"] == "Went back to a former model"
    assert "The model of run b is live again, in place of that of run c." in message["Message"]
    assert "Reason: too many lines" in message["Message"]
    assert "make rollback RUN=c" in message["Message"]


def test_a_named_model_is_taken_and_one_without_an_endpoint_passed_over(cloud, live, gone):
    assert restore("a").run == "a"
    assert [former.run for former in live_model(BUCKET).former] == ["c", "b"]
    gone.add("endpoint-c")
    assert restore(execution="rollback-2").run == "b"


def test_a_retry_changes_nothing_more(cloud, live):
    restore()
    restore("a", execution="rollback-2")
    before = store.get_bytes(BUCKET, "models/current.json")
    assert restore() == restore()
    assert restore().run == "b"
    assert store.get_bytes(BUCKET, "models/current.json") == before


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("c", "The model of run c is the live one already."),
        ("z", "The model of run z cannot be gone back to: former models that were kept: b, a."),
        ("never", "ModelsKept (2) is how many endpoints stay"),
    ],
)
def test_what_cannot_be_restored_is_refused_in_words(cloud, live, run, words):
    with pytest.raises(NoFormerModelError) as refused:
        restore(run)
    assert words in str(refused.value)
    assert live_model(BUCKET) == live
    assert told(cloud) == []


def test_without_an_endpoint_there_is_nothing_to_go_back_to(cloud, live, gone):
    gone |= {"endpoint-a", "endpoint-b"}
    for run in ("", "a"):
        with pytest.raises(NoFormerModelError):
            restore(run)


def test_without_a_live_model_there_is_nothing_to_go_back_to(cloud, gone):
    with pytest.raises(NoFormerModelError, match="No model was ever live"):
        restore()


def test_a_change_meanwhile_is_built_upon(cloud, live, monkeypatch):
    replace = store.replace

    def overtaken(*args):
        monkeypatch.setattr(store, "replace", replace)
        promoted = LiveModel(
            **msgspec.to_builtins(version("d")), former=[version("c")], dropped=[version("b"), version("a")]
        )
        store.put_json(BUCKET, "models/current.json", promoted)
        return replace(*args)

    monkeypatch.setattr(store, "replace", overtaken)
    assert restore().run == "c"  # b's endpoint is about to be deleted


def test_restore_model_answers_as_the_machine_expects(cloud, live, load_handler, context):
    event = json.loads((ROOT / "events/restore_model.json").read_text())
    assert load_handler("restore_model")(event, context) == {"run": "b", "replaced": "c"}


@pytest.mark.parametrize("order", [{"run": "a/b"}, {"reason": "x" * 501}])
def test_an_order_that_makes_no_sense_is_refused(order):
    with pytest.raises(msgspec.ValidationError, match=rf"at `\$\.order\.{next(iter(order))}`"):
        msgspec.convert({"run": "rollback", "order": order}, RestoreRequest)
