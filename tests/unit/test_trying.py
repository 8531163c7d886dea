"""A model on trial: which invoices it scores, how its lines join the live model's, how a trial begins and ends."""

import json
from dataclasses import replace

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frames import BUCKET, lines_frame
from suspicious_lines import datasets, store, trials
from suspicious_lines.contested import Verdict, share_of, together
from suspicious_lines.encoder import Encoder
from suspicious_lines.errors import TrialRefusedError
from suspicious_lines.judging import judge
from suspicious_lines.model_messages import Challenger, LiveModel, ModelVersion
from suspicious_lines.promotion import live_model
from suspicious_lines.routing import goes_to_challenger
from suspicious_lines.rules import Rules
from suspicious_lines.score_messages import ModelInUse
from suspicious_lines.thresholds import Goal
from suspicious_lines.trial_report import Agreement, agreement, spearman

matters = st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=50)


def version(run):
    return ModelVersion(
        run=run,
        endpoint_name=f"endpoint-{run}",
        max_concurrency=5,
        encoder_key=f"runs/{run}/encoder.json",
        threshold=2.0,
        promoted_at="2026-11-01T00:00:00+00:00",
    )


def on_trial(run="new", kind="ab", trial="trial-1"):
    return Challenger(
        run=run, endpoint_name=f"endpoint-of-{trial}", max_concurrency=5, threshold=3.0, trial=trial, kind=kind,
        share=20, began_at="2026-11-02T00:00:00+00:00",
    )  # fmt: skip


@given(matters, st.integers(1, 99), st.integers(1, 99))
def test_an_invoice_goes_to_one_model_always_the_same_and_stays_with_a_greater_share(numbers, share, other):
    mask = goes_to_challenger(numbers, "run", share)
    assert mask.shape == (len(numbers),)
    by_number = dict(zip(numbers, mask.tolist(), strict=True))
    assert mask.tolist() == [by_number[number] for number in numbers], "equal numbers go the same way"
    again = goes_to_challenger(numbers[::-1], "run", share)
    assert again.tolist() == mask.tolist()[::-1], "whatever else is in the file"
    low, high = sorted([share, other])
    assert not (goes_to_challenger(numbers, "run", low) & ~goes_to_challenger(numbers, "run", high)).any()


@pytest.mark.parametrize("share", [1, 10, 50, 99])
def test_the_share_is_that_of_many_invoices(share):
    count = 20_000
    got = goes_to_challenger([f"{number:06d}" for number in range(count)], "run", share).mean()
    deviation = np.sqrt(share / 100 * (1 - share / 100) / count)
    assert abs(got - share / 100) < 4 * deviation


def test_the_split_is_that_of_earlier_versions_and_another_trial_takes_other_invoices():
    numbers = [f"{number:06d}" for number in range(20)]
    mask = goes_to_challenger(numbers, "train-1", 25)
    assert np.flatnonzero(mask).tolist() == [3, 7, 10, 13], "a release in the middle of a trial must not deal anew"
    assert goes_to_challenger(numbers, "train-2", 25).tolist() != mask.tolist()


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 0.8),  # 1 - 6 * 4 / (5 * 24)
        ([1, 2, 3, 4], [4, 3, 2, 1], -1.0),
        ([106, 100, 86, 101, 99, 103, 97, 113, 112, 110], [7, 27, 2, 50, 28, 29, 20, 12, 6, 17], -29 / 165),
        ([1, 2, 2, 3], [1, 2, 3, 4], 4.5 / np.sqrt(4.5 * 5)),  # ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4
        ([1, 1, 1], [1, 2, 3], None),
        ([], [], None),
    ],
)
def test_the_rank_correlation_is_spearmans(first, second, expected):
    found = spearman(np.array(first, dtype=float), np.array(second, dtype=float))
    assert found == (expected if expected is None else pytest.approx(expected, abs=1e-12))


def test_agreement_counts_flags_and_shows_the_greatest_differences_first():
    captured = pd.DataFrame(
        {
            "run": ["a"] * 6,
            "line": [2, 3, 4, 5, 6, 7],
            "score": [9.0, 8.0, 7.0, 1.0, 2.0, 3.0],
            "flagged": [True, True, True, False, False, False],
            "challenger_score": [9.0, 1.0, 2.0, 8.0, 1.0, 2.5],
            "challenger_flagged": [True, False, False, True, False, False],
        }
    )
    found = agreement(captured)
    assert (found.lines, found.both, found.only_live, found.only_challenger) == (6, 1, 2, 1)
    assert (found.agreement, found.flag_agreement) == (pytest.approx(0.5), pytest.approx(0.25))
    assert [each.line for each in found.differences] == [3, 5, 4]
    assert msgspec.convert(msgspec.to_builtins(found), Agreement) == found
    assert agreement(captured.iloc[:0]).agreement is None


