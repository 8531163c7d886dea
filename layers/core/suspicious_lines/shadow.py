"""A model on trial in the shadow: it is given what the live model has scored. shadow_agreement.py compares the two.

It works on what a run has left, once that has succeeded: no failure and no delay of the shadow can reach the run.
"""

import json

from suspicious_lines import datasets, store
from suspicious_lines.encoder import ENCODED, Encoder
from suspicious_lines.features import features_csv
from suspicious_lines.layout import RunFiles, is_challengers, shadow_part
from suspicious_lines.promotion import find_live_model
from suspicious_lines.settings import BucketSettings
from suspicious_lines.trial_messages import Shadow, ShadowRequest

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
        lines = datasets.read_part(bucket, files.lines(part), ENCODED)
        parts.append(shadow_part(part, challenger.run))
        store.put(bucket, files.features(parts[-1]), features_csv(encoder, lines), "text/csv")
    return Shadow(
        parts=parts,
        challenger=challenger,
        endpoint_name=challenger.endpoint_name,
        max_concurrency=challenger.max_concurrency,
    )
