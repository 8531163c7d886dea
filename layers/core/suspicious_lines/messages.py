"""What the states hand to the functions and get back: keys and counts, never lines."""

from datetime import date, datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from suspicious_lines.text import plain_text

# Lines, or a share of them: above zero.
BUDGET_PATTERN = r"^(0*[1-9]\d*(\.\d+)?|0*\.0*[1-9]\d*|0+\.0*[1-9]\d*)%?$"
Strategy = Literal["error-median", "budget", "precision", "f-beta", "sigma"]
Run = Field(pattern=r"^[^/\s]{1,80}$", description="the name of the execution")
Part = Field(pattern=r"^((champion/[0-9a-f]{8}/)?(validation|planted)|invoices/[0-9a-f]{8}|judged)/part-\d{5}$")


class Message(BaseModel):
    """Base of all messages; a refused one does not show its values, which may come from a file."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, defer_build=True)


class Upload(Message):
    """One version of one dropped object."""

    bucket: str
    key: str
    etag: str
    size: int = Field(ge=0)
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
        return cls(
            bucket=detail["bucket"]["name"],
            key=s3_object["key"],
            etag=s3_object["etag"],
            size=s3_object["size"],
            version_id=s3_object.get("version-id"),
            sequencer=s3_object.get("sequencer"),
        )

    def as_detail(self) -> dict[str, Any]:
        """What S3's event would have said of it, as far as anybody reads it: `from_detail` gives the same upload."""
        names = {"key": self.key, "size": self.size, "etag": self.etag, "version-id": self.version_id}
        return {"version": "0", "bucket": {"name": self.bucket}, "object": names, "reason": "SweepUploads"}


class ClaimRequest(Message):
    run: str = Run
    detail: dict[str, Any]


class SizeLimits(Message):
    """Sizes of an upload in bytes above which a run goes another way: see docs/large-files.md."""

    distributed_above: int
    batch_above: int


class Claim(Message):
    run: str = Run
    upload: Upload
    claimed: bool
    limits: SizeLimits


class PreprocessRequest(Message):
    run: str = Run
    upload: Upload


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


class EncodeRequest(Message):
    """`gone`: the endpoint that an earlier try found deleted, or empty."""

    run: str = Run
    upload: Upload
    gone: str


class ModelInUse(Message):
    """The model that a run scores all its lines with, whatever is promoted meanwhile."""

    run: str = Run
    endpoint_name: str
    max_concurrency: int
    threshold: float


class Encoded(Message):
    dataset: Dataset
    model: ModelInUse
    model_age_days: float


class ParkRequest(Message):
    run: str = Run
    upload: Upload
    detail: dict[str, Any]


class Parked(Message):
    """`parked` is false where a model went live meanwhile, so that the upload can be scored after all."""

    parked: bool


class PreprocessingRequest(Message):
    """What a processing job does for a large file: what the function of the same name does for others. `gone`: see
    EncodeRequest."""

    run: str = Run
    upload: Upload
    work: Literal["preprocess", "encode_lines"]
    gone: str


class BatchJob(Message):
    """A processing or transform job."""

    job_name: str
    poll_seconds: int


class FinishPreprocessingRequest(Message):
    run: str = Run
    job_name: str


class Preprocessed(Message):
    """`model` and its age: of new lines, as in Encoded."""

    dataset: Dataset
    model: ModelInUse | None = None
    model_age_days: float | None = None


class TransformRequest(Message):
    """`model_name`: of SageMaker's model, which has the endpoint's name; `part`: the first of those that the job
    scores, which are all in one folder."""

    run: str = Run
    model_name: str
    part: str = Part


class FinishTransformRequest(Message):
    """`parts`: all of the run; the job has scored those in the first's folder, the endpoint scores the others."""

    run: str = Run
    job_name: str
    parts: list[str] = Field(min_length=1)
    endpoint_name: str


class Transformed(Message):
    lines: int


class TrainingRequest(Message):
    run: str = Run
    feature_dim: int = Field(ge=1, le=10_000)
    lines_judged: int = Field(ge=0)


class Training(Message):
    job_name: str
    poll_seconds: int


class DeployRequest(Message):
    run: str = Run
    job_name: str


class Endpoint(Message):
    endpoint_name: str
    max_concurrency: int
    poll_seconds: int


class ScoreRequest(Message):
    run: str = Run
    part: str = Part
    endpoint_name: str


class Scored(Message):
    part: str
    lines: int


class ThresholdRequest(Message):
    """`started_at`: when the execution began; it decides which suppressions are in force, the same at every try."""

    run: str = Run
    upload: Upload
    dataset: Dataset
    endpoint_name: str
    started_at: AwareDatetime


# How the note of a threshold begins that is not the one of the training any more.
MOVED_BY_VERDICTS = "verdicts moved it from"


class ChosenThreshold(Message):
    """`value` is a score (see ranking.py); `note` says why the strategy is not the one that was asked for, or that the
    value is not the one that it chose."""

    value: float
    strategy: Strategy
    note: str | None


class Results(Message):
    threshold: ChosenThreshold
    flagged: int
    amount_at_stake: float


class FlagRequest(Message):
    """`started_at`: when the execution began; it dates what is captured and decides which suppressions are in force,
    the same at every try."""

    run: str = Run
    upload: Upload
    dataset: Dataset
    model: ModelInUse
    started_at: AwareDatetime


class NotifyRequest(Message):
    run: str = Run
    upload: Upload


class Notified(Message):
    message_id: str


class ChampionRequest(Message):
    """`parts`: the run's own; `gone`: the endpoint that an earlier try found deleted or useless, or empty."""

    run: str = Run
    parts: list[str]
    gone: str


