"""The clouds that the tests of this tier run on: one for most of them, and those of modules that need their own."""

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow_server
import numpy as np
import pandas as pd
import pytest
from deployed_workflow import PARAMETERS, Run, Workflow
from recorded import Record, missing, read, recorded, together, write

from local.activities import generate
from local.cloud import Cloud
from local.emulator.calls import FOLDER
from suspicious_lines.splitting import Draw
from tests.template.unrecorded import UNRECORDED

RECORDING = bool(os.environ.get("RECORD_CALLS"))
SPLIT_SEED = 1  # the template's


@contextlib.contextmanager
def _running(tmp_path_factory, **parameters: str) -> Iterator[Workflow]:
    """A cloud that enforces IAM and writes down its calls; `parameters` of the stack beside those of all."""
    home, calls = tmp_path_factory.mktemp("cloud"), tmp_path_factory.mktemp("calls")
    cloud = Cloud(home, port=0, engine_port=0, parameters=PARAMETERS | parameters, enforce=True)
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as environment:  # of what is started here, and of no other cloud
            environment.setenv("SFN_WAIT_SCALE", "0.05")
            environment.setenv(FOLDER, str(calls))
            workflow = Workflow(stack.enter_context(cloud))
        yield workflow


@contextlib.contextmanager
def _recording(tmp_path_factory, record: list[Record], **parameters: str) -> Iterator[Workflow]:
    """As `_running`. The template's policies are held against a record of all calls, which must be complete."""
    with _running(tmp_path_factory, **parameters) as workflow:
        yield workflow
        fresh = recorded(workflow.calls, workflow.logical)
    record.append(fresh)
    # What this tier seldom gets to is listed by hand.
    known = together([read(), *({holder: lines} for holder, lines, _ in UNRECORDED)])
    lacking = [] if RECORDING else missing(fresh, known)
    assert lacking == [], "make record-calls; then tests/template says which policies to change"


@pytest.fixture(scope="session")
def record(request) -> Iterator[list[Record]]:
    """What was needed in each cloud, written down where all tests of the tier have passed and RECORD_CALLS is set."""
    found: list[Record] = []
    yield found
    if RECORDING:
        chosen = {item.path for item in request.session.items}
        whole = chosen >= set(Path(__file__).parent.glob("test_*.py")) and not request.session.testsfailed
        assert whole, "a record is made by all the tests of the tier"
        write(together(found))


@pytest.fixture(scope="session")
def _workflow(tmp_path_factory, record):
    with _recording(tmp_path_factory, record) as workflow:
        yield workflow


@pytest.fixture(scope="module")
def own_workflow(tmp_path_factory, record):
    """A cloud of the module's own, where upkeep waits for nothing: it deals with all that it finds."""
    with _recording(tmp_path_factory, record) as workflow:
        workflow.sweep_at_once()
        yield workflow


@pytest.fixture(scope="module")
def registry_workflow(tmp_path_factory, record):
    """A cloud of the module's own with a model registry."""
    with _recording(tmp_path_factory, record, ModelRegistry="true") as workflow:
        yield workflow


@pytest.fixture(scope="module")
def features_workflow(tmp_path_factory, record):
    """A cloud of the module's own with a feature store, which trainings read."""
    with _recording(tmp_path_factory, record, FeatureStore="true", TrainOnStoredDays="30") as workflow:
        yield workflow


@pytest.fixture(scope="module")
def registry_mode_workflow(tmp_path_factory, record, mode):
    """The same, whose models are hosted in the module's `mode`."""
    hosting = {"HostingMode": mode, "FormerHostingMode": mode}
    with _recording(tmp_path_factory, record, ModelRegistry="true", CapturePercent="100", **hosting) as workflow:
        yield workflow


@pytest.fixture(scope="module")
def instances_workflow(tmp_path_factory, record):
    """A cloud of the module's own, whose models are hosted on two instances and captured; upkeep waits for nothing."""
    hosting = {"HostingMode": "real-time", "FormerHostingMode": "real-time"}
    with _recording(tmp_path_factory, record, EndpointInstances="2", CapturePercent="100", **hosting) as workflow:
        workflow.sweep_at_once()
        yield workflow


