"""The workflows whose calls are broken: how each is started on the stage, and how it ends when nothing breaks."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from suspicious_lines.layout import LIVE_MODEL_KEY
from suspicious_lines.splitting import Draw
from tests.faults import upkeep
from tests.faults.stage import BATCH, DISTRIBUTED, SMALL, WATCHED_DAY, Run, Stage
from tests.faults.upkeep import Upkeep

SPLIT_SEED = 1  # the template's


@dataclass(frozen=True)
class Workflow:
    """`prepare` leaves what the run needs and returns its input; `stop`: the state in which somebody stops it;
    `starts`: the state machine of which it starts an execution; `again`: how another run of the same input ends;
    `reported`: whether ReportFailure is told of failures, and not whoever started the run; `way`: which one the file
    is sent for its size; `own`: functions that states of this way alone call, so that their calls are others."""

    name: str
    machine: str
    prepare: Callable[[Stage], Any]
    status: str = "SUCCEEDED"
    error: str = ""
    stop: str = ""
    starts: str = ""
    again: str = "SUCCEEDED"
    reported: bool = True
    way: str = SMALL
    own: tuple[str, ...] = ()

    def begin(self, stage: Stage) -> Any:
        """The input, on a stage as after its set-up but for what the run needs."""
        stage.reset()
        stage.send(self.way)
        return self.prepare(stage)


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
    train = Draw(SPLIT_SEED).next(len(lines))
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


def _score_before_any_job(stage: Stage) -> Any:
    """The first large file since a deployment: the code that jobs run is not in the bucket yet."""
    stage.forget_code()
    return _score(stage)


def _reading_stopped(stage: Stage) -> Any:
    stage.order_of_engine(target="ProcessingJob", error="Hanging")
    return _train(stage)


def _scoring_stopped(stage: Stage) -> Any:
    stage.order_of_engine(target="TransformJob", error="Hanging")
    return _train(stage)


_TRAIN, _SCORE = "TrainStateMachineArn", "ScoreStateMachineArn"
WORKFLOWS: dict[str, Workflow | Upkeep] = {
    workflow.name: workflow
    for workflow in (
        Workflow("train: promoted", _TRAIN, _train),
        Workflow("train: first, a file waits", _TRAIN, _train_first, starts=_SCORE),
        Workflow("train: after verdicts", _TRAIN, _train_after_verdicts),
        Workflow("train: refused", _TRAIN, _train_worse),
        Workflow("train: unusable file", _TRAIN, _unusable, "FAILED", "InvalidUploadError", again=""),
        Workflow("train: failed endpoint", _TRAIN, _no_endpoint, "FAILED", "EndpointFailedError"),
        Workflow("train: stopped", _TRAIN, _stopped, "ABORTED", stop="WaitForTraining"),
        Workflow("score", _SCORE, _score),
        Workflow("score: parked", _SCORE, _score_first),
        Workflow("score: delivered twice", _SCORE, _score_twice),
        Workflow("train: distributed", _TRAIN, _train, way=DISTRIBUTED, own=("ScoreLines",)),
        Workflow("score: distributed", _SCORE, _score, way=DISTRIBUTED, own=("ScoreLines",)),
        Workflow("train: jobs", _TRAIN, _train, way=BATCH),
        Workflow(
            "train: processing stopped", _TRAIN, _reading_stopped, "ABORTED", stop="WaitForPreprocessing", way=BATCH
        ),
        Workflow("train: transform stopped", _TRAIN, _scoring_stopped, "ABORTED", stop="WaitForTransform", way=BATCH),
        Workflow("score: jobs", _SCORE, _score, way=BATCH),
        Workflow("score: first job", _SCORE, _score_before_any_job, way=BATCH),
        Workflow("review", "ReviewStateMachineArn", _review),
        Workflow("monitor", "MonitorStateMachineArn", _monitor),
        Workflow("rollback", "RollbackStateMachineArn", _rollback, reported=False),
        upkeep.ORPHANS,
        upkeep.SWEEP,
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