class Contest(Message):
    """Whom the new model is measured against: `champion`, the live model, and `parts`, what it scores; null and none
    where there is nothing to compare with, for the reason in `note`. `live_run`: the run whose model was live, which
    PromoteModel must still find there."""

    live_run: str | None
    champion: ModelInUse | None
    parts: list[str]
    note: str | None


class CompareRequest(Message):
    run: str = Run
    parts: list[str]
    contest: Contest


class Decision(Message):
    """What became of a run's model and why; `champion`: the run whose model was live."""

    promoted: bool
    champion: str | None
    reason: str


class PromoteRequest(Message):
    run: str = Run
    endpoint_name: str
    max_concurrency: int
    live_run: str | None
    reason: str


class RefuseRequest(Message):
    run: str = Run
    upload: Upload
    endpoint_name: str


class Refused(Message):
    """`deleted`: what there was to delete."""

    deleted: list[str]


class RestoreOrder(Message):
    """What a person asks for: `run`, which trained the model to go back to (empty: the newest former one that can
    score); `reason`, in words."""

    run: str = Field(default="", pattern=r"^[^/\s]{0,80}$")
    reason: str = Field(default="", max_length=500)


class RestoreRequest(Message):
    """`run` is the rollback's own execution."""

    run: str = Run
    order: RestoreOrder


class Restored(Message):
    """`run` is the live model's again; `replaced`: the run whose model was live before."""

    run: str = Run
    replaced: str | None


class ModelVersion(Message):
    """All that scoring needs of the model that a run trained; `promoted_at`: when it was last made the live one."""

    run: str = Run
    endpoint_name: str
    max_concurrency: int
    encoder_key: str
    threshold: float
    promoted_at: str


class ModelChange(Message):
    """What was done to the live model, when and why; `run` and `threshold` are those it had afterwards. Of a change of
    model, `replaced` is the run before; of one by hand, `execution` names the execution that did it; `review_run` is
    the run whose verdicts moved the threshold."""

    at: str
    what: Literal["promoted", "rolled back", "recalibrated"]
    run: str = Run
    threshold: float
    reason: str
    review_run: str | None = None
    replaced: str | None = None
    execution: str | None = None


class LiveModel(ModelVersion):
    """`models/current.json`: what new lines are scored with, which models before it can be gone back to, which ones
    cannot because their endpoints are deleted, which runs failed and may not go live, and all that was done to it; all
    newest first."""

    former: list[ModelVersion] = []
    dropped: list[ModelVersion] = []
    withdrawn: list[str] = []
    history: list[ModelChange] = []

    def age_days(self, now: datetime) -> float:
        """How long ago it was made the live one."""
        return round((now - datetime.fromisoformat(self.promoted_at)).total_seconds() / 86_400, 3)


class ReceiptRequest(Message):
    """`model_run`: the run that trained the model that scored the lines; this one, where it trained its own, and then
    `promotion` says what became of that model. Null, with all else of a model, where the run scored nothing."""

    run: str = Run
    execution_arn: str
    upload: Upload
    sha256: str
    counts: dict[str, int]
    model_run: str | None = Field(pattern=r"^[^/\s]{1,80}$")
    endpoint_name: str | None
    threshold: ChosenThreshold | None
    promotion: Decision | None


class VerdictsRequest(Message):
    """`started_at`: when the execution began; it dates the verdicts, the same at every try."""

    run: str = Run
    upload: Upload
    started_at: AwareDatetime


class VerdictCounts(Message):
    """`read` = `accepted` + `rejected`; of a line that is answered twice alike the later answer is kept, so that `kept`
    lines, which are `query` + `fine` + `unsure`, may be fewer than those accepted. `runs`: how many they belong to."""

    read: int = Field(ge=0)
    accepted: int = Field(ge=0)
    rejected: int = Field(ge=0)
    kept: int = Field(ge=0)
    query: int = Field(ge=0)
    fine: int = Field(ge=0)
    unsure: int = Field(ge=0)
    runs: int = Field(ge=0)


class Verdicts(Message):
    counts: VerdictCounts
    sha256: str


class LearnRequest(Message):
    """`started_at`: as in ThresholdRequest."""

    run: str = Run
    counts: VerdictCounts
    started_at: AwareDatetime


class Lessons(Message):
    """`precision`: of the live model on the lines that reviewers judged; null where there are none."""

    precision: float | None
    threshold_moved: bool
    proposals: int


class NotifyOfReviewRequest(Message):
    run: str = Run
    upload: Upload


class DriftRequest(Message):
    """`input`: that of the execution, `{"day": "2026-11-23"}`, or `{}` for the day before it started, in UTC."""

    run: str = Run
    input: dict[str, Any]
    started_at: AwareDatetime


class Drift(Message):
    """What was measured of a day's lines, as CloudWatch gets it; null where there is nothing to measure."""

    day: date
    lines: int
    drifted: int
    largest_psi: float | None = None
    flagged_percent: float | None = None
    unseen_percent: float | None = None
    catch_percent: float | None = None
    model_age_days: float | None = None


class DriftMailRequest(Message):
    run: str = Run
    day: date


class FailureReport(Message):
    """The detail of Step Functions' status-change event; the state machine sends the same shape."""

    run: str = Field(alias="name", pattern=r"^[^/\s]{1,80}$")
    execution_arn: str = Field(alias="executionArn")
    status: Literal["FAILED", "TIMED_OUT", "ABORTED"]
    started_at: AwareDatetime = Field(alias="startDate")
    input: str | None = None
    error: str | None = None
    cause: str | None = None


class Failure(Message):
    """`estimated_cost`: of the run, in dollars; null where it was reported before."""

    error: str
    cause: str
    estimated_cost: float | None = None
