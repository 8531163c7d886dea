"""What the states that try a model beside the live one hand to the functions and get back."""

from typing import Annotated, Literal

from msgspec import Meta

from suspicious_lines.messages import Message, Run
from suspicious_lines.model_messages import Challenger
from suspicious_lines.train_messages import Endpoint


class TrialOrder(Message):
    """What a person asks for. To begin: `run`, which trained the model to try, `kind` and, of ab, `share`, percent of
    the invoices. To conclude: `promote` and `reason`, in words."""

    action: Literal["begin", "report", "conclude"]
    run: Annotated[str, Meta(pattern=r"^[^/\s]{0,80}\Z")] = ""
    kind: Literal["ab", "shadow"] = "shadow"
    share: Annotated[int, Meta(ge=1, le=99)] = 10
    promote: bool = False
    reason: Annotated[str, Meta(max_length=500)] = ""


class TrialRequest(Message):
    """`run` is the trial machine's own execution."""

    run: Run
    order: TrialOrder


class Prepared(Message):
    """`job_name`: the training job whose model is to be deployed."""

    job_name: str


class BeginTrialRequest(TrialRequest):
    endpoint: Endpoint


class AbandonTrialRequest(Message):
    run: Run


class Abandoned(Message):
    """`deleted`: what there was to delete."""

    deleted: list[str]


class ConcludedTrial(Message):
    """`run`: which trained the model that was on trial; `live_run`: whose model is live now."""

    run: Run
    promoted: bool
    live_run: str


class ShadowRequest(Message):
    """`run`: a score execution that has succeeded."""

    run: Run


class Shadow(Message):
    """`parts`: the run's lines as the model on trial reads them; none where nothing is to be scored beside, and then
    `challenger` is null, and nothing may be asked of the endpoint."""

    parts: list[str]
    challenger: Challenger | None
    endpoint_name: str
    max_concurrency: int


class CompareShadowRequest(Message):
    run: Run
    shadow: Shadow
