"""What the states of the review workflow hand to the functions and get back."""

from pydantic import AwareDatetime, Field

from suspicious_lines.messages import Message, Run, Upload


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
