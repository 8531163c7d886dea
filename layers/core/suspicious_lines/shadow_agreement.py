"""How far a model in the shadow agrees with the live one on the lines of a run, once both have scored them."""

from suspicious_lines import datasets, store
from suspicious_lines.judging import judge_by
from suspicious_lines.layout import RunFiles, trial_scores_key
from suspicious_lines.rules import Rules
from suspicious_lines.settings import BucketSettings
from suspicious_lines.trial_messages import CompareShadowRequest
from suspicious_lines.trial_report import Agreement, agreement
from suspicious_lines.yardstick import read_scored, read_yardstick

_LIVE_COLUMNS = ["run", "live_run", "line", "score", "flagged"]


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
    theirs = judged.lines[["line"]].assign(
        challenger_score=judged.scored.score, challenger_flagged=judged.threshold.flagged
    )
    captured = scored.assign(run=request.run, live_run=live_run, flagged=flagged)[_LIVE_COLUMNS].merge(
        theirs, on="line", validate="one_to_one"
    )
    datasets.write_dataset(captured, bucket, trial_scores_key(shadow.challenger.trial, request.run))
    found = agreement(captured)
    store.put_json(bucket, files.result("shadow.json"), found)
    return found
