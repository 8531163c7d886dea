"""What the states of training hand to the functions and get back; models' are in model_messages.py."""

from typing import Annotated

from msgspec import Meta

from suspicious_lines.documents import Count
from suspicious_lines.messages import AwareDatetime, ChosenThreshold, Dataset, Family, Message, Run, Upload


class PreprocessRequest(Message):
    run: Run
    upload: Upload
    family: Family = ""


class TrainingRequest(Message):
    run: Run
    feature_dim: Annotated[int, Meta(ge=1, le=10_000)]
    lines_judged: Count


class Training(Message):
    job_name: str
    poll_seconds: int


class DeployRequest(Message):
    """`run` names the model and its endpoint; the job may be another run's."""

    run: Run
    family: Family = ""
    job_name: str


class Endpoint(Message):
    """`endpoint_name`: of the run's model, and of its endpoint where it has its own; `host`: of the endpoint that
    serves it; `max_concurrency`: parts that it is sent at once; 0 of a model without an endpoint, by which transform
    jobs score."""

    endpoint_name: str
    host: str
    max_concurrency: int
    poll_seconds: int


class ThresholdRequest(Message):
    """`started_at`: when the execution began; it decides which suppressions are in force, the same at every try."""

    run: Run
    upload: Upload
    dataset: Dataset
    endpoint_name: str
    started_at: AwareDatetime


class Results(Message):
    threshold: ChosenThreshold
    flagged: int
    amount_at_stake: float
