"""Puts the lines of a run into the feature store, once the run has succeeded.

Events that come twice, and tries after a failure, write the same records again, which is as if they were written once.
"""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError
from msgspec.structs import replace

from suspicious_lines import store
from suspicious_lines.aws import BUSY_CODES, client, translate
from suspicious_lines.errors import AwsRefusedError, AwsUnavailableError
from suspicious_lines.feature_messages import Ingested, IngestRequest
from suspicious_lines.feature_records import Column, RunRecords
from suspicious_lines.feature_settings import IngestSettings
from suspicious_lines.layout import RunFiles
from suspicious_lines.receipts import find_receipt

RECORDS_AT_ONCE = 25  # the most of BatchWriteRecord
REQUESTS_AT_ONCE = 8
PARTS_AT_ONCE = 20  # of at most 25,000 lines each: docs/features.md says how long that takes
TRIES, FIRST_WAIT_SECONDS = 9, 0.2

_OWN = ("validation/", "invoices/", "challenger/")

Entry = dict[str, Any]


def ingest_features(request: IngestRequest, settings: IngestSettings) -> Ingested:
    """Writes a record of each line of the run; many parts are handed to invocations of the same function.

    Raises:
        AwsUnavailableError: the store did not take all records, however often they were sent.
        AwsRefusedError: the store refuses a record.
    """
    bucket = settings.data_bucket
    receipt = find_receipt(bucket, request.run)
    if receipt is None or receipt.model is None:  # a second delivery of an upload, which scores nothing
        return Ingested()
    parts = request.parts or _parts(bucket, RunFiles(request.run))
    if len(parts) > PARTS_AT_ONCE:
        groups = [parts[start : start + PARTS_AT_ONCE] for start in range(0, len(parts), PARTS_AT_ONCE)]
        for group in groups:
            piece = msgspec.json.encode(replace(request, parts=group))
            client("lambda").invoke(
                FunctionName=settings.aws_lambda_function_name, InvocationType="Event", Payload=piece
            )
        return Ingested(invocations=len(groups))
    records = RunRecords(bucket, request, receipt)
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        return Ingested(records=sum(_write(records.of_part(part), settings.feature_group, pool) for part in parts))


def _parts(bucket: str, files: RunFiles) -> list[str]:
    """The parts of the run's own lines: no copies with planted errors, and no lines of other runs that were judged."""
    scored = [part for part in store.get_json(bucket, files.parts) if part.startswith(_OWN)]
    folder = f"{files.prefix}/trained/"
    trained = [key.removeprefix(folder).removesuffix(".parquet") for key in store.keys(bucket, folder)]
    return [*trained, *scored]


def _write(columns: dict[str, Column], feature_group: str, pool: ThreadPoolExecutor) -> int:
    """Writes a part's records and returns their count; few are made at a time, because they are large."""
    count = len(columns["line_id"])

    def send(start: int) -> None:
        rows = zip(*(column[start : start + RECORDS_AT_ONCE] for column in columns.values()), strict=True)
        _send([_entry(feature_group, dict(zip(columns, row, strict=True))) for row in rows])

    for _ in pool.map(send, range(0, count, RECORDS_AT_ONCE)):
        pass
    return count


def _entry(feature_group: str, record: dict[str, Any]) -> Entry:
    values = [{"FeatureName": name, "ValueAsString": str(value)} for name, value in record.items() if value is not None]
    return {"FeatureGroupName": feature_group, "Record": values}


def _send(entries: list[Entry]) -> None:
    """Sends records until the store has taken all, what it did not take again after a pause."""
    waiting = entries
    for attempt in range(TRIES):
        if attempt:
            time.sleep(random.uniform(0, FIRST_WAIT_SECONDS * 2**attempt))  # noqa: S311 (no secret)
        waiting = _not_taken(waiting)
        if not waiting:
            return
    raise AwsUnavailableError(f"BatchWriteRecord: {len(waiting)} of {len(entries)} records were not taken")


def _not_taken(entries: list[Entry]) -> list[Entry]:
    try:
        answer = client("sagemaker-featurestore-runtime").batch_write_record(Entries=entries)
    except (ClientError, BotoCoreError) as error:
        if isinstance(translate(error), AwsUnavailableError):
            return entries
        raise
    codes = {refused["ErrorCode"] for refused in answer["Errors"]}
    if codes - BUSY_CODES:
        raise AwsRefusedError(f"BatchWriteRecord: {', '.join(sorted(codes))}")
    return [*answer["UnprocessedEntries"], *(refused["Entry"] for refused in answer["Errors"])]
