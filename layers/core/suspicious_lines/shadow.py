"""A model on trial in the shadow: it scores what the live model has scored, and the two are compared.

It works on what a run has left, once that has succeeded: no failure and no delay of the shadow can reach the run.
"""

import json

import pandas as pd

from suspicious_lines import datasets, store
from suspicious_lines.encoder import CATEGORIES, Encoder
from suspicious_lines.features import features_csv
from suspicious_lines.judging import judge_by
from suspicious_lines.layout import RunFiles, is_challengers, shadow_part, trial_scores_key
from suspicious_lines.promotion import find_live_model
from suspicious_lines.rules import Rules
from suspicious_lines.settings import BucketSettings
from suspicious_lines.trial_messages import CompareShadowRequest, Shadow, ShadowRequest
from suspicious_lines.trial_report import Agreement, agreement
from suspicious_lines.yardstick import read_scored, read_yardstick

NOTHING = Shadow(parts=[], challenger=None, endpoint_name="", max_concurrency=1)


def encode_for_challenger(request: ShadowRequest, settings: BucketSettings) -> Shadow:
    """Encodes the lines of a run that has scored new lines as the model in the shadow reads them.

    Nothing where no model is in the shadow or it was rejected in the registry meanwhile, where the execution scored
    nothing (a duplicate, or a parked upload) or the lines of a family, and where a trial that has ended meanwhile had a
    share of its invoices.
    """
    bucket, files = settings.data_bucket, RunFiles(request.run)
    live = find_live_model(bucket)
    challenger = live.challenger if live else None
    if not live or not challenger or challenger.kind != "shadow" or challenger.run in live.rejected:
        return NOTHING
    told = store.get_with_etag(bucket, files.receipt)
    if not told or json.loads(told[0]).get("family"):
        return NOTHING
    scored, parts = store.get_json(bucket, files.parts), []
    if any(map(is_challengers, scored)):
        return NOTHING
    encoder = Encoder.from_json(store.get_bytes(bucket, RunFiles(challenger.run).encoder).decode())
    for part in scored:
        lines = datasets.read_part(bucket, files.lines(part), [*CATEGORIES, "minutes", "fee", "total"]).to_pandas()
        parts.append(shadow_part(part, challenger.run))
        store.put(bucket, files.features(parts[-1]), features_csv(encoder, lines), "text/csv")
    return Shadow(
        parts=parts,
        challenger=challenger,
        endpoint_name=challenger.endpoint_name,
        max_concurrency=challenger.max_concurrency,
    )


def compare_shadow(request: CompareShadowRequest, settings: BucketSettings) -> Agreement:
    """Captures the scores of both models beside each other, and writes results/shadow.json.

    Raises:
        ModelResponseError: a part's scores are not those of its lines.
        SettingsError: the rules' configuration in the bucket is wrong.
    """
    bucket, files, shadow = settings.data_bucket, RunFiles(request.run), request.shadow
    assert shadow.challenger is not None
    rules = Rules.read(bucket)
    other = read_yardstick(bucket, shadow.challenger.run, rules)
    lines = read_scored(bucket, files, shadow.parts)
    judged = judge_by(lines, other.encoder, rules, other.reference, shadow.challenger.threshold, other.chosen)
    live_run = store.get_json(bucket, files.receipt)["model"]["run"]
    scored = datasets.read_dataset(bucket, [files.result("scored_lines.parquet")])
    # A line that a suppression hides is flagged all the same: hiding says nothing of the model.
    flagged = scored["suspicious"].to_numpy(bool) | scored["suppressed_by"].notna().to_numpy(bool)
    captured = pd.DataFrame(
        {
            "run": request.run,
            "live_run": live_run,
            "line": scored["line"].to_numpy(),
            "score": scored["score"].to_numpy(),
            "flagged": flagged,
        }
    ).merge(
        pd.DataFrame(
            {
                "line": judged.lines["line"].to_numpy(),
                "challenger_score": judged.scored.score,
                "challenger_flagged": judged.threshold.flagged,
            }
        ),
        on="line",
        validate="one_to_one",
    )
    datasets.write_dataset(captured, bucket, trial_scores_key(shadow.challenger.trial, request.run))
    found = agreement(captured)
    store.put_json(bucket, files.result("shadow.json"), found)
    return found