def judged_by(run, seed, lines, threshold):
    encoder = Encoder.fit(lines_frame(400, seed, labelled=False))
    scored = lines.assign(model_score=np.abs(encoder.encode(lines)).sum(axis=1).astype(float))
    goal = Goal(strategy="budget", budget="10", precision_floor=0.9, beta=1)
    judgement = judge(scored.reset_index(drop=True), encoder, Rules.default(), goal)
    flagged = judgement.scored.score >= threshold
    judgement = replace(
        judgement,
        lines=judgement.lines.assign(suspicious=flagged),
        threshold=replace(judgement.threshold, value=threshold, flagged=flagged),
    )
    explained = judgement.lines[flagged].sort_values(["score", "total"], ascending=False).assign(reason=run)
    model = ModelInUse(run=run, endpoint_name=f"endpoint-{run}", max_concurrency=5, threshold=threshold)
    return Verdict(model, judgement, explained)


def test_two_models_lines_join_in_the_files_order_each_by_its_own_threshold():
    lines = lines_frame(200, 3, labelled=False)
    theirs = goes_to_challenger(lines["matter_number"].astype(str).tolist(), "new", 40)
    assert 0 < theirs.sum() < 200
    live, new = judged_by("live", 1, lines[~theirs], 2.0), judged_by("new", 2, lines[theirs], 3.5)
    joined = together([live, new], live.model)
    told = joined.judgement.lines
    assert told["line"].tolist() == sorted(lines["line"])
    assert told.index.tolist() == list(range(200))
    assert (told["model_run"] == np.where(theirs, "new", "live")).all()
    for verdict in (live, new):
        own = told[told["model_run"] == verdict.model.run]
        assert own["score"].tolist() == verdict.judgement.lines["score"].tolist()
        assert (own["suspicious"] == (own["score"] >= verdict.model.threshold)).all()
        assert (own["threshold"] == verdict.model.threshold).all()
    assert joined.judgement.threshold.value == 2.0
    assert joined.judgement.threshold.flagged.tolist() == told["suspicious"].tolist()
    assert (joined.judgement.scored.score == told["score"]).all()
    assert (told.loc[joined.explained.index, "line"] == joined.explained["line"]).all()
    assert (told.loc[joined.explained.index, "model_run"] == joined.explained["reason"]).all()
    assert joined.explained["score"].is_monotonic_decreasing
    assert len(joined.explained) == told["suspicious"].sum()
    hits = joined.judgement.hits
    assert {name: hit.sum() for name, hit in hits.items()} == {
        name: live.judgement.hits[name].sum() + new.judgement.hits[name].sum() for name in hits
    }
    share = share_of(new.model, joined.judgement)
    assert (share.run, share.lines, share.threshold) == ("new", theirs.sum(), 3.5)
    assert share.flagged == new.judgement.lines["suspicious"].sum()


@pytest.fixture
def gone(monkeypatch):
    """Endpoints that cannot score; `deleted` are those that were asked to be deleted."""
    names, deleted = set(), []
    monkeypatch.setattr(trials, "can_score", lambda name: name not in names)
    monkeypatch.setattr("suspicious_lines.promotion.can_score", lambda name: name not in names)
    for module in ("trials", "promotion"):
        monkeypatch.setattr(f"suspicious_lines.{module}.delete_endpoint", lambda name: deleted.append(name) or [name])
    return names, deleted


@pytest.fixture
def live(cloud, gone):
    def make(challenger=None, rejected=()):
        former = [version(run) for run in ("b", "a")]
        document = LiveModel(
            **msgspec.to_builtins(version("c")), former=former, challenger=challenger, rejected=list(rejected)
        )
        store.put_json(BUCKET, "models/current.json", document)

    make()
    return make


@pytest.fixture
def trained(cloud):
    """The run new, which trained a model that nobody promoted."""
    store.put(BUCKET, "runs/new/encoder.json", Encoder.fit(lines_frame(200, 1)).to_json(), "application/json")
    store.put_json(BUCKET, "runs/new/results/metrics.json", {"threshold": {"value": 3.0}})
    store.put_json(BUCKET, "runs/new/receipt.json", receipt_of("new", "new"))


