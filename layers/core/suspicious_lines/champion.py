"""The live model in a run that trains another: it scores the same lines, and the comparison decides which serves."""

from msgspec import convert

from suspicious_lines import datasets, store
from suspicious_lines.comparing import Contender, Limits, compare, unopposed
from suspicious_lines.encoder import CATEGORIES, Encoder
from suspicious_lines.features import features_csv
from suspicious_lines.judging import judge_by
from suspicious_lines.layout import RunFiles, champion_part
from suspicious_lines.messages import Decision
from suspicious_lines.model_messages import ChampionRequest, CompareRequest, Contest, LiveModel
from suspicious_lines.model_settings import CompareSettings
from suspicious_lines.promotion import find_live_model
from suspicious_lines.rules import Rules
from suspicious_lines.score_messages import ModelInUse
from suspicious_lines.settings import BucketSettings
from suspicious_lines.yardstick import Yardstick, read_scored, read_yardstick

NOTHING_LIVE = "no model was live before"
DOES_NOT_SCORE = "the live model does not score any more: its endpoint is gone or gives other answers than scores"
REJECTED = "the live model was rejected in the registry, and there was no former one to go back to"
UNREADABLE = "the live model was left by another version of this product or its files are gone: it cannot be compared"


def encode_for_champion(request: ChampionRequest, settings: BucketSettings) -> Contest:
    """Encodes the run's lines as the live model reads them, beside those that its own model has read.

    Lines of other runs that reviewers judged are left out: the comparison is on the run's own file.

    A live model that cannot score them, or that people rejected, is no champion: the new one may replace it without a
    comparison, because a model that serves nobody must not keep others out.
    """
    bucket, files = settings.data_bucket, RunFiles(request.run)
    live = find_live_model(bucket, request.family)
    if live is None:
        return Contest(live_run=None, champion=None, parts=[], note=NOTHING_LIVE)
    if live.run in live.rejected:
        return Contest(live_run=live.run, champion=None, parts=[], note=REJECTED)
    if live.endpoint_name == request.gone:
        return Contest(live_run=live.run, champion=None, parts=[], note=DOES_NOT_SCORE)
    encoder = _readable_encoder(bucket, live)
    if encoder is None:
        return Contest(live_run=live.run, champion=None, parts=[], note=UNREADABLE)
    parts = [champion_part(part, live.run) for part in request.parts if not part.startswith("judged/")]
    for part in parts:
        lines = datasets.read_part(bucket, files.lines(part), [*CATEGORIES, "minutes", "fee", "total"]).to_pandas()
        store.put(bucket, files.features(part), features_csv(encoder, lines), "text/csv")
    store.put_json(bucket, files.champion_parts, parts)
    champion = convert(live, ModelInUse, from_attributes=True)
    return Contest(live_run=live.run, champion=champion, parts=parts, note=None)


def _readable_encoder(bucket: str, live: LiveModel) -> Encoder | None:
    """The live model's encoder; None where the comparison would not find all that it needs of that model."""
    past = RunFiles(live.run)
    needed = [past.result("metrics.json"), past.result("scored_lines.parquet")]
    found = store.get_with_etag(bucket, live.encoder_key)
    if not found or not all(store.exists(bucket, key) for key in needed):
        return None
    try:
        return Encoder.from_json(found[0].decode())
    except (ValueError, KeyError, TypeError):
        return None


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
