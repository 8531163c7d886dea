"""Faults that tests order in advance: the next calls, jobs or endpoints that must fail."""

import threading
from dataclasses import dataclass, replace
from typing import Any, get_type_hints

from local.sagemaker.errors import ApiError, invalid

RESOURCES = ("TrainingJob", "TransformJob", "ProcessingJob", "Endpoint", "AsyncInvocation", "Record")


@dataclass(frozen=True)
class Fault:
    """What fails (`target`: an operation's name or one of RESOURCES), how, and how many times in a row.

    A job with the error "Hanging" does not fail: it is in progress until somebody stops it.
    """

    target: str
    error: str = "ThrottlingException"
    message: str = ""
    status: int = 400
    times: int = 1

    def as_error(self) -> ApiError:
        if self.error == "ModelError":
            return ApiError(self.error, self.message, self.status, OriginalStatusCode=500, OriginalMessage=self.message)
        return ApiError(self.error, self.message, self.status)


class Faults:
    """The faults not yet used up, oldest first."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._lock = threading.Lock()

    def order(self, body: dict[str, Any], operations: set[str]) -> None:
        """Add one fault. ApiError when the body is not one."""
        targets = operations | set(RESOURCES)
        known = get_type_hints(Fault)
        if wrong := sorted(set(body) - set(known)):
            raise invalid(f"A fault has no {', '.join(wrong)}; it has {', '.join(known)}.")
        if body.get("target") not in targets:
            raise invalid(f"A fault's target is one of {', '.join(sorted(targets))}.")
        for name, value in body.items():
            if not isinstance(value, known[name]) or (name == "times" and value < 1):
                raise invalid(f"A fault's {name} cannot be {value!r}.")
        with self._lock:
            self._waiting.append(Fault(**body))

    def take(self, target: str) -> Fault | None:
        """The fault that `target` meets now, used up by one."""
        with self._lock:
            for place, fault in enumerate(self._waiting):
                if fault.target == target:
                    if fault.times > 1:
                        self._waiting[place] = replace(fault, times=fault.times - 1)
                    else:
                        del self._waiting[place]
                    return fault
        return None

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()
