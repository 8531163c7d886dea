"""What the states of scoring alone hand to the functions and get back."""

from typing import Any

from suspicious_lines.messages import AwareDatetime, Dataset, Family, Message, Run, Upload


class EncodeRequest(Message):
    """`gone`: the endpoint that an earlier try found deleted, or empty."""

    run: Run
    upload: Upload
    family: Family = ""
    gone: str


class ModelInUse(Message):
    """The model that a run scores all its lines with, whatever is promoted meanwhile; `max_concurrency`: see Endpoint
    in train_messages.py."""

    run: Run
    endpoint_name: str
    max_concurrency: int
    threshold: float


class Encoded(Message):
    dataset: Dataset
    model: ModelInUse
    model_age_days: float


class ParkRequest(Message):
    run: Run
    upload: Upload
    family: Family = ""
    detail: dict[str, Any]


class Parked(Message):
    """`parked` is false where a model went live meanwhile, so that the upload can be scored after all."""

    parked: bool


class FlagRequest(Message):
    """`started_at`: when the execution began; it dates what is captured and decides which suppressions are in force,
    the same at every try."""

    run: Run
    upload: Upload
    dataset: Dataset
    model: ModelInUse
    started_at: AwareDatetime
