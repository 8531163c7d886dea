"""What a function prints, with Lambda's own START, END and REPORT lines, in CloudWatch Logs."""

import json
import time
from datetime import UTC, datetime
from typing import Any

from ministack.services import cloudwatch_logs


class FunctionLog:
    """The log stream of one execution environment.

    LoggingConfig decides the group and whether the platform's lines are text or JSON.
    """

    def __init__(self, config: dict[str, Any], environment_id: str) -> None:
        logging_config = config.get("LoggingConfig") or {}
        self.group = logging_config.get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"
        self.stream = f"{datetime.now(UTC):%Y/%m/%d}/[{config.get('Version', '$LATEST')}]{environment_id}"
        self._version = config.get("Version", "$LATEST")
        self._memory = config.get("MemorySize", 128)
        self._json = logging_config.get("LogFormat") == "JSON"

    def write(self, lines: list[tuple[int, str]]) -> None:
        """Append (milliseconds since the epoch, message) lines; creates group and stream as Lambda does."""
        if not lines:
            return
        now = int(time.time() * 1000)
        streams = self._ensure_group(now)["streams"]
        stream = streams.setdefault(
            self.stream,
            {
                "events": [],
                "uploadSequenceToken": "1",
                "creationTime": now,
                "firstEventTimestamp": None,
                "lastEventTimestamp": None,
                "lastIngestionTime": None,
            },
        )
        events = [{"timestamp": at, "message": message, "ingestionTime": now} for at, message in lines]
        cloudwatch_logs._append_log_events(stream, events)
        cloudwatch_logs._fanout_to_subscription_filters(self.group, self.stream, events)

    def _ensure_group(self, now: int) -> dict[str, Any]:
        groups = cloudwatch_logs._log_groups
        if self.group not in groups:
            groups[self.group] = {
                "arn": cloudwatch_logs._make_group_arn(self.group),
                "creationTime": now,
                "retentionInDays": None,
                "tags": {},
                "subscriptionFilters": {},
                "streams": {},
            }
        return groups[self.group]

    def start(self, request_id: str) -> str:
        if self._json:
            return _platform("platform.start", {"requestId": request_id, "version": self._version})
        return f"START RequestId: {request_id} Version: {self._version}"

    def end(self, request_id: str, report: dict[str, Any]) -> list[str]:
        """The closing lines. `report`: duration_ms, init_ms (None if warm), memory_mb, status, error_type (or None)."""
        duration, memory = report["duration_ms"], report["memory_mb"]
        billed = int(duration) + 1
        if self._json:
            metrics = {
                "durationMs": round(duration, 3),
                "billedDurationMs": billed,
                "memorySizeMB": self._memory,
                "maxMemoryUsedMB": memory,
            }
            if report["init_ms"] is not None:
                metrics["initDurationMs"] = round(report["init_ms"], 3)
            record = {"requestId": request_id, "metrics": metrics, "status": report["status"]}
            if report["error_type"]:
                record["errorType"] = report["error_type"]
            return [_platform("platform.report", record)]
        line = (
            f"REPORT RequestId: {request_id}\tDuration: {duration:.2f} ms\tBilled Duration: {billed} ms"
            f"\tMemory Size: {self._memory} MB\tMax Memory Used: {memory} MB"
        )
        if report["init_ms"] is not None:
            line += f"\tInit Duration: {report['init_ms']:.2f} ms"
        if report["status"] != "success":
            line += f"\tStatus: {report['status']}"
        if report["error_type"] and report["status"] == "error":
            line += f"\tError Type: {report['error_type']}"
        return [f"END RequestId: {request_id}", line]


def _platform(kind: str, record: dict[str, Any]) -> str:
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"time": stamp, "type": kind, "record": record})
