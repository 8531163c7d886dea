"""scripts/sweep.py where there is nothing to start; tests/workflow runs it on real sweeps."""

import importlib

import pytest

from frames import BUCKET, ROOT
from suspicious_lines import store
from suspicious_lines.layout import LIVE_MODEL_KEY


@pytest.fixture
def sweep(monkeypatch, cloud, capsys):
    """Runs the script on a stack without sweeps: what it complained of."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    script = importlib.import_module("sweep")
    stack = script.Stack("on moto", {"DataBucketName": BUCKET}, {"s3": cloud.s3}.__getitem__)
    monkeypatch.setattr(script, "find_stack", lambda config, home: stack)

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["sweep.py", "--trees", "50,100", "--samples", "128", *arguments])
        assert script.main() == 1
        return capsys.readouterr().err

    return run


def test_a_stack_without_sweeps_is_told_how_to_get_them(sweep):
    store.put_json(BUCKET, LIVE_MODEL_KEY, {"run": "live"})
    assert sweep() == "sweep: the stack on moto has no sweeps: deploy it with HyperparameterSweep=true\n"


def test_without_a_live_model_a_run_must_be_named(sweep):
    assert sweep() == "sweep: no model is live yet: drop a file under incoming/ first\n"
    assert "has no sweeps" in sweep("--run", "a")
