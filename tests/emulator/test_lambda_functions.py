"""Lambda functions answer, fail, log and end as on AWS."""

import base64
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError


def test_event_and_context_reach_the_handler(invoke, cloud):
    answer, error = invoke({"n": 1})
    assert error is None
    assert answer["echo"] == {"n": 1}
    assert answer["arn"] == cloud.outputs["ActArn"]


def test_a_warm_environment_is_used_again(invoke):
    first, _ = invoke({})
    second, _ = invoke({})
    assert second["pid"] == first["pid"]
    assert second["calls"] == first["calls"] + 1


def test_text_is_utf8(invoke):
    assert invoke({"do": "bytes"})[0] == "Größe ✓"


def test_the_environment_is_lambdas(invoke, cloud):
    variables, _ = invoke({"do": "environment"})
    assert variables["AWS_LAMBDA_FUNCTION_NAME"] == cloud.outputs["Act"]
    assert variables["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert variables["AWS_ENDPOINT_URL"] == cloud.endpoint_url
    assert variables["AWS_ENDPOINT_URL_SAGEMAKER"] == cloud.engine_url
    assert variables["AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"] == cloud.engine_url
    assert variables["AWS_REGION"] == "us-east-1"
    assert variables["LABEL"] in ("first", "second")
    assert variables["POWERTOOLS_TRACE_DISABLED"] == "true"
    assert variables["shared"] == "a layer of ours"
    assert 0 < variables["remaining"] <= 2000


def test_an_exception_has_its_own_name(invoke):
    answer, error = invoke({"do": "raise", "message": "line 7"})
    assert error == "Unhandled"
    assert answer["errorType"] == "InvalidUploadError"
    assert answer["errorMessage"] == "line 7"
    assert any("raise InvalidUploadError" in line for line in answer["stackTrace"])


def test_the_environment_survives_an_exception(invoke):
    before, _ = invoke({})
    invoke({"do": "raise"})
    assert invoke({})[0]["pid"] == before["pid"]


def test_a_module_that_cannot_be_imported(invoke):
    answer, error = invoke({}, "Broken")
    assert error == "Unhandled"
    assert answer["errorType"] == "Runtime.ImportModuleError"
    assert "Unable to import module 'app': No module named 'a_module_that_is_not_there'" in answer["errorMessage"]


def test_a_handler_that_is_not_there(invoke):
    answer, error = invoke({}, "Handlerless")
    assert (error, answer["errorType"]) == ("Unhandled", "Runtime.HandlerNotFound")
    assert answer["errorMessage"] == "Handler 'nothing' missing on module 'app'"


def test_the_timeout_ends_the_environment(invoke):
    before, _ = invoke({})
    started = time.monotonic()
    answer, error = invoke({"do": "sleep", "seconds": 30})
    assert 1.9 < time.monotonic() - started < 5
    assert (error, answer["errorType"]) == ("Unhandled", "Sandbox.Timedout")
    assert answer["errorMessage"].endswith("Error: Task timed out after 2.00 seconds")
    assert invoke({})[0]["pid"] != before["pid"]


@pytest.mark.parametrize(
    ("how", "words"), [("exit", "Runtime exited with error: exit status 3"), ("kill", "error: signal: killed")]
)
def test_a_crash_is_an_exit_error_and_the_next_call_works(invoke, how, words):
    answer, error = invoke({"do": how})
    assert (error, answer["errorType"]) == ("Unhandled", "Runtime.ExitError")
    assert words in answer["errorMessage"]
    assert invoke({})[1] is None


def test_an_environment_that_ends_while_idle_is_replaced(invoke):
    before, _ = invoke({})
    os.kill(before["pid"], signal.SIGKILL)
    time.sleep(0.1)
    after, error = invoke({})
    assert error is None
    assert after["pid"] != before["pid"]


def test_an_answer_above_six_megabytes_is_refused(invoke):
    answer, error = invoke({"do": "big", "bytes": 6_300_000})
    assert (error, answer["errorType"]) == ("Unhandled", "Function.ResponseSizeTooLarge")
    assert len(invoke({"do": "big", "bytes": 6_000_000})[0]) == 6_000_000


def test_a_request_above_six_megabytes_is_refused(invoke):
    with pytest.raises(ClientError) as refused:
        invoke({"fill": "x" * 6_300_000})
    assert refused.value.response["Error"]["Code"] == "RequestEntityTooLargeException"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_logs_reach_the_functions_log_group(invoke, cloud):
    invoke({"do": "print"})
    invoke({"do": "raise", "message": "for the log"})
    invoke({"do": "exit"})
    logs = cloud.client("logs")
    messages = [event["message"] for event in logs.filter_log_events(logGroupName="/test/functions")["events"]]
    assert "printed line" in messages
    assert "to stderr" in messages
    assert any(message.startswith("[WARNING]") and message.endswith("logged line") for message in messages)
    assert any("[ERROR] InvalidUploadError: for the log\nTraceback" in message for message in messages)
    assert "going" in messages
    assert any(message.startswith("START RequestId: ") for message in messages)
    assert any(message.startswith("END RequestId: ") for message in messages)
    reports = [message for message in messages if message.startswith("REPORT RequestId: ")]
    fields = dict(part.split(": ", 1) for part in reports[0].split("\t"))
    assert fields["Memory Size"] == "256 MB"
    assert float(fields["Duration"].removesuffix(" ms")) <= int(fields["Billed Duration"].removesuffix(" ms"))
    assert 10 < int(fields["Max Memory Used"].removesuffix(" MB")) < 500
    assert any("Status: error\tError Type: Runtime.ExitError" in report for report in reports)


def test_lines_come_in_the_order_of_the_invocation(invoke, cloud):
    client = cloud.client("lambda")
    answer = client.invoke(FunctionName=cloud.outputs["Act"], LogType="Tail", Payload=json.dumps({"do": "print"}))
    lines = base64.b64decode(answer["LogResult"]).decode().splitlines()
    assert lines[0].startswith("START")
    assert lines[1:3] == ["printed line", "to stderr"]
    assert lines[-1].startswith("REPORT")


def test_concurrent_calls_have_their_own_environments_and_queue_beyond(invoke):
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: invoke({"do": "sleep", "seconds": 0.3}), range(6)))
    assert all(error is None for _, error in answers)
    assert 1 < len({answer["pid"] for answer, _ in answers}) <= 4


def test_an_asynchronous_failure_is_tried_three_times(cloud, eventually, tmp_path):
    event = {"do": "raise_until", "directory": str(tmp_path), "name": "async", "times": 3}
    answer = cloud.client("lambda").invoke(
        FunctionName=cloud.outputs["Act"], InvocationType="Event", Payload=json.dumps(event)
    )
    assert answer["StatusCode"] == 202
    eventually(lambda: (tmp_path / "async").exists() and (tmp_path / "async").read_text() == "xxx")