def receipt_of(run, model_run, status="SUCCEEDED"):
    return {
        "run": run, "execution_arn": "arn", "status": status, "input": None, "model": {"run": model_run},
        "timings": {"started_at": "2026-11-01T00:00:00+00:00", "seconds": 1, "states": {}, "transitions": 1},
        "estimated_cost": None,
    }  # fmt: skip


def order(**given):
    return {"action": "begin", "run": "new", "kind": "ab", "share": 20} | given


@pytest.fixture
def call(load_handler, context):
    return lambda function, run="trial-1", **event: load_handler(function)({"run": run, **event}, context)


ENDPOINT = dict.fromkeys(("endpoint_name", "host"), "endpoint-of-trial-1") | {"max_concurrency": 5, "poll_seconds": 1}


def begin(call, run="trial-1", **given):
    return call("begin_trial", run, order=order(**given), endpoint=ENDPOINT)


def test_a_trial_is_prepared_for_a_run_that_trained_a_model(call, live, trained):
    assert call("prepare_trial", order=order()) == {"job_name": "suspicious-lines-new-11507a0e2f5e"}


def test_a_trial_begins_beside_the_live_model_once(cloud, call, live, trained):
    before = live_model(BUCKET)
    began = begin(call)
    assert began == begin(call), "a retry"
    now = live_model(BUCKET)
    assert now == msgspec.structs.replace(before, challenger=now.challenger)
    assert msgspec.to_builtins(now.challenger) == began
    assert (began["run"], began["kind"], began["share"], began["threshold"]) == ("new", "ab", 20, 3.0)
    (message,) = cloud.sqs.receive_message(QueueUrl=cloud.queues["operators"], MaxNumberOfMessages=10)["Messages"]
    assert "20 % of the invoices" in json.loads(message["Body"])["Message"]
    assert begin(call, kind="shadow") == began


def test_a_shadow_takes_all_lines(call, live, trained):
    assert begin(call, kind="shadow")["share"] == 100


@pytest.mark.parametrize(
    ("run", "words"),
    [("", "No run is no training run"), ("x", "x is no training run"), ("c", "is the live one already")],
)
def test_what_cannot_be_tried_is_refused_in_words(call, live, trained, run, words):
    with pytest.raises(TrialRefusedError, match=words):
        call("prepare_trial", order=order(run=run))


@pytest.mark.parametrize("receipt", [receipt_of("s", "c"), receipt_of("s", "s", "FAILED")])
def test_runs_that_trained_nothing_are_refused(call, live, receipt):
    store.put_json(BUCKET, "runs/s/receipt.json", receipt)
    with pytest.raises(TrialRefusedError, match="s is no training run that succeeded"):
        call("prepare_trial", order=order(run="s"))


def test_models_of_families_are_refused(call, live):
    store.put_json(BUCKET, "runs/s/receipt.json", receipt_of("s", "s") | {"family": "claims"})
    with pytest.raises(TrialRefusedError, match="is of the family claims"):
        call("prepare_trial", order=order(run="s"))


@pytest.mark.parametrize("mode", ["provisioned", "real-time", "async", "batch"])
def test_trials_are_of_serverless_endpoints(call, live, trained, monkeypatch, mode):
    monkeypatch.setenv("HOSTING_MODE", mode)
    with pytest.raises(TrialRefusedError, match=f"HostingMode is {mode}"):
        call("prepare_trial", order=order())


def test_a_model_that_was_rejected_in_the_registry_is_neither_tried_nor_promoted(call, live, trained):
    live(on_trial(), rejected=["new"])
    with pytest.raises(TrialRefusedError, match="was rejected"):
        call("prepare_trial", order=order())
    with pytest.raises(TrialRefusedError, match="was rejected"):
        conclude(call, promote=True)
    assert conclude(call, promote=False)["promoted"] is False


def test_a_model_that_went_live_meanwhile_ends_its_trial_unpromoted(call, live, gone):
    live(on_trial("c"))
    with pytest.raises(TrialRefusedError, match="is live"):
        conclude(call, promote=True)
    assert conclude(call, promote=False) == {"run": "c", "promoted": False, "live_run": "c"}
    assert gone[1] == ["endpoint-of-trial-1"], "and not the endpoint that it is live by"


def test_a_former_model_that_is_promoted_again_loses_its_former_endpoint(call, live, gone):
    live(on_trial("b"))
    conclude(call, promote=True)
    now = live_model(BUCKET)
    assert (now.run, now.endpoint_name) == ("b", "endpoint-of-trial-1")
    assert [former.run for former in now.former] == ["c"]
    assert set(gone[1]) == {"endpoint-b", "endpoint-a"}


