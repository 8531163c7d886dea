"""What the states of a sweep hand to the functions and get back.

`run` is the sweep's own execution, `model_run` the run whose prepared lines the candidates are trained and tried on.
"""

from typing import Annotated

from msgspec import Meta

from suspicious_lines.messages import Message, Run

# As SageMaker bounds them: https://docs.aws.amazon.com/sagemaker/latest/dg/rcf_hyperparameters.html
Trees = Annotated[int, Meta(ge=50, le=1000)]
Samples = Annotated[int, Meta(ge=1, le=2048)]
MOST_VALUES = 3


class Candidate(Message):
    """A forest to try."""

    num_trees: Trees
    num_samples_per_tree: Samples

    @property
    def name(self) -> str:
        return f"{self.num_trees}x{self.num_samples_per_tree}"


class SweepOrder(Message):
    """What somebody starts a sweep with."""

    run: Run
    trees: Annotated[list[Trees], Meta(min_length=1, max_length=MOST_VALUES)]
    samples: Annotated[list[Samples], Meta(min_length=1, max_length=MOST_VALUES)]

    def grid(self) -> list[Candidate]:
        """Each combination once, the smallest forests first."""
        found = {(trees, samples) for trees in self.trees for samples in self.samples}
        return [Candidate(num_trees=trees, num_samples_per_tree=samples) for trees, samples in sorted(found)]


class PlanRequest(Message):
    run: Run
    order: SweepOrder


class SweepPlan(Message):
    """`own`: the forest that the run itself trained; `estimated_cost`: in dollars."""

    model_run: str
    own: Candidate
    candidates: list[Candidate]
    estimated_cost: float


class CandidateRequest(Message):
    run: Run
    model_run: Run
    candidate: Candidate


class CandidateJob(Message):
    """The candidate's training job, model and transform job all have this name."""

    job_name: str
    poll_seconds: int


class JudgedCandidate(Candidate):
    """`average_precision`: of the final score, null where no line is known to be an error; `caught`: share of the
    planted errors that score as high as the last of as many lines as the run flagged."""

    average_precision: float | None
    caught: float


class ChooseRequest(Message):
    run: Run
    plan: SweepPlan
    judged: Annotated[list[JudgedCandidate], Meta(min_length=1)]


class Chosen(Message):
    winner: JudgedCandidate


class EndedSweep(Message):
    """`stopped`: what still ran and was stopped."""

    error: str
    cause: str
    stopped: list[str]
