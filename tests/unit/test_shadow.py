"""A model in the shadow: what it is given of a run, and what is made of its scores."""

import io

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from frames import BUCKET, lines_frame, metrics_of
from suspicious_lines import datasets, store
from suspicious_lines.encoder import Encoder
from suspicious_lines.errors import ModelResponseError
from suspicious_lines.features import features_csv
from suspicious_lines.judging import judge, judge_by
from suspicious_lines.layout import shadow_part
from suspicious_lines.messages import ChosenThreshold
from suspicious_lines.model_messages import Challenger, LiveModel
from suspicious_lines.ranking import Reference
from suspicious_lines.rules import Rules
from suspicious_lines.thresholds import Goal

PARTS = ["invoices/5e6f7a8b/part-00000", "invoices/5e6f7a8b/part-00001"]
GOAL = Goal(strategy="budget", budget="20", precision_floor=0.9, beta=1)
CHALLENGER = Challenger(
    run="new", endpoint_name="endpoint-new", max_concurrency=3, threshold=2.5, trial="trial-1", kind="shadow",
    share=100, began_at="2026-11-01T00:00:00+00:00",
)  # fmt: skip


def forest(encoder, lines):
    return np.abs(encoder.encode(lines)).sum(axis=1).astype(float)


def train(run, seed):
    """What a training run leaves: (encoder, its scored lines)."""
    lines = lines_frame(400, seed)
    encoder = Encoder.fit(lines)
    store.put(BUCKET, f"runs/{run}/encoder.json", encoder.to_json(), "application/json")
    judged = judge(lines.assign(model_score=forest(encoder, lines)), encoder, Rules.default(), GOAL)
    datasets.write_dataset(judged.lines, BUCKET, f"runs/{run}/results/scored_lines.parquet")
    chosen = ChosenThreshold(value=judged.threshold.value, strategy="budget", note=None)
    store.put_json(BUCKET, f"runs/{run}/results/metrics.json", metrics_of(chosen))
    return encoder, judged


@pytest.fixture
def scored(cloud):
    """The run score-1 of the live model: its lines, as it judged them; every fifth flagged one is suppressed."""
    encoder, past = train("live", 1)
    lines = lines_frame(100, 3, labelled=False)
    reference = Reference.of(past.lines["model_score"].to_numpy(), past.hits, Rules.default().ranking())
    chosen = ChosenThreshold(value=1.5, strategy="budget", note=None)
    judged = judge_by(
        lines.assign(model_score=forest(encoder, lines)), encoder, Rules.default(), reference, 1.5, chosen
    ).lines
    hidden = judged.index[judged["suspicious"]][::5]
    judged = judged.assign(
        suppressed_by=pd.Series(pd.NA, index=judged.index, dtype="string"), flagged=judged["suspicious"]
    )
    judged.loc[hidden, "suspicious"], judged.loc[hidden, "suppressed_by"] = False, "fine"
    datasets.write_dataset(judged, BUCKET, "runs/score-1/results/scored_lines.parquet")
    store.put_json(BUCKET, "runs/score-1/parts.json", PARTS)
    store.put_json(BUCKET, "runs/score-1/receipt.json", {"model": {"run": "live"}, "status": "SUCCEEDED"})
    for part, frame in zip(PARTS, [lines[:60], lines[60:]], strict=True):
        datasets.write_part(
            pa.Table.from_pandas(frame, preserve_index=False), BUCKET, f"runs/score-1/lines/{part}.parquet"
        )
    return judged


def make_live(challenger, rejected=()):
    live = LiveModel(
        run="live", endpoint_name="endpoint-live", max_concurrency=3, encoder_key="runs/live/encoder.json",
        threshold=1.5, promoted_at="2026-11-01T00:00:00+00:00", challenger=challenger, rejected=list(rejected),
    )  # fmt: skip
    store.put_json(BUCKET, "models/current.json", live)


@pytest.fixture
def call(load_handler, context):
    return lambda function, **event: load_handler(function)({"run": "score-1", **event}, context)


