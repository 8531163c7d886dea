"""Uploads that wait for a first model: parked/ holds one note each, and a promotion starts them."""

import hashlib

from suspicious_lines import claims, store
from suspicious_lines.aws import client
from suspicious_lines.layout import PARKED_PREFIX, incoming, live_model_key
from suspicious_lines.messages import Upload
from suspicious_lines.notifications import Note, publish
from suspicious_lines.score_messages import Parked, ParkRequest
from suspicious_lines.settings import ParkSettings


def park_upload(request: ParkRequest, settings: ParkSettings) -> Parked:
    """Leaves a note for the next promotion and tells the operators.

    A promotion that ended since the run looked has not seen the note: then it is taken back and the run goes on.
    """
    bucket = settings.data_bucket
    key = note_key(request.upload, request.family)
    # Released first: whoever reads the note must be able to claim the upload.
    claims.release(settings.claim_table, request.upload, request.run)
    store.put_json(bucket, key, request.detail)
    if store.get_with_etag(bucket, live_model_key(request.family)):
        store.delete(bucket, key)
        # Lost only to an execution that scores it in our place.
        return Parked(parked=not claims.claim_again(settings.claim_table, request.upload, request.run))
    file = request.upload.name
    text = [
        f"{file} is waiting: no model is live yet, so its lines cannot be scored.",
        "",
        f"Drop past lines under {incoming(request.family)} to train one. This file is scored as soon as a model is",
        "live; nothing else is to be done for it.",
        "",
        f"Note: s3://{bucket}/{key}",
        f"Run: {request.run}",
        "",
    ]
    note = Note(bucket, request.run, "waiting")
    publish(note, settings.operators_topic_arn, f"Waiting for a first model: {file}", "\n".join(text))
    return Parked(parked=True)


def note_key(upload: Upload, family: str = "") -> str:
    """Where the note of a parked upload lies; keys of uploads can be longer than a key below parked/ may be."""
    return f"{_folder(family)}{hashlib.sha256(upload.claim_id.encode()).hexdigest()}.json"


def _folder(family: str) -> str:
    return f"{PARKED_PREFIX}{family}/" if family else PARKED_PREFIX


def start_parked(bucket: str, state_machine_arn: str, family: str) -> None:
    """Starts an execution for each note of a family, or of none, and takes it away; one that was started twice is
    claimed once."""
    folder = _folder(family)
    for key in store.keys(bucket, folder):
        if "/" in key.removeprefix(folder):
            continue  # a family's own
        if found := store.get_with_etag(bucket, key):  # another promotion may have started it
            client("stepfunctions").start_execution(stateMachineArn=state_machine_arn, input=found[0].decode())
            store.delete(bucket, key)
