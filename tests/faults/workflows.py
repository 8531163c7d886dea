"""The workflows whose calls are broken: how each is started on the stage, and how it ends when nothing breaks."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from suspicious_lines.layout import LIVE_MODEL_KEY
from suspicious_lines.preprocessing import split
from tests.faults.stage import WATCHED_DAY, Run, Stage

SPLIT_SEED = 1  # the template's


@dataclass(frozen=True)
class Workflow:
    """`prepare` leaves what the run needs and returns its input; `stop`: the state in which somebody stops it;
    `starts`: the state machine of which it starts an execution; `again`: how another run of the same input ends;
    `reported`: whether ReportFailure is told of failures, and not whoever started the run."""

    name: str
    machine: str
    prepare: Callable[[Stage], Any]
    status: str = "SUCCEEDED"
    error: str = ""
    stop: str = ""
    starts: str = ""
    again: str = "SUCCEEDED"
    reported: bool = True


def _train(stage: Stage) -> Any:
    return stage.upload("incoming/faults", stage.activities)


def _train_first(stage: Stage) -> Any:
    """No model is live, and a file waits for one."""
    stage.forget_models()
    waiting = stage.upload("invoices/waiting", stage.invoices)
    stage.put(f"parked/{'0' * 64}.json", json.dumps(waiting).encode())
    return _train(stage)


def _train_after_verdicts(stage: Stage) -> Any:
    stage.judge()
    return _train(stage)


def _train_worse(stage: Stage) -> Any:
    """The same lines to validate on, but those to train on have minutes and rates of no sense."""
    lines = pd.read_csv(io.BytesIO(stage.activities))
    rng = np.random.default_rng(1)
    train = split(len(lines), SPLIT_SEED)
    lines.loc[train, "Minutes"] = np.round(np.exp(rng.uniform(np.log(5), np.log(720), train.sum())))
    lines.loc[train, "Fee"] = np.round(rng.uniform(50, 900, train.sum()))
    lines.loc[train, "Total"] = np.round(lines["Minutes"] / 60 * lines["Fee"], 2)[train]
    return stage.upload("incoming/faults", lines.to_csv(index=False).encode())


def _score(stage: Stage) -> Any:
    return stage.upload("invoices/faults", stage.invoices)


def _score_first(stage: Stage) -> Any:
    stage.forget_models()
    return _score(stage)


def _score_twice(stage: Stage) -> Any:
    """The upload of a run that has ended, delivered once more."""
    given = _score(stage)
    stage.run("ScoreStateMachineArn", given)
    stage.reset()
    return given


def _review(stage: Stage) -> Any:
    """Everything that was listed is fine: the threshold moves, and a suppression is proposed."""
    return stage.upload("verdicts/faults", stage.verdicts())


def _monitor(stage: Stage) -> Any:
    return {"day": WATCHED_DAY}


def _rollback(stage: Stage) -> Any:
    return {"reason": "it flags too much"}


def _unusable(stage: Stage) -> Any:
    return stage.upload("incoming/faults", b"not invoices")


def _no_endpoint(stage: Stage) -> Any:
    stage.order_of_engine(target="Endpoint", error="x", message="no capacity")
    return _train(stage)


def _stopped(stage: Stage) -> Any:
    stage.order_of_engine(target="TrainingJob", error="Hanging")
    return _train(stage)


WORKFLOWS = {
    workflow.name: workflow
    for workflow in (
        Workflow("train: promoted", "TrainStateMachineArn", _train),
        Workflow("train: first, a file waits", "TrainStateMachineArn", _train_first, starts="ScoreStateMachineArn"),
        Workflow("train: after verdicts", "TrainStateMachineArn", _train_after_verdicts),
        Workflow("train: refused", "TrainStateMachineArn", _train_worse),
        Workflow("train: unusable file", "TrainStateMachineArn", _unusable, "FAILED", "InvalidUploadError", again=""),
        Workflow("train: failed endpoint", "TrainStateMachineArn", _no_endpoint, "FAILED", "EndpointFailedError"),
        Workflow("train: stopped", "TrainStateMachineArn", _stopped, "ABORTED", stop="WaitForTraining"),
        Workflow("score", "ScoreStateMachineArn", _score),
        Workflow("score: parked", "ScoreStateMachineArn", _score_first),
        Workflow("score: delivered twice", "ScoreStateMachineArn", _score_twice),
        Workflow("review", "ReviewStateMachineArn", _review),
        Workflow("monitor", "MonitorStateMachineArn", _monitor),
        Workflow("rollback", "RollbackStateMachineArn", _rollback, reported=False),
    )
}


def execute(workflow: Workflow, stage: Stage, given: Any, name: str, arn: str) -> Run:
    """Follows a started run to its end, and stops it where the workflow says so."""
    if workflow.stop:
        stage.wait_for_state(arn, workflow.stop)
        stage.sfn.stop_execution(executionArn=arn, cause="somebody stopped it")
    return stage.end(name, arn)


def live_facts(stage: Stage) -> dict[str, Any]:
    """What models/current.json says, without the moments of it."""
    live = stage.find(LIVE_MODEL_KEY) or {}
    return {
        "run": live.get("run"),
        "threshold": live.get("threshold"),
        "former": [former["run"] for former in live.get("former", [])],
        "history": [[change["what"], change["run"], change["replaced"]] for change in live.get("history", [])],
    }