@pytest.fixture(scope="module")
def families_workflow(tmp_path_factory, record):
    """A cloud of the module's own with two families."""
    with _recording(tmp_path_factory, record, Families="claims,deals") as workflow:
        yield workflow


@pytest.fixture(scope="module")
def trying_workflow(tmp_path_factory, record):
    """A cloud of the module's own, whose stack can try models beside the live one."""
    with _recording(tmp_path_factory, record, Trials="true") as workflow:
        yield workflow


@pytest.fixture(scope="module")
def experiments_workflow(tmp_path_factory, record):
    """A cloud of the module's own that tracks runs, with an MLflow server at `mlflow` where that is installed."""
    with contextlib.ExitStack() as stack:
        installed = mlflow_server.PYTHON.exists()
        url = stack.enter_context(mlflow_server.serving(tmp_path_factory.mktemp("mlflow"))) if installed else ""
        tracking = _recording(tmp_path_factory, record, Experiments="true", MlflowTrackingUri=url)
        workflow = stack.enter_context(tracking)
        workflow.mlflow = url
        yield workflow


@pytest.fixture(scope="module")
def sweep_workflow(tmp_path_factory, record):
    """A cloud of the module's own with hyperparameter sweeps."""
    with _recording(tmp_path_factory, record, HyperparameterSweep="true") as workflow:
        yield workflow


@pytest.fixture(scope="module")
def shared_workflow(tmp_path_factory, record):
    """A cloud of the module's own with two families on instances, and a model registry."""
    mode = {"HostingMode": "real-time", "FormerHostingMode": "real-time", "ModelRegistry": "true"}
    with _recording(tmp_path_factory, record, Families="claims,deals", **mode) as workflow:
        yield workflow


@pytest.fixture
def workflow(_workflow):
    _workflow.no_faults()
    yield _workflow
    _workflow.no_faults()
    _workflow.calls.cancel()


@pytest.fixture
def no_model(workflow):
    workflow.forget_models()


@pytest.fixture
def no_verdicts(workflow):
    """Before a test, so that it counts its own only; and after it, for judged lines change the next training."""
    workflow.forget_verdicts()
    yield
    workflow.forget_verdicts()


@pytest.fixture(scope="session")
def activities() -> bytes:
    """1,500 lines with labels, and with enough errors to choose a threshold."""
    return generate(lines=1_500).to_csv(index=False).encode()


@pytest.fixture(scope="session")
def spoilt(activities, spoil) -> bytes:
    return spoil(activities)


@pytest.fixture(scope="session")
def spoil() -> Callable[[bytes], bytes]:
    return _spoilt


def _spoilt(body: bytes) -> bytes:
    """The same lines to validate on, but those to train on have minutes and rates of no sense."""
    lines = pd.read_csv(io.BytesIO(body))
    rng = np.random.default_rng(1)
    train = Draw(SPLIT_SEED).next(len(lines))
    lines.loc[train, "Minutes"] = np.round(np.exp(rng.uniform(np.log(5), np.log(720), train.sum())))
    lines.loc[train, "Fee"] = np.round(rng.uniform(50, 900, train.sum()))
    lines.loc[train, "Total"] = np.round(lines["Minutes"] / 60 * lines["Fee"], 2)[train]
    return lines.to_csv(index=False).encode()


@pytest.fixture
def nothing_left(workflow):
    """Holds that a failed run leaves nothing that costs money, that the live model stays, and that only a file that
    cannot be used stays claimed."""
    before, claimed = workflow.hosted(), workflow.claims()

    def check(run: Run) -> None:
        assert run.status in {"FAILED", "ABORTED", "TIMED_OUT"}
        assert workflow.hosted() == before
        assert workflow.claims() == claimed | ({run.name} if run.error == "InvalidUploadError" else set())

    return check
