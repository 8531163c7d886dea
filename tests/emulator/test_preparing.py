"""Functions that a state machine names are started ahead of their first invocation."""

import io
import os
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.emulator.environments import Deployment, Pool, unpack
from local.emulator.lambdas import functions_in_order

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"


def task(name, **following):
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": ARN + name},
    } | (following or {"End": True})


def test_functions_come_in_the_order_of_the_usual_way():
    states = {
        "Claim": task("Claim", Next="IsLarge", Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Report"}]),
        "IsLarge": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.n", "IsNull": True, "Next": "Job"}],
            "Default": "Read",
        },
        "Job": task("Job", Next="Score"),
        "Read": task("Read", Next="Score"),
        "Score": {
            "Type": "Map",
            "ItemProcessor": {"StartAt": "ScoreOne", "States": {"ScoreOne": task("ScoreOne")}},
            "Next": "Again",
        },
        "Again": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.n", "IsNull": True, "Next": "Score"}],
            "Default": "Tell",
        },
        "Tell": task("Tell"),
        "Report": task("Report"),
    }
    found = list(functions_in_order(states, "Claim", set()))
    assert [arn.removeprefix(ARN) for arn in found] == ["Claim", "Read", "ScoreOne", "Tell", "Job"]


@pytest.fixture
def pool(tmp_path):
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", "import time\ntime.sleep(1)\n\ndef handler(event, context):\n    return event\n")
    unpack(tmp_path / "function", code.getvalue(), [])
    config = {"FunctionName": "f", "Handler": "app.handler"}
    made = Pool(Deployment(config, tmp_path / "function", {"PATH": os.environ["PATH"]}))
    yield made
    made.retire()


def test_an_invocation_waits_for_the_environment_that_is_being_prepared(pool, tmp_path):
    with ThreadPoolExecutor(1) as background:
        background.submit(pool.prepare)
        while not list(tmp_path.glob("tmp-*")):
            time.sleep(0.01)
        with pool.lease() as environment:
            assert environment.init_ms > 1000, "the first invocation reports what its start took"
    assert len(list(tmp_path.glob("tmp-*"))) == 1


def test_a_function_that_was_invoked_is_not_prepared(pool, tmp_path):
    with pool.lease():
        pool.prepare()
    assert len(list(tmp_path.glob("tmp-*"))) == 1
