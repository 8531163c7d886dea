"""What the states hand to the functions and get back: keys and counts, never lines."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, convert, field

from suspicious_lines.documents import Count, Document
from suspicious_lines.text import plain_text

# Patterns end with \Z, because $ would let a line break follow.

# Lines, or a share of them: above zero.
BUDGET_PATTERN = r"^(0*[1-9]\d*(\.\d+)?|0*\.0*[1-9]\d*|0+\.0*[1-9]\d*)%?\Z"
Strategy = Literal["error-median", "budget", "precision", "f-beta", "sigma"]
Run = Annotated[str, Meta(pattern=r"^[^/\s]{1,80}\Z", description="the name of the execution")]
Family = Annotated[str, Meta(pattern=r"^([a-z0-9][a-z0-9-]{0,30})?\Z", description="of the upload; empty, of none")]
AwareDatetime = Annotated[datetime, Meta(tz=True)]
Part = Annotated[
    str,
    Meta(
        pattern=r"^((champion/[0-9a-f]{8}/)?(validation|planted)|(shadow/[0-9a-f]{8}/)?invoices/[0-9a-f]{8}"
        r"|challenger/[0-9a-f]{8}|judged)/part-\d{5}\Z"
    ),
]


class Message(Document):
    """Base of all messages."""


class Upload(Message):
    """One version of one dropped object."""

    bucket: str
    key: str
    etag: str
    size: Count
    version_id: str | None = None
    sequencer: str | None = None

    @property
    def claim_id(self) -> str:
        """What two deliveries of the same upload share and two uploads never do."""
        return f"{self.bucket}/{self.key}#{self.version_id or f'{self.etag}-{self.sequencer}'}"

    @property
    def name(self) -> str:
        """The key as people are shown it."""
        return plain_text(self.key)

    @classmethod
    def from_detail(cls, detail: dict[str, Any]) -> "Upload":
        """From the detail of an S3 "Object Created" event; its key comes as it is, not URL-encoded."""
        s3_object = detail["object"]
        told = {
            "bucket": detail["bucket"]["name"],
            "key": s3_object["key"],
            "etag": s3_object["etag"],
            "size": s3_object["size"],
            "version_id": s3_object.get("version-id"),
            "sequencer": s3_object.get("sequencer"),
        }
        return convert(told, cls)

    def as_detail(self) -> dict[str, Any]:
        """What S3's event would have said of it, as far as anybody reads it: `from_detail` gives the same upload."""
        names = {"key": self.key, "size": self.size, "etag": self.etag, "version-id": self.version_id}
        return {"version": "0", "bucket": {"name": self.bucket}, "object": names, "reason": "SweepUploads"}


class ClaimRequest(Message):
    run: Run
    detail: dict[str, Any]


class SizeLimits(Message):
    """Sizes of an upload in bytes above which a run goes another way: see docs/large-files.md."""

    distributed_above: int
    batch_above: int


class Claim(Message):
    run: Run
    upload: Upload
    family: Family = ""
    claimed: bool
    limits: SizeLimits


class Dataset(Message):
    """The counts of a preprocessed upload; `lines_read` = `lines_rejected` + `lines_train` + `lines_validation`, where
    validation lines are those that are scored: for new invoices all of them. `lines_judged` are other runs' lines,
    which reviewers have judged."""

    lines_read: int
    lines_rejected: int
    lines_train: int
    lines_validation: int
    feature_dim: int
    parts: list[str]
    sha256: str
    lines_judged: int = 0


class ScoreRequest(Message):
    run: Run
    part: Part
    endpoint_name: str


class Scored(Message):
    part: str
    lines: int


# How the note of a threshold begins that is not the one of the training any more.
MOVED_BY_VERDICTS = "verdicts moved it from"


class ChosenThreshold(Message):
    """`value` is a score (see ranking.py); `note` says why the strategy is not the one that was asked for, or that the
    value is not the one that it chose."""

    value: float
    strategy: Strategy
    note: str | None


class NotifyRequest(Message):
    run: Run
    upload: Upload


class Notified(Message):
    message_id: str


class Decision(Message):
    """What became of a run's model and why; `champion`: the run whose model was live."""

    promoted: bool
    champion: str | None
    reason: str


class ReceiptRequest(Message):
    """`model_run`: the run that trained the model that scored the lines; this one, where it trained its own, and then
    `promotion` says what became of that model. Null, with all else of a model, where the run scored nothing."""

    run: Run
    execution_arn: str
    upload: Upload
    family: Family = ""
    sha256: str
    counts: dict[str, int]
    model_run: Run | None
    endpoint_name: str | None
    threshold: ChosenThreshold | None
    promotion: Decision | None


class ExecutionEvent(Message):
    """The detail of Step Functions' status-change event, as far as all read it. EventBridge gives the start in
    milliseconds since 1970; a state machine that sends the same shape, as text."""

    run: Run = field(name="name")
    start_date: AwareDatetime | int = field(name="startDate")

    @property
    def started_at(self) -> datetime:
        if isinstance(self.start_date, int):
            return datetime.fromtimestamp(self.start_date / 1000, UTC)
        return self.start_date


class FailureReport(ExecutionEvent):
    """Of a run that failed."""

    execution_arn: str = field(name="executionArn")
    status: Literal["FAILED", "TIMED_OUT", "ABORTED"]
    input: str | None = None
    error: str | None = None
    cause: str | None = None


class Failure(Message):
    """`estimated_cost`: of the run, in dollars; null where it was reported before."""

    error: str
    cause: str
    estimated_cost: float | None = None
