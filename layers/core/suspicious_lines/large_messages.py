"""What the states of large files hand to the functions and get back."""

from typing import Annotated, Literal

from msgspec import Meta

from suspicious_lines.messages import Dataset, Family, Message, Run, Upload
from suspicious_lines.score_messages import ModelInUse


class PreprocessingRequest(Message):
    """What a processing job does for a large file: what the function of the same name does for others. `gone`: see
    EncodeRequest."""

    run: Run
    upload: Upload
    family: Family = ""
    work: Literal["preprocess", "encode_lines"]
    gone: str


class BatchJob(Message):
    """A processing or transform job."""

    job_name: str
    poll_seconds: int


class FinishPreprocessingRequest(Message):
    run: Run
    job_name: str


class Preprocessed(Message):
    """`model` and its age: of new lines, as in Encoded."""

    dataset: Dataset
    model: ModelInUse | None = None
    model_age_days: float | None = None


class TransformRequest(Message):
    """`model_name`: of SageMaker's model, which has the endpoint's name; `parts`: see FinishTransformRequest."""

    run: Run
    model_name: str
    parts: Annotated[list[str], Meta(min_length=1)]


class FinishTransformRequest(Message):
    """`parts`: all of the run; the job has scored those in the first's folder. The endpoint scores the others; of a
    model without one, the job has."""

    run: Run
    job_name: str
    parts: Annotated[list[str], Meta(min_length=1)]
    endpoint_name: str


class Transformed(Message):
    lines: int