def test_a_former_model_is_tried_with_the_threshold_that_verdicts_gave_it(call, live, trained):
    metrics = {"threshold": {"value": 7.5}}
    store.put_json(BUCKET, "runs/b/results/metrics.json", metrics)
    store.put_json(BUCKET, "runs/new/results/metrics.json", metrics)
    assert call("begin_trial", order=order(run="b"), endpoint=ENDPOINT)["threshold"] == 2.0
    live()
    assert begin(call)["threshold"] == 7.5, "a model that never served has the one of its training"


def test_an_ab_counts_the_runs_that_its_models_had_lines_of(call, live):
    live(on_trial())
    for name, model in (("score-1", "c"), ("score-2", "new"), ("of-a-family", "another")):
        columns = {"run": name, "model_run": model, "matter_number": "1", "suspicious": True, "at_stake": 2.5}
        datasets.write_dataset(pd.DataFrame([columns]), BUCKET, f"scored/dt=2026-11-03/{name}.parquet")
    report = call("report_trial", order={"action": "report"})
    assert report["runs"] == 2
    arms = [(arm["run"], arm["lines"], arm["amount_at_stake"]) for arm in report["arms"]]
    assert arms == [("c", 1, 2.5), ("new", 1, 2.5)]


def test_one_trial_at_a_time(call, live, trained):
    live(on_trial("other", trial="trial-0"))
    for function, more in (("prepare_trial", {}), ("begin_trial", {"endpoint": ENDPOINT})):
        with pytest.raises(TrialRefusedError, match="run other is on trial"):
            call(function, order=order(), **more)


def test_a_trial_does_not_begin_without_its_endpoint(call, live, trained, gone):
    gone[0].add("endpoint-of-trial-1")
    with pytest.raises(TrialRefusedError, match="is gone"):
        begin(call)
    assert live_model(BUCKET).challenger is None


def test_a_trial_that_could_not_begin_leaves_no_endpoint(call, live, gone, monkeypatch):
    monkeypatch.setattr(trials, "settle", lambda name, seconds: None)
    (deleted,) = call("abandon_trial")["deleted"]
    assert deleted.startswith("suspicious-lines-trial1-")
    live(on_trial())
    assert call("abandon_trial")["deleted"] == [], "it began: the answer was lost"


def conclude(call, run="end-1", **given):
    return call("conclude_trial", run, order={"action": "conclude", **given})


def test_a_refused_model_leaves_the_live_one_and_no_endpoint(cloud, call, live, gone):
    live(on_trial())
    before = live_model(BUCKET)
    told = conclude(call, promote=False, reason="too many lines")
    assert told == conclude(call, promote=False) == {"run": "new", "promoted": False, "live_run": "c"}
    now = live_model(BUCKET)
    assert now == msgspec.structs.replace(before, challenger=None, trials=now.trials)
    (ended,) = now.trials
    assert (ended.run, ended.promoted, ended.reason, ended.execution) == ("new", False, "too many lines", "end-1")
    assert set(gone[1]) == {"endpoint-of-trial-1"}
    assert len(cloud.sqs.receive_message(QueueUrl=cloud.queues["operators"], MaxNumberOfMessages=10)["Messages"]) == 1


def test_a_promoted_model_replaces_the_live_one_which_is_kept(call, live, gone, monkeypatch):
    monkeypatch.setenv("MODELS_KEPT", "2")
    live(on_trial())
    told = conclude(call, promote=True, reason="better")
    assert told == conclude(call, promote=True) == {"run": "new", "promoted": True, "live_run": "new"}
    now = live_model(BUCKET)
    assert (now.run, now.endpoint_name, now.threshold) == ("new", "endpoint-of-trial-1", 3.0)
    assert (now.challenger, [former.run for former in now.former]) == (None, ["c"])
    assert (now.history[0].what, now.history[0].execution, now.history[0].replaced) == ("promoted", "end-1", "c")
    assert set(gone[1]) == {"endpoint-b", "endpoint-a"}, "as many models stay as after any promotion"


def test_a_model_that_cannot_score_is_not_promoted(call, live, gone):
    live(on_trial())
    gone[0].add("endpoint-of-trial-1")
    with pytest.raises(TrialRefusedError, match="cannot score"):
        conclude(call, promote=True)
    assert live_model(BUCKET).challenger == on_trial()
    assert conclude(call, promote=False)["promoted"] is False


@pytest.mark.parametrize("function", ["conclude_trial", "report_trial"])
def test_without_a_trial_there_is_nothing_to_conclude_or_report(call, live, function):
    with pytest.raises(TrialRefusedError, match="No model is on trial"):
        call(function, order={"action": "conclude"})
