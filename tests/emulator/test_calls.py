"""Calls to AWS are written down, and fail as ordered: those of functions and those of state machines."""

import time

import pytest

from local.emulator.calls import STATES, Order

READ = {"do": "call", "service": "s3", "method": "get_object"}
WRITE = {"do": "call", "service": "s3", "method": "put_object"}
REFUSED = {
    "throttle": ("ClientError", "SlowDown"),
    "server-error": ("ClientError", "InternalError"),
    "denied": ("AccessDenied", "GetObject"),
    "timeout": ("ReadTimeoutError", "timeout"),
    "reset": ("ConnectionClosedError", "closed"),
    "crash": ("Runtime.ExitError", "exit status 1"),
}


@pytest.fixture
def named(cloud):
    """An object of its own for each test: the parameters that name it."""
    named = {"Bucket": cloud.outputs["DataBucketName"], "Key": f"calls/{time.time_ns()}.txt"}
    cloud.client("s3").put_object(**named, Body=b"0123456789")
    return named


@pytest.fixture
def order(cloud, calls):
    def give(kind: str, operation: str, times: int = 1, caller: str = "", service: str = "s3") -> None:
        calls.order(Order(kind, caller or cloud.outputs["Act"], service, operation, {"Key": "calls/.*"}, times))

    return give


def test_a_call_is_written_down_by_what_it_names_and_nothing_else(invoke, cloud, calls, named):
    invoke(WRITE | {"parameters": named | {"Body": "Partner, 600", "Metadata": {"note": "secret"}}})
    (call,) = calls.take()
    act = cloud.outputs["Act"]
    assert call == {"caller": act, "service": "s3", "operation": "PutObject", "names": named, "fault": None}
    assert calls.take() == []


@pytest.mark.parametrize("kind", REFUSED)
def test_a_call_that_keeps_failing(invoke, order, calls, named, kind):
    order(kind, "GetObject", times=20)
    answer, failed = invoke(READ | {"parameters": named})
    assert failed
    kind_of_error, words = REFUSED[kind]
    assert answer["errorType"] == kind_of_error
    assert words in answer["errorMessage"]
    assert calls.cancel() >= 1


@pytest.mark.parametrize("kind", ["throttle", "server-error", "timeout", "reset"])
def test_botocore_tries_again(invoke, order, calls, named, kind):
    order(kind, "GetObject")
    assert invoke(READ | {"parameters": named}) == ("0123456789", None)
    assert [call["fault"] for call in calls.take()] == [kind, None]


@pytest.mark.parametrize(
    ("kind", "written"), [("timeout", True), ("crash", True), ("reset", False), ("throttle", False)]
)
def test_what_was_asked_is_done_or_not(invoke, order, cloud, named, kind, written):
    order(kind, "PutObject", times=20)
    invoke(WRITE | {"parameters": named | {"Body": "new"}})
    assert (cloud.client("s3").get_object(**named)["Body"].read() == b"new") == written


def test_a_body_that_breaks_off(invoke, order, named):
    order("truncated", "GetObject")
    answer, failed = invoke(READ | {"parameters": named})
    assert failed
    assert answer["errorType"] in ("IncompleteReadError", "FlexibleChecksumError")


def test_a_slow_answer(invoke, order, named):
    order("slow", "GetObject")
    started = time.monotonic()
    assert invoke(READ | {"parameters": named}) == ("0123456789", None)
    assert time.monotonic() - started > 0.4


def test_only_the_ordered_call_fails(invoke, order, calls, named):
    order("denied", "GetObject", caller="another function", times=20)
    assert invoke(READ | {"parameters": named}) == ("0123456789", None)
    order("denied", "PutObject", times=20)
    assert invoke(READ | {"parameters": named}) == ("0123456789", None)
    assert calls.cancel() == 0


@pytest.mark.parametrize(
    ("kind", "error", "ran"),
    [
        ("throttle", "Lambda.TooManyRequestsException", False),
        ("server-error", "Lambda.ServiceException", False),
        ("timeout", "Lambda.SdkClientException", True),
        ("crash", "Runtime.ExitError", True),
    ],
)
def test_a_state_does_not_reach_its_function_or_hear_of_it(machine, cloud, calls, named, kind, error, ran):
    calls.order(Order(kind, STATES, "lambda", "Invoke"))
    state = machine.act(WRITE | {"parameters": named | {"Body": "new"}})
    ended = machine.run({"StartAt": "Act", "States": {"Act": state}})
    assert (ended["status"], ended["error"]) == ("FAILED", error)
    assert (cloud.client("s3").get_object(**named)["Body"].read() == b"new") == ran
    assert calls.take()[0]["names"] == {"FunctionName": cloud.outputs["Act"]}


def test_a_state_that_calls_aws_itself(machine, cloud, calls, named):
    calls.order(Order("server-error", STATES, "s3", "HeadObject"))
    state = {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:s3:headObject", "Parameters": named, "End": True}
    ended = machine.run({"StartAt": "Head", "States": {"Head": state}})
    assert (ended["status"], ended["error"]) == ("FAILED", "S3.S3Exception")
    assert [call["fault"] for call in calls.take()] == ["server-error"]


def test_what_needs_a_permission_though_no_call_shows_it(invoke, cloud, calls, named):
    before = len(calls.history())
    missing = {"Bucket": named["Bucket"], "Key": "calls/not-there"}
    invoke(READ | {"parameters": missing})
    invoke(READ | {"method": "generate_presigned_url", "parameters": {"ClientMethod": "get_object", "Params": named}})
    act = {"caller": cloud.outputs["Act"], "service": "s3", "operation": "GetObject"}
    expected = [act | {"names": missing, "remark": "missing"}, act | {"names": named, "remark": "signed"}]
    assert [call for call in calls.history()[before:] if "remark" in call] == expected
