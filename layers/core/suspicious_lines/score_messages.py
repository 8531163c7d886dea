"""What the states of scoring alone hand to the functions and get back."""

from typing import Any

from pydantic import AwareDatetime

from suspicious_lines.messages import Dataset, Family, Message, Run, Upload


class EncodeRequest(Message):
    """`gone`: the endpoint that an earlier try found deleted, or empty."""

    run: str = Run
    upload: Upload
    family: str = Family
    gone: str


class ModelInUse(Message):
    """The model that a run scores all its lines with, whatever is promoted meanwhile; `max_concurrency`: see Endpoint
    in train_messages.py."""

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
    family: str = Family
    detail: dict[str, Any]


class Parked(Message):
    """`parked` is false where a model went live meanwhile, so that the upload can be scored after all."""

    parked: bool


class FlagRequest(Message):
    """`started_at`: when the execution began; it dates what is captured and decides which suppressions are in force,
    the same at every try."""

    run: str = Run
    upload: Upload
    dataset: Dataset
    model: ModelInUse
    started_at: AwareDatetime
