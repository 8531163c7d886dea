import json

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from frames import BUCKET, lines_frame, metrics_of
from suspicious_lines import datasets, store
from suspicious_lines.comparing import Comparison
from suspicious_lines.encoder import Encoder
from suspicious_lines.errors import ModelResponseError
from suspicious_lines.features import features_csv
from suspicious_lines.judging import judge
from suspicious_lines.layout import champion_part
from suspicious_lines.messages import ChosenThreshold
from suspicious_lines.model_messages import LiveModel
from suspicious_lines.planted import plant
from suspicious_lines.quality import average_precision
from suspicious_lines.rules import Rules
from suspicious_lines.thresholds import Goal

PARTS = ["validation/part-00000", "validation/part-00001", "planted/part-00000"]
GOAL = Goal(strategy="budget", budget="20", precision_floor=0.9, beta=1)


def forest(encoder, lines):
    """A model that does well: the sum of the features."""
    return np.abs(encoder.encode(lines)).sum(axis=1).astype(float)


def chance(encoder, lines):
    """A model that knows nothing."""
    return (lines["line"].to_numpy() * 7919 % 1009).astype(float)


class Runs:
    """What training runs leave in the bucket."""

    def __init__(self, labelled=True):
        self.labelled = labelled

    def train(self, run, seed, score=forest):
        """A run with its own lines, encoder and scores."""
        lines = lines_frame(400, seed, self.labelled)
        encoder = Encoder.fit(lines)
        store.put(BUCKET, f"runs/{run}/encoder.json", encoder.to_json(), "application/json")
        frames = dict(zip(PARTS, [lines[:200], lines[200:], plant(lines, 1)], strict=True))
        for part, frame in frames.items():
            table = pa.Table.from_pandas(frame, preserve_index=False)
            datasets.write_part(table, BUCKET, f"runs/{run}/lines/{part}.parquet")
            self.write_scores(run, part, frame, score(encoder, frame))
        judged = judge(lines.assign(model_score=score(encoder, lines)), encoder, Rules.default(), GOAL)
        datasets.write_dataset(judged.lines, BUCKET, f"runs/{run}/results/scored_lines.parquet")
        chosen = ChosenThreshold(value=judged.threshold.value, strategy="budget", note=None)
        metrics = metrics_of(chosen, flagged=20)
        store.put_json(BUCKET, f"runs/{run}/results/metrics.json", metrics)

    @staticmethod
    def write_scores(run, part, lines, scores):
        table = pa.table({"line": lines["line"].to_numpy(), "score": scores})
        datasets.write_part(table, BUCKET, f"runs/{run}/scores/{part}.parquet")

    def make_live(self, run):
        live = LiveModel(
            run=run,
            endpoint_name=f"endpoint-{run}",
            max_concurrency=3,
            encoder_key=f"runs/{run}/encoder.json",
            threshold=2.5,
            promoted_at="2026-11-01T00:00:00+00:00",
        )
        store.put_json(BUCKET, "models/current.json", live)

    def score_as_champion(self, run, champion, score=forest):
        encoder = Encoder.from_json(store.get_bytes(BUCKET, f"runs/{champion}/encoder.json").decode())
        for part in PARTS:
            lines = datasets.read_dataset(BUCKET, [f"runs/{run}/lines/{part}.parquet"])
            self.write_scores(run, champion_part(part, champion), lines, score(encoder, lines))


@pytest.fixture
def encode(cloud, load_handler, context):
    return lambda gone="": load_handler("encode_for_champion")({"run": "new", "parts": PARTS, "gone": gone}, context)


@pytest.fixture
def compare(cloud, load_handler, context):
    """(answer, comparison.json)"""

    def run(contest):
        answer = load_handler("compare_models")({"run": "new", "parts": PARTS, "contest": contest}, context)
        return answer, msgspec.json.decode(store.get_bytes(BUCKET, "runs/new/results/comparison.json"), type=Comparison)

    return run


def test_encode_for_champion_writes_the_runs_lines_as_the_live_model_reads_them(encode):
    runs = Runs()
    runs.train("live", 1)
    runs.train("new", 2)
    runs.make_live("live")
    contest = encode()
    assert contest == {
        "live_run": "live",
        "champion": {"run": "live", "endpoint_name": "endpoint-live", "max_concurrency": 3, "threshold": 2.5},
        "parts": [champion_part(part, "live") for part in PARTS],
        "note": None,
    }
    encoder = Encoder.from_json(store.get_bytes(BUCKET, "runs/live/encoder.json").decode())
    for part in PARTS:
        lines = datasets.read_dataset(BUCKET, [f"runs/new/lines/{part}.parquet"])
        assert store.get_bytes(BUCKET, f"runs/new/features/{champion_part(part, 'live')}.csv") == features_csv(
            encoder, lines
        )


