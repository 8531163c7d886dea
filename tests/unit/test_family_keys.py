"""Which family an upload is of, and what each family has of its own."""

import msgspec
import pytest

from frames import BUCKET
from suspicious_lines import parking, promotion, store
from suspicious_lines.errors import NoFormerModelError, NoLiveModelError, SettingsError
from suspicious_lines.layout import RunFiles, family_of, is_judged_of, judged_key, live_model_key
from suspicious_lines.messages import Upload
from suspicious_lines.model_messages import LiveModel, RestoreRequest
from suspicious_lines.model_settings import RestoreSettings
from suspicious_lines.promotion import change_live_model, find_live_model, live_model, live_models, withdraw
from suspicious_lines.restoring import restore_model
from suspicious_lines.settings import ClaimSettings

FAMILIES = ("claims", "deals")


def live(run: str, **more) -> LiveModel:
    return LiveModel(
        run=run,
        endpoint_name=f"endpoint-{run}",
        max_concurrency=5,
        encoder_key=RunFiles(run).encoder,
        threshold=1.0,
        promoted_at="2026-11-01T00:00:00+00:00",
        **more,
    )


def put(family: str, model: LiveModel) -> None:
    store.put(BUCKET, live_model_key(family), msgspec.json.encode(model), "application/json")


@pytest.mark.parametrize(
    ("key", "family"),
    [
        ("incoming/claims/lines.csv", "claims"),
        ("incoming/claims/2026/11/lines.csv", "claims"),
        ("invoices/deals/a b+c%.csv", "deals"),
        ("invoices/deals/claims/lines.csv", "deals"),
        ("incoming/lines.csv", ""),
        ("incoming/claims", ""),
        ("incoming/claims.csv", ""),
        ("incoming/others/lines.csv", ""),
        ("incoming/2026/claims/lines.csv", ""),
        ("incoming/Claims/lines.csv", ""),
        ("incoming//claims/lines.csv", ""),
    ],
)
def test_the_first_folder_tells_the_family(key, family):
    assert family_of(key, FAMILIES) == family
    assert family_of(key, ()) == ""


@pytest.mark.parametrize("families", ["Claims", "a,,b", ",a", "a,", "a b", "-a", "a/b", "a" * 32, "current.json"])
def test_names_that_no_key_could_hold_apart_are_refused(monkeypatch, families):
    monkeypatch.setenv("FAMILIES", families)
    with pytest.raises(SettingsError, match="FAMILIES"):
        ClaimSettings.from_environment()


def test_a_claim_says_the_family(cloud, load_handler, context, monkeypatch):
    detail = {"bucket": {"name": BUCKET}, "object": {"key": "incoming/claims/x.csv", "etag": "e", "size": 1}}
    event = {"run": "run", "detail": detail}
    assert load_handler("claim_upload")(event, context)["family"] == ""
    monkeypatch.setenv("FAMILIES", "claims,deals")
    assert load_handler("claim_upload")(event, context)["family"] == "claims"


def test_each_family_has_a_live_model_of_its_own(cloud):
    assert live_model_key("") == "models/current.json"
    put("", live("plain"))
    with pytest.raises(NoLiveModelError, match="incoming/claims/"):
        live_model(BUCKET, "claims")
    change_live_model(BUCKET, lambda current: live("of-claims"), "claims")
    assert (live_model(BUCKET).run, live_model(BUCKET, "claims").run) == ("plain", "of-claims")
    assert [model.run for model in live_models(BUCKET, FAMILIES)] == ["plain", "of-claims"]
    assert live_models(BUCKET, ()) == [live("plain")]


def test_a_rollback_is_of_one_family(cloud, monkeypatch):
    from suspicious_lines import restoring

    monkeypatch.setattr(restoring, "can_score", lambda name: True)
    for family in ("", "claims"):
        put(family, live(f"new-{family}", former=[live(f"old-{family}")]))
    request = msgspec.convert({"run": "back", "order": {"family": "claims"}}, RestoreRequest)
    assert restore_model(request, RestoreSettings.from_environment()).run == "old-claims"
    assert (live_model(BUCKET).run, live_model(BUCKET, "claims").run) == ("new-", "old-claims")
    request = msgspec.convert({"run": "back", "order": {"family": "deals"}}, RestoreRequest)
    with pytest.raises(NoFormerModelError, match="of the family deals"):
        restore_model(request, RestoreSettings.from_environment())


def test_a_failed_run_is_withdrawn_from_the_families_that_it_may_be_of(cloud, monkeypatch):
    monkeypatch.setattr(promotion, "exists", lambda name: True)
    put("", live("plain"))
    put("claims", live("of-claims", former=[live("kept")]))
    assert withdraw(BUCKET, "lost", ["endpoint-lost"], ["claims"])
    assert (live_model(BUCKET).withdrawn, live_model(BUCKET, "claims").withdrawn) == ([], ["lost"])
    # Of an approval nobody knows: what any family keeps is no leftover.
    assert not withdraw(BUCKET, "approval", ["endpoint-kept"], ["", *FAMILIES])
    assert find_live_model(BUCKET, "deals") is None


def test_a_file_waits_for_a_model_of_its_family(cloud, monkeypatch):
    uploads = {
        family: Upload(bucket=BUCKET, key=f"invoices/{family}/x.csv", etag="e", size=1, version_id="v")
        for family in ("", "claims")
    }
    for family, upload in uploads.items():
        store.put_json(BUCKET, parking.note_key(upload, family), upload.as_detail())
    started = []
    client = type("Machines", (), {"start_execution": lambda self, stateMachineArn, input: started.append(input)})()
    monkeypatch.setattr(parking, "client", lambda service: client)
    parking.start_parked(BUCKET, "machine", "deals")
    assert started == []
    parking.start_parked(BUCKET, "machine", "")
    (only,) = started
    assert "invoices//x.csv" in only
    parking.start_parked(BUCKET, "machine", "claims")
    assert "invoices/claims/x.csv" in started[1]
    assert store.keys(BUCKET, "parked/") == []


def test_judged_lines_are_kept_by_family():
    from datetime import date

    day = date(2026, 11, 26)
    assert judged_key(day, "run", "") == "judged/dt=2026-11-26/run.parquet"
    keys = {family: judged_key(day, "run", family) for family in ("", *FAMILIES)}
    for family in keys:
        assert [name for name, key in keys.items() if is_judged_of(key, family)] == [family]
