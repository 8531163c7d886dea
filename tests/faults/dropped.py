"""Uploads that came to no end, each in a way of its own: what SweepUploads is there for."""

import json
import time
from typing import TYPE_CHECKING, Any

from suspicious_lines.layout import TAKEN
from suspicious_lines.messages import Upload
from suspicious_lines.parking import note_key

if TYPE_CHECKING:
    from tests.faults.stage import Stage

LOST, BROKEN, UNKNOWN, ENDED = (f"verdicts/{name}.csv" for name in ("lost", "broken", "unknown", "ended"))
PARKED, STUCK, UNTAKEN = "invoices/parked.csv", "verdicts/stuck.csv", "incoming/untaken.xlsx"
BROKEN_RUN, UNKNOWN_RUN = "baseline-broken", "baseline-unknown"
SWEEP_MINUTES, MOST_TRIES = 1, 3
_SECONDS = SWEEP_MINUTES * 60


class Dropped:
    """The uploads, made once a stage, because a sweep leaves alone what is young. What they hold is no verdict, so that
    each that is started comes to an end soon: refused. `ended`: the run that has claimed and read one of them."""

    def __init__(self, stage: "Stage", ended: str) -> None:
        self._stage, self._ended = stage, ended
        self._table = stage.cloud.outputs["ClaimTableName"]
        for machine in ("Train", "Score", "Review"):
            stage.cloud.client("events").disable_rule(Name=stage.physical[f"{machine}StateMachineUpload"])
        self._details = {key: stage.upload(key, b"x") for key in (LOST, BROKEN, UNKNOWN, ENDED, PARKED, STUCK, UNTAKEN)}
        self._uploads = {key: Upload.from_detail(detail) for key, detail in self._details.items()}
        _, arn = stage.start("ReviewStateMachineArn", self._details[BROKEN], BROKEN_RUN)
        stage.sfn.stop_execution(executionArn=arn)
        if (status := stage.end(BROKEN_RUN, arn).status) != "ABORTED":
            raise RuntimeError(f"{BROKEN_RUN} ended as {status}")
        while not stage.find(f"runs/{BROKEN_RUN}/receipt.json"):
            time.sleep(0.02)
        self._made = time.time()

    def reset(self) -> None:
        """As if no sweep had ever seen them, and as if nothing else had been dropped."""
        stage = self._stage
        for key in [key for prefix in TAKEN for key in stage.keys(prefix) if key not in self._uploads]:
            stage.s3.delete_object(Bucket=stage.bucket, Key=key)
        stage.s3.delete_object(Bucket=stage.bucket, Key=f"runs/{BROKEN_RUN}/receipt.json")
        stage.put(note_key(self._uploads[PARKED]), json.dumps(self._details[PARKED]).encode())
        for upload in self._uploads.values():
            stage.dynamodb.delete_item(TableName=self._table, Key={"upload": {"S": upload.claim_id}})
        for key, run in ((BROKEN, BROKEN_RUN), (UNKNOWN, UNKNOWN_RUN), (ENDED, self._ended)):
            self._put(key, run={"S": run})
        self._put(STUCK, tries={"N": str(MOST_TRIES)})
        time.sleep(max(0.0, self._made + _SECONDS + 1 - time.time()))

    def _put(self, key: str, **known: Any) -> None:
        item = {"upload": {"S": self._uploads[key].claim_id}} | known
        self._stage.dynamodb.put_item(TableName=self._table, Item=item)

    def later(self) -> None:
        """As an hour later: whatever a sweep has tried may be tried again."""
        for upload in self._uploads.values():
            if "tried_at" in self._item(upload):
                self._stage.dynamodb.update_item(
                    TableName=self._table,
                    Key={"upload": {"S": upload.claim_id}},
                    UpdateExpression="SET tried_at = :then",
                    ExpressionAttributeValues={":then": {"N": str(int(time.time()) - 3600)}},
                )

    def fates(self) -> dict[str, Any]:
        """What has become of each: whether it is claimed, and what the receipt of its run says."""
        return {key: self._fate(upload) for key, upload in self._uploads.items()}

    def _fate(self, upload: Upload) -> Any:
        item = self._item(upload)
        receipt = self._stage.find(f"runs/{item['run']['S']}/receipt.json") if "run" in item else None
        end = [receipt["status"], receipt["error"]] if receipt else None
        return {"claimed": "run" in item and "released_at" not in item, "end": end, "told": "told_at" in item}

    def _item(self, upload: Upload) -> dict[str, Any]:
        found = self._stage.dynamodb.get_item(TableName=self._table, Key={"upload": {"S": upload.claim_id}})
        return found.get("Item", {})