def test_without_a_live_model_there_is_no_champion(encode, compare):
    contest = encode()
    assert contest == {"live_run": None, "champion": None, "parts": [], "note": "no model was live before"}
    answer, told = compare(contest)
    assert answer == {"promoted": True, "champion": None, "reason": "no model was live before"}
    assert told.by == "nothing"


def test_a_live_model_that_is_gone_is_no_champion(encode, compare):
    runs = Runs()
    runs.train("live", 1)
    runs.make_live("live")
    contest = encode("endpoint-live")
    assert (contest["live_run"], contest["champion"], contest["parts"]) == ("live", None, [])
    answer, _ = compare(contest)
    assert (answer["promoted"], answer["champion"]) == (True, "live")
    assert "does not score any more" in answer["reason"]


def test_a_live_model_that_people_rejected_is_no_champion(encode):
    runs = Runs()
    runs.train("live", 1)
    runs.make_live("live")
    live = store.get_json(BUCKET, "models/current.json")
    store.put_json(BUCKET, "models/current.json", live | {"rejected": ["live"]})
    contest = encode()
    assert (contest["live_run"], contest["champion"], contest["parts"]) == ("live", None, [])
    assert "was rejected in the registry" in contest["note"]


@pytest.mark.parametrize("fault", ["version", "no JSON", "another form", "no encoder", "no results"])
def test_a_live_model_that_cannot_be_read_is_no_champion(cloud, encode, fault):
    runs = Runs()
    runs.train("live", 1)
    runs.make_live("live")
    key = "runs/live/encoder.json"
    if fault.startswith("no ") and fault != "no JSON":
        cloud.s3.delete_object(
            Bucket=BUCKET, Key=key if fault == "no encoder" else "runs/live/results/scored_lines.parquet"
        )
    else:
        body = {"version": '{"version": 1}', "no JSON": "{", "another form": "[]"}[fault]
        store.put(BUCKET, key, body, "application/json")
    contest = encode()
    assert (contest["live_run"], contest["champion"], contest["parts"]) == ("live", None, [])
    assert "another version" in contest["note"]


def test_results_of_another_version_are_nothing_to_compare_with(encode, compare):
    runs = Runs()
    runs.train("live", 1)
    runs.train("new", 2)
    runs.make_live("live")
    contest = encode()
    runs.score_as_champion("new", "live")
    store.put_json(BUCKET, "runs/live/results/metrics.json", {"threshold": 1})
    answer, told = compare(contest)
    assert (answer["promoted"], answer["champion"], told.by) == (True, "live", "nothing")


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize(("new", "live", "promoted"), [(forest, forest, True), (chance, forest, False)])
def test_compare_models_measures_both_by_their_own_yardsticks(encode, compare, labelled, new, live, promoted):
    runs = Runs(labelled)
    runs.train("live", 1, live)
    runs.train("new", 2, new)
    runs.make_live("live")
    contest = encode()
    runs.score_as_champion("new", "live", live)
    answer, told = compare(contest)
    assert (told.promoted, told.by) == (promoted, "average precision" if labelled else "agreement")
    assert (told.challenger, told.champion, told.flagged) == ("new", "live", 20)
    assert answer == msgspec.to_builtins(told.decision())
    assert (told.agreement > 0.5) == promoted
    # The new model scores here as it did where its threshold was chosen.
    past = datasets.read_dataset(BUCKET, ["runs/new/results/scored_lines.parquet"])
    known = past["error"].fillna(False).to_numpy(bool)
    own = average_precision(past["score"].to_numpy(), known)
    assert told.challenger_figures.average_precision == (pytest.approx(own) if labelled else None)


def test_scores_of_other_lines_are_refused(encode, compare):
    runs = Runs()
    runs.train("live", 1)
    runs.train("new", 2)
    runs.make_live("live")
    contest = encode()
    runs.score_as_champion("new", "live")
    runs.write_scores("new", champion_part(PARTS[1], "live"), lines_frame(200), np.zeros(200))
    with pytest.raises(ModelResponseError):
        compare(contest)


def test_the_limits_are_those_of_the_template(encode, compare, monkeypatch):
    monkeypatch.setenv("PROMOTION_MARGIN", "0.5")
    _, told = compare(encode())
    assert json.loads(msgspec.json.encode(told))["limits"] == {"margin": 0.5, "agreement": 0.5}
