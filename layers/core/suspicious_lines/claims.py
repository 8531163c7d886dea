"""Which run owns which upload: one item an upload, with what the sweeper did about it."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from suspicious_lines.aws import client, error_code
from suspicious_lines.messages import Upload

KEEP_SECONDS = 90 * 24 * 3600


@dataclass(frozen=True)
class ClaimRecord:
    """What the table says of an upload. `run` owns it, or did until it gave it back; None where none ever claimed it.

    The rest is the sweeper's: how often and when last it tried to bring the upload to an end, whether it has seen it
    end, and whether it has told people of it.
    """

    run: str | None
    released: bool
    tries: int
    tried_at: datetime | None
    settled: bool
    told: bool


NEVER_CLAIMED = ClaimRecord(run=None, released=False, tries=0, tried_at=None, settled=False, told=False)


def claim(table: str, upload: Upload, run: str) -> bool:
    """True if `run` now owns `upload`, or did already (a retry after a lost answer).

    A run whose end gave the upload back does not get it again: an answer that comes late would keep it for nobody.
    """
    return _take(table, upload, run, "attribute_not_exists(#run) OR (attribute_exists(released_at) AND #run <> :run)")


def claim_again(table: str, upload: Upload, run: str) -> bool:
    """As `claim`, for a run that has given the upload back itself."""
    return _take(table, upload, run, "attribute_not_exists(#run) OR attribute_exists(released_at)")


def _take(table: str, upload: Upload, run: str, condition: str) -> bool:
    change = "SET #run = :run, claimed_at = :now, expires_at = :until REMOVE released_at, settled_at"
    if _update(table, upload, change, condition, run=run):
        return True
    found = client("dynamodb").get_item(TableName=table, Key=_key(upload), ConsistentRead=True).get("Item", {})
    return found.get("run") == {"S": run} and "released_at" not in found


def release(table: str, upload: Upload, run: str) -> bool:
    """Gives an upload back, so that a new run can claim it. False if another run owns it.

    The item stays, and is made where there is none: without it, an upload that failed would look like one that never
    started, and a claim of this run that comes late would hold.
    """
    change = "SET #run = :run, released_at = :now, expires_at = :until"
    return _update(table, upload, change, "attribute_not_exists(#run) OR #run = :run", run=run)


def read_claims(table: str) -> dict[str, ClaimRecord]:
    """All that the table says, by claim id."""
    pages = client("dynamodb").get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return {item["upload"]["S"]: _record(item) for page in pages for item in page["Items"]}


def note_try(table: str, upload: Upload, number: int) -> None:
    """Notes the sweeper's try of this number: set, not added, so that a try counts once however often it is noted."""
    _update(table, upload, "SET tries = :number, tried_at = :now, expires_at = :until", number=number)


def settle(table: str, upload: Upload, run: str) -> None:
    """Notes that the upload has ended with this run, so that no sweep looks for its receipt again."""
    _update(table, upload, "SET settled_at = :now", "#run = :run", run=run)


def note_told(table: str, upload: Upload) -> None:
    """Notes that people were told of the upload."""
    _update(table, upload, "SET told_at = :now, expires_at = :until")


def _update(table: str, upload: Upload, change: str, condition: str = "", **values: str | int) -> bool:
    """Changes the upload's item, or makes it; False where the condition does not hold."""
    now, text = int(time.time()), change + condition
    given = {"now": now, "until": now + KEEP_SECONDS} | values
    request: dict[str, Any] = {
        "ExpressionAttributeValues": {
            f":{name}": {"S": value} if isinstance(value, str) else {"N": str(value)}
            for name, value in given.items()
            if f":{name}" in text
        }
    }
    if condition:
        request["ConditionExpression"] = condition
    if "#run" in text:  # a reserved word
        request["ExpressionAttributeNames"] = {"#run": "run"}
    try:
        client("dynamodb").update_item(TableName=table, Key=_key(upload), UpdateExpression=change, **request)
    except ClientError as error:
        if error_code(error) != "ConditionalCheckFailedException":
            raise
        return False
    return True


def _key(upload: Upload) -> dict[str, Any]:
    return {"upload": {"S": upload.claim_id}}


def _record(item: dict[str, Any]) -> ClaimRecord:
    tried = item.get("tried_at")
    return ClaimRecord(
        run=item["run"]["S"] if "run" in item else None,
        released="released_at" in item,
        tries=int(item.get("tries", {"N": "0"})["N"]),
        tried_at=datetime.fromtimestamp(int(tried["N"]), UTC) if tried else None,
        settled="settled_at" in item,
        told="told_at" in item,
    )
