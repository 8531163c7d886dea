"""What the states that compare, promote and restore models hand to the functions and get back, and the live model."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from suspicious_lines.messages import Family, Message, Run, Upload
from suspicious_lines.score_messages import ModelInUse

# Why there is nothing to compare a new model with.
NOTHING_LIVE = "no model was live before"
DOES_NOT_SCORE = "the live model does not score any more: its endpoint is gone or gives other answers than scores"
REJECTED = "the live model was rejected in the registry, and there was no former one to go back to"
UNREADABLE = "the live model was left by another version of this product or its files are gone: it cannot be compared"


class ChampionRequest(Message):
    """`parts`: the run's own; `gone`: the endpoint that an earlier try found deleted or useless, or empty."""

    run: Run
    family: Family = ""
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
    run: Run
    parts: list[str]
    contest: Contest


class PromoteRequest(Message):
    run: Run
    family: Family = ""
    endpoint_name: str
    max_concurrency: int
    live_run: str | None
    reason: str


class RefuseRequest(Message):
    run: Run
    upload: Upload
    endpoint_name: str


class Refused(Message):
    """`deleted`: what there was to delete."""

    deleted: list[str]


class RestoreOrder(Message):
    """What a person asks for: `run`, which trained the model to go back to (empty: the newest former one that can
    score); `family`, whose model that is; `reason`, in words."""

    run: Annotated[str, Meta(pattern=r"^[^/\s]{0,80}\Z")] = ""
    family: Family = ""
    reason: Annotated[str, Meta(max_length=500)] = ""


class RestoreRequest(Message):
    """`run` is the rollback's own execution."""

    run: Run
    order: RestoreOrder


class Restored(Message):
    """`run` is the live model's again; `replaced`: the run whose model was live before."""

    run: Run
    replaced: str | None


class ModelVersion(ModelInUse):
    """All that scoring needs of the model that a run trained; `promoted_at`: when it was last made the live one.
    `beside`: names of further models and configurations that its endpoint uses or used (scripts/variants.py)."""

    encoder_key: str
    promoted_at: str
    beside: list[str] = []


class Challenger(ModelInUse):
    """A model on trial beside the live one, since `began_at`. `kind` ab: it scores `share` percent of the invoices in
    place of the live model; shadow: it scores all lines as well, and nobody is shown what it says. `trial`: the
    execution that began it, which its endpoint is named after."""

    trial: Run
    kind: Literal["ab", "shadow"]
    share: Annotated[int, Meta(ge=1, le=100)]
    began_at: str


class TrialEnd(Challenger):
    """A trial that `execution` concluded."""

    ended_at: str
    promoted: bool
    reason: str
    execution: str


class ModelChange(Message):
    """What was done to the live model, when and why; `run` and `threshold` are those it had afterwards. Of a change of
    model, `replaced` is the run before; of one by hand (rolled back, or approved or rejected in the registry),
    `execution` names the execution that did it; `review_run` is the run whose verdicts moved the threshold."""

    at: str
    what: Literal["promoted", "rolled back", "recalibrated", "approved", "rejected"]
    run: Run
    threshold: float
    reason: str
    review_run: str | None = None
    replaced: str | None = None
    execution: str | None = None


class LiveModel(ModelVersion):
    """`models/current.json`: what new lines are scored with, which models before it can be gone back to, which ones
    cannot because their endpoints are deleted, which runs failed and may not go live, of which runs people rejected the
    model in the registry, which model is on trial, which ones were, and all that was done to it; all newest first. Of a
    family: `models/<family>/current.json`."""

    former: list[ModelVersion] = []
    dropped: list[ModelVersion] = []
    withdrawn: list[str] = []
    rejected: list[str] = []
    challenger: Challenger | None = None
    trials: list[TrialEnd] = []
    history: list[ModelChange] = []

    def age_days(self, now: datetime) -> float:
        """How long ago it was made the live one."""
        return round((now - datetime.fromisoformat(self.promoted_at)).total_seconds() / 86_400, 3)
