"""What the states of training hand to the functions and get back; models' are in model_messages.py."""

from pydantic import AwareDatetime, Field

from suspicious_lines.messages import ChosenThreshold, Dataset, Family, Message, Run, Upload


class PreprocessRequest(Message):
    run: str = Run
    upload: Upload
    family: str = Family


class TrainingRequest(Message):
    run: str = Run
    feature_dim: int = Field(ge=1, le=10_000)
    lines_judged: int = Field(ge=0)


class Training(Message):
    job_name: str
    poll_seconds: int


class DeployRequest(Message):
    """`run` names the model and its endpoint; the job may be another run's."""

    run: str = Run
    family: str = Family
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

    run: str = Run
    upload: Upload
    dataset: Dataset
    endpoint_name: str
    started_at: AwareDatetime


class Results(Message):
    threshold: ChosenThreshold
    flagged: int
    amount_at_stake: float
