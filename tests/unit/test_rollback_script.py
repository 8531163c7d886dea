"""scripts/rollback.py against AWS; tests/workflow tries it on the embedded one."""

import importlib.util
import json

import boto3
import pytest
from botocore.exceptions import ClientError

from frames import ROOT

MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:suspicious-lines-rollback"


class StepFunctions:
    """Runs for one look, then ends as told."""

    def __init__(self, **end):
        self.started, self.looks = [], [{"status": "RUNNING"}, end]

    def start_execution(self, stateMachineArn, input):
        self.started.append((stateMachineArn, json.loads(input)))
        return {"executionArn": "arn"}

    def describe_execution(self, executionArn):
        return self.looks.pop(0)


class CloudFormation:
    """Has one stack."""

    def __init__(self, name, outputs):
        self.name = name
        self.outputs = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]

    def describe_stacks(self, StackName):
        if StackName != self.name:
            error = {"Code": "ValidationError", "Message": f"Stack with id {StackName} does not exist"}
            raise ClientError({"Error": error}, "DescribeStacks")
        return {"Stacks": [{"Outputs": self.outputs}]}


@pytest.fixture
def rollback(monkeypatch, tmp_path):
    """Runs the script on a stack of AWS whose rollback ends as told: (exit status, what was started)."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    spec = importlib.util.spec_from_file_location("rollback", ROOT / "scripts" / "rollback.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr("deployed.POLL_SECONDS", 0)

    def run(*arguments, stack="suspicious-lines", outputs=True, **end):
        clients = {
            "stepfunctions": StepFunctions(**end),
            "cloudformation": CloudFormation(stack, {"RollbackStateMachineArn": MACHINE} if outputs else {}),
        }
        monkeypatch.setattr(boto3, "client", lambda name, region_name: clients[name])
        monkeypatch.setattr("sys.argv", ["rollback.py", "--home", str(tmp_path), *arguments])
        return script.main(), clients["stepfunctions"].started

    return run


def test_the_stack_is_that_of_samconfig(rollback, capsys):
    done = {"status": "SUCCEEDED", "output": '{"run": "a", "replaced": "b"}'}
    order = {"run": "a", "family": "claims", "reason": "too many lines"}
    asked = ("--run", "a", "--family", "claims", "--reason", "too many lines")
    assert rollback("--config", "prod", *asked, **done) == (0, [(MACHINE, order)])
    told = [
        "rolling back suspicious-lines in us-east-1",
        "The model of run a is live again, in place of that of run b.",
    ]
    assert capsys.readouterr().out.splitlines() == told


def test_where_nothing_runs_here_it_is_dev(rollback, capsys):
    done = {"status": "SUCCEEDED", "output": '{"run": "a", "replaced": "b"}'}
    assert rollback(stack="suspicious-lines-dev", **done) == (0, [(MACHINE, {"run": "", "family": "", "reason": ""})])
    assert capsys.readouterr().out.startswith("rolling back suspicious-lines-dev in us-east-1\n")


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (
            {"status": "FAILED", "error": "NoFormerModelError", "cause": '{"errorMessage": "none kept"}'},
            "rollback: NoFormerModelError: none kept\n",
        ),
        ({"status": "FAILED", "error": "X", "cause": "in plain words"}, "rollback: X: in plain words\n"),
        ({"status": "TIMED_OUT"}, "rollback: TIMED_OUT: the execution ended as TIMED_OUT\n"),
    ],
)
def test_a_failure_is_told_in_words_and_by_the_exit_status(rollback, capsys, end, told):
    status, started = rollback("--config", "prod", **end)
    assert (status, len(started)) == (1, 1)
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    ("arguments", "given", "words"),
    [
        (["--config", "test"], {}, "samconfig.toml has no environment test"),
        (["--config", "dev"], {}, "does not exist"),
        (["--config", "prod"], {"outputs": False}, "has no output RollbackStateMachineArn"),
    ],
)
def test_a_stack_that_is_not_there_starts_nothing(rollback, capsys, arguments, given, words):
    assert rollback(*arguments, **given) == (1, [])
    assert words in capsys.readouterr().err
