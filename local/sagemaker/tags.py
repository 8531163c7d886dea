"""Tags of any resource, by its ARN."""

import threading
from typing import Any


class Tags:
    """The three operations on tags; an unknown ARN has none."""

    def __init__(self) -> None:
        self._by_arn: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()

    def add(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            kept = self._by_arn.setdefault(request["ResourceArn"], {})
            kept.update({tag["Key"]: tag["Value"] for tag in request["Tags"]})
            return {"Tags": _as_list(kept)}

    def list_page(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            return {"Tags": _as_list(self._by_arn.get(request["ResourceArn"], {}))}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            for key in request["TagKeys"]:
                self._by_arn.get(request["ResourceArn"], {}).pop(key, None)
        return {}


def _as_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
