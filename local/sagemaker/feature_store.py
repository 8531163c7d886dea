"""SageMaker's feature store runtime: records in, Parquet files in the offline store out a moment later."""

import io
import random
import re
import string
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from local.sagemaker.errors import ApiError, DataError
from local.sagemaker.faults import Faults
from local.sagemaker.feature_groups import FeatureGroup, FeatureGroups
from local.sagemaker.store import Store

SERVICE = "sagemaker-featurestore-runtime"
BUFFER_SECONDS = 0.3  # up to 15 minutes on AWS
ARROW_TYPES = {"String": pa.string(), "Integral": pa.int64(), "Fractional": pa.float64()}
ADDED = {"write_time": pa.timestamp("ms"), "api_invocation_time": pa.timestamp("ms"), "is_deleted": pa.bool_()}
_READ: dict[str, Callable[[str], Any]] = {"String": str, "Integral": int, "Fractional": float}
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{3})?Z")
_BUSY = {"ThrottlingException", "ServiceUnavailable", "InternalFailure"}

Row = dict[str, Any]


class FeatureStore:
    """The runtime's operations that an offline store has. A fault on `Record` meets one record of a batch."""

    def __init__(self, groups: FeatureGroups, store: Store, faults: Faults) -> None:
        self._groups, self._faults = groups, faults
        self._offline = _OfflineStore(store)
        self.operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "PutRecord": self.put,
            "BatchWriteRecord": self.write_batch,
            "DeleteRecord": self.delete,
        }

    def put(self, request: dict[str, Any]) -> dict[str, Any]:
        group = self._groups.find(request["FeatureGroupName"])
        self._offline.add(group, _row(group, request))
        return {}

    def write_batch(self, request: dict[str, Any]) -> dict[str, Any]:
        """Each record by itself: what is refused is among the errors, what a busy store left among the unprocessed."""
        entries = [(self._groups.find(entry["FeatureGroupName"]), entry) for entry in request["Entries"]]
        errors, unprocessed = [], []
        for group, entry in entries:
            fault = self._faults.take("Record")
            if fault and fault.error in _BUSY:
                unprocessed.append(entry)
                continue
            try:
                if fault:
                    raise fault.as_error()
                self._offline.add(group, _row(group, entry))
            except ApiError as error:
                errors.append({"Entry": entry, "ErrorCode": error.code, "ErrorMessage": error.message})
        return {"Errors": errors, "UnprocessedEntries": unprocessed}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        """Appends a mark that the record is deleted: what was written before stays."""
        group = self._groups.find(request["FeatureGroupName"])
        _check_stores(request)
        values = {
            group.request["RecordIdentifierFeatureName"]: request["RecordIdentifierValueAsString"],
            group.request["EventTimeFeatureName"]: request["EventTime"],
        }
        row = {name: _read(name, group.types[name], value) for name, value in values.items()}
        _event_hour(group, row)
        self._offline.add(group, row | {"is_deleted": True})
        return {}


def _check_stores(request: dict[str, Any]) -> None:
    if "OnlineStore" in request.get("TargetStores", []):
        raise _wrong("The feature group has no online store.")


def _row(group: FeatureGroup, entry: dict[str, Any]) -> Row:
    """A record's values by feature. Raises ApiError: ValidationError."""
    _check_stores(entry)
    types, row = group.types, {}
    for value in entry["Record"]:
        name = value["FeatureName"]
        if name not in types:
            raise _wrong(f"FeatureNames [{name}] are not supported by FeatureGroup [{group.name}].")
        if name in row:
            raise _wrong(f"Duplicate feature names: {name}")
        if value.get("ValueAsString") is None:
            raise _wrong(f"Feature {name} has no ValueAsString.")
        row[name] = _read(name, types[name], value["ValueAsString"])
    for kind in ("RecordIdentifierFeatureName", "EventTimeFeatureName"):
        if group.request[kind] not in row:
            raise _wrong(f"Missing feature value for {kind}: {group.request[kind]}")
    _event_hour(group, row)
    return row | {"is_deleted": False}


def _read(name: str, kind: str, value: str) -> Any:
    try:
        return _READ[kind](value)
    except ValueError:
        raise _wrong(f"Feature value for {name} is not a valid {kind}: {value}") from None


def _event_hour(group: FeatureGroup, row: Row) -> datetime:
    """When the event was, in UTC."""
    at = row[group.request["EventTimeFeatureName"]]
    if isinstance(at, float):
        return datetime.fromtimestamp(at, UTC)
    if not _ISO.fullmatch(at):
        raise _wrong(f"EventTime {at} is not of the format yyyy-MM-dd'T'HH:mm:ssZ or yyyy-MM-dd'T'HH:mm:ss.SSSZ.")
    try:
        return datetime.fromisoformat(at)
    except ValueError:
        raise _wrong(f"EventTime {at} is no time.") from None


def _wrong(message: str) -> ApiError:
    return ApiError("ValidationError", f"Validation Error: {message}")


class _OfflineStore:
    """Keeps rows for a moment and writes those of each group and hour of event time as one file."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[str, tuple[FeatureGroup, list[Row]]] = {}
        self._lock = threading.Lock()

    def add(self, group: FeatureGroup, row: Row) -> None:
        row["api_invocation_time"] = _now()
        with self._lock:
            if not self._waiting:
                timer = threading.Timer(BUFFER_SECONDS, self._flush)
                timer.daemon = True
                timer.start()
            self._waiting.setdefault(group.uri, (group, []))[1].append(row)

    def _flush(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for group, rows in waiting.values():
            hours: dict[str, list[Row]] = {}
            for row in rows:
                hours.setdefault(f"{_event_hour(group, row):year=%Y/month=%m/day=%d/hour=%H}", []).append(row)
            try:
                for hour, own in hours.items():
                    self._store.write(f"{group.uri}/{hour}/{_file_name(group, own)}", _parquet(group, own))
            except DataError as error:  # nobody waits for it who could be told
                traceback.print_exc()
                group.blocked = str(error)


def _file_name(group: FeatureGroup, rows: list[Row]) -> str:
    latest = max(_event_hour(group, row) for row in rows)
    letters = "".join(random.choices(string.ascii_letters + string.digits, k=16))  # noqa: S311 (a name)
    return f"{latest:%Y%m%dT%H%M%SZ}_{letters}.parquet"


def _parquet(group: FeatureGroup, rows: list[Row]) -> bytes:
    schema = pa.schema({name: ARROW_TYPES[kind] for name, kind in group.types.items()} | ADDED)
    written = _now()
    table = pa.Table.from_pylist([row | {"write_time": written} for row in rows], schema)
    body = io.BytesIO()
    pq.write_table(table, body, compression="snappy")
    return body.getvalue()


def _now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC).replace(tzinfo=None)
