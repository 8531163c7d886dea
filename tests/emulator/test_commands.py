"""The commands of the local cloud, as a shell runs them, and the progress they show."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from local.cloud import ROOT
from local.follow import NotStartedError, find_execution, follow

HERE = Path(__file__).parent


def run(*arguments, **options):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, **options)


def test_drop_uploads_and_follows(cloud, tmp_path):
    file = tmp_path / "lines.csv"
    file.write_text("a,b\n")
    done = run("-m", "local", "drop", file, "--home", cloud.outbox.parent)
    assert done.returncode == 0, done.stderr
    assert "-> s3://" in done.stdout
    assert "Record" in done.stdout
    assert "SUCCEEDED after" in done.stdout


def test_drop_says_what_is_wrong(cloud, tmp_path):
    absent = run("-m", "local", "drop", tmp_path / "no.csv", "--home", cloud.outbox.parent)
    assert absent.returncode == 1
    assert "no.csv" in absent.stderr
    assert "Traceback" not in absent.stderr
    alone = run("-m", "local", "drop", __file__, "--home", tmp_path)
    assert alone.returncode == 1
    assert "make up" in alone.stderr
    stale = {"endpoint_url": "http://127.0.0.1:9", "outputs": {"DataBucketName": "b"}}
    (tmp_path / "outputs.json").write_text(json.dumps(stale))
    gone = run("-m", "local", "drop", __file__, "--home", tmp_path)
    assert gone.returncode == 1
    assert "make up" in gone.stderr


def test_up_serves_until_ctrl_c(tmp_path):
    # The real template: what is wrong with it shows here first.
    command = [sys.executable, "-m", "local", "up", "--home", str(tmp_path), "--port", "0", "--engine-port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    shown = []
    while line := process.stdout.readline():
        shown.append(line)
        if "Ctrl-C" in line:
            break
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=10)
    assert process.returncode == 0, errors
    text = "".join(shown)
    written = json.loads((tmp_path / "outputs.json").read_text())
    assert written["endpoint_url"] in text
    assert written["outbox"] in text
    assert "stopping" in rest


@pytest.mark.parametrize("at", ["a terminal", "a pipe"])
def test_progress(machine, at):
    inner = {"StartAt": "Score", "States": {"Score": machine.act({"lines": 10})}}
    score = {"Type": "Map", "ItemsPath": "$.parts", "ItemProcessor": inner, "ResultPath": None, "Next": "Judge"}
    judge = machine.act({"do": "raise"})
    judge |= {"Catch": [{"ErrorEquals": ["InvalidUploadError"], "ResultPath": "$.error", "Next": "Ended"}]}
    states = {
        "Prepare": {"Type": "Pass", "Result": {"parts": [1, 2]}, "Next": "Pause"},
        "Pause": {"Type": "Wait", "Seconds": 1, "Next": "Count"},
        "Count": machine.act(
            {"lines": 1234}, ResultSelector={"lines.$": "$.Payload.echo.lines"}, ResultPath="$.counts"
        ),
        "ScoreParts": score,
        "Judge": judge,
        "Ended": {"Type": "Fail", "ErrorPath": "$.error.Error", "CausePath": "$.error.Error"},
    }
    states["Count"] = {k: v for k, v in states["Count"].items() if k != "End"} | {"Next": "ScoreParts"}
    states["Judge"].pop("End")
    states["Judge"]["Next"] = "Prepare"
    arn = machine.start({"StartAt": "Prepare", "States": states})
    written = io.StringIO()
    outcome = follow(machine.sfn, arn, Console(file=written, force_terminal=at == "a terminal", width=120))
    assert (outcome.status, outcome.error) == ("FAILED", "InvalidUploadError")
    assert list(outcome.states) == ["Prepare", "Pause", "Count", "ScoreParts", "Judge", "Ended"]
    assert outcome.states["Count"].counts == {"lines": 1234}
    assert outcome.states["ScoreParts"].items_done == 2
    assert outcome.states["Judge"].error == "InvalidUploadError"
    assert 0.09 < outcome.states["Pause"].seconds <= outcome.seconds
    text = written.getvalue()
    for expected in ("lines 1,234", "2 of 2", "failed: InvalidUploadError", "FAILED after"):
        assert expected in text


def test_an_upload_that_starts_nothing(cloud):
    sfn, machines = cloud.client("stepfunctions"), [cloud.outputs["OnUploadStateMachineArn"]]
    with pytest.raises(NotStartedError, match="s3://b/k"):
        find_execution(sfn, machines, "b", "k", None, seconds=0.3)


_INVOKE = "import sys, pathlib, local.invoke as i; i.ROOT = pathlib.Path(sys.argv[1]); "
_INVOKE += "sys.exit(i.invoke(sys.argv[2], pathlib.Path(sys.argv[3]), pathlib.Path(sys.argv[4])))"


def invoke_here(cloud, tmp_path, event, function="act", **options):
    file = tmp_path / "event.json"
    file.write_text(json.dumps(event))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return run("-c", _INVOKE, HERE / "stack", function, file, cloud.outbox.parent, env=environment, **options)


def test_invoke_runs_the_function_in_its_environment(cloud, tmp_path):
    done = invoke_here(cloud, tmp_path, {"do": "environment"})
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["AWS_ENDPOINT_URL"] == cloud.endpoint_url
    assert answer["LABEL"] == "first"


def test_invoke_shows_an_exception_as_lambda_would(cloud, tmp_path):
    done = invoke_here(cloud, tmp_path, {"do": "raise"})
    assert done.returncode == 1
    assert json.loads(done.stdout)["errorType"] == "InvalidUploadError"
    assert "[ERROR] InvalidUploadError: line 3 has no minutes" in done.stderr


def test_invoke_stops_at_a_breakpoint(cloud, tmp_path):
    done = invoke_here(cloud, tmp_path, {"do": "break", "n": 41}, input="p event['n'] + 1\nc\n")
    assert "(Pdb) 42" in done.stdout
    assert done.returncode == 0


def test_invoke_names_the_functions_there_are():
    done = run("-m", "local", "invoke", "nothing")
    assert done.returncode == 2
    assert "claim_upload" in done.stderr
