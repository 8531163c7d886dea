"""The live model in a run that trains another: it is given the same lines to score. promotion_gate.py compares them."""

from msgspec import convert

from suspicious_lines import datasets, store
from suspicious_lines.encoder import ENCODED, Encoder
from suspicious_lines.features import features_csv
from suspicious_lines.layout import RunFiles, champion_part
from suspicious_lines.model_messages import (
    DOES_NOT_SCORE,
    NOTHING_LIVE,
    REJECTED,
    UNREADABLE,
    ChampionRequest,
    Contest,
    LiveModel,
)
from suspicious_lines.promotion import find_live_model
from suspicious_lines.score_messages import ModelInUse
from suspicious_lines.settings import BucketSettings


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
        lines = datasets.read_part(bucket, files.lines(part), ENCODED)
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
