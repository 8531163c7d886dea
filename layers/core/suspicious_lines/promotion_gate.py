"""Whether the model that a run has trained may replace the live one, which has scored the same lines."""

from suspicious_lines import store
from suspicious_lines.comparing import Contender, Limits, compare, unopposed
from suspicious_lines.judging import judge_by
from suspicious_lines.layout import RunFiles
from suspicious_lines.messages import Decision
from suspicious_lines.model_messages import NOTHING_LIVE, UNREADABLE, CompareRequest
from suspicious_lines.model_settings import CompareSettings
from suspicious_lines.rules import Rules
from suspicious_lines.yardstick import Yardstick, read_scored, read_yardstick


def compare_models(request: CompareRequest, settings: CompareSettings) -> Decision:
    """Decides whether the run's model may replace the live one, and writes results/comparison.json.

    Raises:
        ModelResponseError: a part's scores are not those of its lines.
        SettingsError: the rules' configuration in the bucket is wrong.
    """
    bucket, files = settings.data_bucket, RunFiles(request.run)
    limits = Limits(margin=settings.promotion_margin, agreement=settings.promotion_agreement)
    contest = request.contest
    if contest.champion is None:
        comparison = unopposed(request.run, contest.live_run, contest.note or NOTHING_LIVE, limits)
    else:
        rules = Rules.read(bucket)
        own = read_yardstick(bucket, request.run, rules)
        challenger = _contender(bucket, files, request.run, own, request.parts, rules)
        try:
            theirs = read_yardstick(bucket, contest.champion.run, rules)
        except (ValueError, KeyError):
            comparison = unopposed(request.run, contest.live_run, UNREADABLE, limits)
        else:
            champion = _contender(bucket, files, contest.champion.run, theirs, contest.parts, rules)
            comparison = compare(challenger, champion, int(own.past["suspicious"].sum()), limits)
    store.put_json(bucket, files.result("comparison.json"), comparison)
    return comparison.decision()


def _contender(
    bucket: str, files: RunFiles, model_run: str, yardstick: Yardstick, parts: list[str], rules: Rules
) -> Contender:
    """What a model says of the run's lines, scored in `parts`, by that model's own yardstick."""
    validation = read_scored(bucket, files, [part for part in parts if "validation/" in part])
    planted = read_scored(bucket, files, [part for part in parts if "planted/" in part])
    encoder, reference, chosen = yardstick.encoder, yardstick.reference, yardstick.chosen
    judged = judge_by(validation, encoder, rules, reference, chosen.value, chosen)
    scores = reference.score(planted["model_score"].to_numpy(), rules.hits(planted, encoder))
    return Contender(model_run, judged.scored, scores)
