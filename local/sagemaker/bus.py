"""What SageMaker tells EventBridge: in the order of what happened, and without whoever asked waiting for it."""

import json
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

SOURCE = "aws.sagemaker"


class Events(Protocol):
    """The little that is used of boto3's client of EventBridge."""

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]: ...


class Bus:
    """The account's default event bus; without a client nobody is told."""

    def __init__(self, events: Events | None) -> None:
        self._events = events
        self._sender = ThreadPoolExecutor(1, "events")

    def tell(self, detail_type: str, arn: str, detail: dict[str, Any]) -> None:
        """Sends an event about the resource `arn`; returns at once, as SageMaker does."""
        entry = {"Source": SOURCE, "DetailType": detail_type, "Resources": [arn], "Detail": json.dumps(detail)}
        if self._events is not None:
            self._sender.submit(self._send, entry)

    def _send(self, entry: dict[str, Any]) -> None:
        assert self._events is not None
        try:
            answer = self._events.put_events(Entries=[entry])
            if answer["FailedEntryCount"]:
                raise RuntimeError(f"EventBridge refused an event: {answer['Entries']}")
        except Exception:  # nobody waits for it who could be told
            traceback.print_exc()


def timestamp(seconds: float) -> str:
    """Epoch seconds as events have them."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
