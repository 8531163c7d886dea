"""Uploads that have not ended: started or reported again, a few times; then people are told."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from suspicious_lines import claims, executions, store
from suspicious_lines.claims import NEVER_CLAIMED, ClaimRecord
from suspicious_lines.layout import PARKED_PREFIX, TAKEN, RunFiles, family_of
from suspicious_lines.messages import Upload
from suspicious_lines.notifications import Note, counted, publish
from suspicious_lines.parking import note_key
from suspicious_lines.settings import family_names
from suspicious_lines.upkeep_messages import Swept
from suspicious_lines.upkeep_settings import SweepSettings

# Older uploads are left alone. Far below the 90 days that claims are kept: without its claim an upload would look new.
HORIZON = timedelta(days=14)
MOST_TRIES = 3
WORK_SECONDS = 240
LISTED = 50
TOLD_BY = "sweeps"  # in place of a run: any sweep may have told


def sweep_uploads(settings: SweepSettings) -> Swept:
    """Brings each upload to an end that has none: results, refused with reasons, a failure that was told, or parked.

    What was never claimed is started as S3's event would have. What a run claimed that has ended without a receipt is
    handed to ReportFailure again, which tells people and gives the upload back; it is not started again, because what
    made it fail may make it fail again. What runs is left alone. Two executions of one upload are no harm: it is
    claimed once.
    """
    return _Sweep(settings).work()


class _Sweep:
    def __init__(self, settings: SweepSettings) -> None:
        self._settings = settings
        self._machines = {
            "incoming/": settings.train_state_machine_arn,
            "invoices/": settings.score_state_machine_arn,
            "verdicts/": settings.review_state_machine_arn,
        }
        now = datetime.now(UTC)
        self._since, self._quiet = now - HORIZON, now - timedelta(minutes=settings.sweep_minutes)
        self._parked = set(store.keys(settings.data_bucket, PARKED_PREFIX))
        self._claims = claims.read_claims(settings.claim_table)
        self._started = self._reported = 0
        self._stuck: list[Upload] = []
        self._untaken: list[Upload] = []

    def work(self) -> Swept:
        deadline = time.monotonic() + WORK_SECONDS
        for prefix, upload, known in self._quiet_uploads():
            if time.monotonic() > deadline:
                break  # what has ended is noted: the next sweep gets further
            if upload.key.endswith(TAKEN[prefix]):
                self._bring_to_an_end(upload, known, self._machines[prefix])
            else:
                self._untaken.append(upload)
        self._tell()
        counts = {"stuck": len(self._stuck), "untaken": len(self._untaken)}
        return Swept(started=self._started, reported=self._reported, **counts)

    def _quiet_uploads(self) -> Iterator[tuple[str, Upload, ClaimRecord]]:
        """Those not known to have ended, with which nothing has happened for a while."""
        for prefix in self._machines:
            for upload, at in store.dropped(self._settings.data_bucket, prefix, self._since):
                known = self._claims.get(upload.claim_id, NEVER_CLAIMED)
                is_folder = upload.key.endswith("/") and upload.size == 0
                if not (is_folder or known.settled) and max(at, known.tried_at or at) <= self._quiet:
                    yield prefix, upload, known

    def _bring_to_an_end(self, upload: Upload, known: ClaimRecord, machine: str) -> None:
        table, run = self._settings.claim_table, known.run
        # A note that lies in the folder of another family does not count: no model of the upload's own would start it.
        if note_key(upload, family_of(upload.key, family_names(self._settings.families))) in self._parked:
            return
        execution = executions.find(machine, run) if run else None
        status = execution["status"] if execution else None
        if run and (self._has_receipt(run) or (status == "SUCCEEDED" and not known.released)):
            claims.settle(table, upload, run)  # without a receipt where somebody has deleted it since
        elif execution and (status == "RUNNING" or execution["stopDate"] > self._quiet):
            return
        elif known.tries >= MOST_TRIES:
            self._stuck.append(upload)
        else:
            claims.note_try(table, upload, known.tries + 1)
            if execution and status != "SUCCEEDED":
                executions.report_end(self._settings.report_failure_function_arn, execution)
                self._reported += 1
            else:  # never claimed; or parked, and the note gone or another family's; or claimed by a run nobody knows
                if run:
                    claims.release(table, upload, run)
                executions.start(machine, upload)
                self._started += 1

    def _has_receipt(self, run: str) -> bool:
        return store.exists(self._settings.data_bucket, RunFiles(run).receipt)

    def _tell(self) -> None:
        """Tells people once of each, also where a sweep breaks off in between and the next one goes on."""
        operators, reviewers = self._settings.operators_topic_arn, self._settings.reviewers_topic_arn
        if stuck := self._untold(self._stuck):
            what = counted(len(stuck), "upload")
            text = [
                f"{what} came to no end, though each was started or reported {MOST_TRIES} times:",
                *_listed(stuck),
                "",
                "SweepUploads does not try them again. See under UploadsStuckAlarm in docs/runbook.md what to do.",
                "",
            ]
            self._publish("stuck", stuck, operators, f"Stuck: {what}", "\n".join(text))
        if untaken := self._untold(self._untaken):
            what = counted(len(untaken), "dropped file")
            text = [
                f"Nothing reads {what}, because of the name:",
                *_listed(untaken),
                "",
                "Names must end in .csv, or in .txt for LEDES 1998B; those of verdicts in .csv. Save each file as such",
                "(unpack it first, if it is an archive), drop that one, and delete these.",
                "",
            ]
            for note, topic in (("untaken", reviewers), ("untaken-to-operators", operators)):
                self._publish(note, untaken, topic, f"Nothing reads {what}", "\n".join(text))
        for upload in stuck + untaken:
            claims.note_told(self._settings.claim_table, upload)

    def _publish(self, note: str, uploads: list[Upload], topic: str, subject: str, text: str) -> None:
        told = "\n".join(upload.claim_id for upload in uploads)
        publish(Note(self._settings.data_bucket, TOLD_BY, note).of(told), topic, subject, text)

    def _untold(self, uploads: list[Upload]) -> list[Upload]:
        return [upload for upload in uploads if not self._claims.get(upload.claim_id, NEVER_CLAIMED).told]


def _listed(uploads: list[Upload]) -> list[str]:
    more = [f"and {len(uploads) - LISTED} more"] if len(uploads) > LISTED else []
    return [f"* {upload.name}" for upload in uploads[:LISTED]] + more
