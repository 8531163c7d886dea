"""The paging, filtering and sorting that all List operations share."""

import base64
import json
from collections.abc import Iterable
from typing import Any

from local.sagemaker.errors import invalid

PAGE = 10

Summary = dict[str, Any]


def page(
    summaries: Iterable[Summary], request: dict[str, Any], resource: str, result_key: str, default_order: str
) -> dict[str, Any]:
    """One page of `summaries` under `result_key`, with a NextToken while more follow.

    Their keys are `<resource>Name`, `CreationTime` and perhaps `LastModifiedTime` and `<resource>Status`.
    """
    name, status = f"{resource}Name", f"{resource}Status"
    key = {"Name": name, "Status": status}.get(request.get("SortBy", ""), "CreationTime")
    kept = [one for one in summaries if _wanted(one, request, name, status)]
    descending = request.get("SortOrder", default_order) == "Descending"
    kept.sort(key=lambda one: (one[key], one[name]), reverse=descending)
    if token := request.get("NextToken"):
        kept = _after(kept, token, key, name, descending)
    size = request.get("MaxResults", PAGE)
    answer: dict[str, Any] = {result_key: kept[:size]}
    if len(kept) > size:
        last_shown = kept[size - 1]
        answer["NextToken"] = base64.b64encode(json.dumps([last_shown[key], last_shown[name]]).encode()).decode()
    return answer


def _wanted(one: Summary, request: dict[str, Any], name: str, status: str) -> bool:
    if request.get("NameContains", "").lower() not in one[name].lower():
        return False
    if request.get("StatusEquals") not in (None, one.get(status)):
        return False
    for field in ("CreationTime", "LastModifiedTime"):
        after, before = request.get(f"{field}After"), request.get(f"{field}Before")
        if (after is not None and one[field] < after) or (before is not None and one[field] > before):
            return False
    return True


def _after(kept: list[Summary], token: str, key: str, name: str, descending: bool) -> list[Summary]:
    """What follows the entry that the token names, which may be gone by now."""
    try:
        last = tuple(json.loads(base64.b64decode(token, validate=True)))
        if descending:
            return [one for one in kept if (one[key], one[name]) < last]
        return [one for one in kept if (one[key], one[name]) > last]
    except (ValueError, TypeError):
        raise invalid("Invalid pagination token given.") from None