def test_the_runs_lines_are_encoded_as_the_challenger_reads_them(scored, call):
    encoder, _ = train("new", 2)
    make_live(CHALLENGER)
    shadow = call("encode_for_challenger")
    assert shadow["parts"] == [shadow_part(part, "new") for part in PARTS]
    assert (shadow["endpoint_name"], shadow["max_concurrency"]) == ("endpoint-new", 3)
    assert shadow["challenger"] == msgspec.to_builtins(CHALLENGER)
    for part in PARTS:
        lines = datasets.read_dataset(BUCKET, [f"runs/score-1/lines/{part}.parquet"])
        written = store.get_bytes(BUCKET, f"runs/score-1/features/{shadow_part(part, 'new')}.csv")
        assert written == features_csv(encoder, lines)


@pytest.mark.parametrize("challenger", [None, msgspec.structs.replace(CHALLENGER, kind="ab")])
def test_without_a_model_in_the_shadow_there_is_nothing_to_score(scored, call, challenger):
    make_live(challenger)
    assert call("encode_for_challenger")["parts"] == []


def test_a_model_that_was_rejected_in_the_registry_scores_no_more(scored, call):
    train("new", 2)
    make_live(CHALLENGER, rejected=["new"])
    assert call("encode_for_challenger")["parts"] == []


def test_an_execution_that_scored_nothing_is_not_shadowed(scored, call):
    train("new", 2)
    make_live(CHALLENGER)
    assert call("encode_for_challenger", run="duplicate")["parts"] == []


def test_a_run_of_a_family_is_not_shadowed(scored, call):
    train("new", 2)
    make_live(CHALLENGER)
    receipt = {"model": {"run": "live"}, "status": "SUCCEEDED", "family": "claims"}
    store.put_json(BUCKET, "runs/score-1/receipt.json", receipt)
    assert call("encode_for_challenger")["parts"] == []


def test_a_run_that_another_trial_had_a_share_of_is_not_shadowed(scored, call):
    train("new", 2)
    make_live(CHALLENGER)
    store.put_json(BUCKET, "runs/score-1/parts.json", [*PARTS, "challenger/5e6f7a8b/part-00000"])
    assert call("encode_for_challenger")["parts"] == []


def write_scores(encoder, wrong=0):
    for part in PARTS:
        lines = datasets.read_dataset(BUCKET, [f"runs/score-1/lines/{part}.parquet"])
        table = pa.table({"line": lines["line"].to_numpy() + wrong, "score": forest(encoder, lines)})
        datasets.write_part(table, BUCKET, f"runs/score-1/scores/{shadow_part(part, 'new')}.parquet")


def test_both_models_scores_are_captured_and_compared(scored, call):
    encoder, past = train("new", 2)
    make_live(CHALLENGER)
    shadow = call("encode_for_challenger")
    write_scores(encoder)
    found = call("compare_shadow", shadow=shadow)
    assert found == store.get_json(BUCKET, "runs/score-1/results/shadow.json")
    captured = pd.read_parquet(io.BytesIO(store.get_bytes(BUCKET, "trials/trial-1/scores/score-1.parquet")))
    assert captured["line"].tolist() == scored["line"].tolist()
    assert captured["score"].tolist() == scored["score"].tolist()
    assert captured["flagged"].tolist() == scored["flagged"].tolist(), "hidden lines are flagged all the same"
    assert set(captured["live_run"]) == {"live"}
    reference = Reference.of(past.lines["model_score"].to_numpy(), past.hits, Rules.default().ranking())
    hits = Rules.default().hits(scored, encoder)
    expected = reference.score(forest(encoder, scored), hits)
    assert captured["challenger_score"].to_numpy() == pytest.approx(expected)
    assert (captured["challenger_flagged"] == (expected >= 2.5)).all()
    assert found["agreement"] == pytest.approx((captured["flagged"] == captured["challenger_flagged"]).mean())
    assert found["rank_correlation"] == pytest.approx(
        captured["score"].rank().corr(captured["challenger_score"].rank())
    )


def test_scores_of_other_lines_are_refused(scored, call):
    encoder, _ = train("new", 2)
    make_live(CHALLENGER)
    shadow = call("encode_for_challenger")
    write_scores(encoder, wrong=1)
    with pytest.raises(ModelResponseError):
        call("compare_shadow", shadow=shadow)
