"""What is handed to the function that feeds the feature store, and what a training says of what it has read there."""

from suspicious_lines.documents import Count
from suspicious_lines.messages import ExecutionEvent, Message


class IngestRequest(ExecutionEvent):
    """Of a run that succeeded; `parts`: of those alone, where the run has more than one invocation deals with."""

    parts: list[str] | None = None


class Ingested(Message):
    """`invocations`: how many others the parts were handed to."""

    records: int = 0
    invocations: int = 0


class Stored(Message):
    """What the feature store gave to a training: `lines` that its model was trained on beside the upload's, encoded by
    the encoder of `model_run`, which the run has too. Where there are none, `note` says why."""

    lines: Count
    model_run: str | None = None
    note: str | None = None
