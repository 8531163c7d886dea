"""Whether a caller may do what it asks: where the embedded AWS enforces IAM, it is asked at the URL in LOCAL_IAM."""

import json
import os
import re
import urllib.request
from email.message import Message
from typing import Any

from local.sagemaker.errors import ApiError

WHERE = "LOCAL_IAM"
_KEY = re.compile(r"Credential=([^/]+)/")


def require(headers: Message, service: str, operation: str, request: dict[str, Any]) -> None:
    """Raises ApiError where the role that signed the request lacks a permission. Nobody checks the signature itself."""
    where = os.environ.get(WHERE)
    if not where:
        return
    signed = _KEY.search(headers.get("Authorization", ""))
    asked = {"access_key": signed[1] if signed else "", "service": service, "operation": operation, "request": request}
    with urllib.request.urlopen(where, json.dumps(asked).encode(), timeout=10) as answer:  # noqa: S310 (our own)
        denial = json.load(answer)["denial"]
    if denial:
        raise ApiError("AccessDeniedException", denial)
