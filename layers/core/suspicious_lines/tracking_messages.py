"""What EventBridge hands to the function that tracks runs, and what that answers."""

from msgspec import field

from suspicious_lines.messages import Message, Run


class TrackRequest(Message):
    """The detail of Step Functions' status-change event of a training run that succeeded."""

    run: Run = field(name="name")


class Tracked(Message):
    """`component`: the run's trial component; `mlflow_run`: its run in MLflow, where there is a server. Made now or
    before; null where the run trained no model."""

    component: str | None
    mlflow_run: str | None
