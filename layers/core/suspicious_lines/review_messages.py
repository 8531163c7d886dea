"""What the states of the review workflow hand to the functions and get back."""

from suspicious_lines.documents import Count
from suspicious_lines.messages import AwareDatetime, Message, Run, Upload


class VerdictsRequest(Message):
    """`started_at`: when the execution began; it dates the verdicts, the same at every try."""

    run: Run
    upload: Upload
    started_at: AwareDatetime


class VerdictCounts(Message):
    """`read` = `accepted` + `rejected`; of a line that is answered twice alike the later answer is kept, so that `kept`
    lines, which are `query` + `fine` + `unsure`, may be fewer than those accepted. `runs`: how many they belong to."""

    read: Count
    accepted: Count
    rejected: Count
    kept: Count
    query: Count
    fine: Count
    unsure: Count
    runs: Count


class Verdicts(Message):
    counts: VerdictCounts
    sha256: str


class LearnRequest(Message):
    """`started_at`: as in ThresholdRequest."""

    run: Run
    counts: VerdictCounts
    started_at: AwareDatetime


class Lessons(Message):
    """`precision`: of the live model on the lines that reviewers judged; null where there are none."""

    precision: float | None
    threshold_moved: bool
    proposals: int


class NotifyOfReviewRequest(Message):
    run: Run
    upload: Upload
