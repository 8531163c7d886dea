"""State machines retry, catch, wait, map, time out and stop as on AWS."""

import itertools
import json
import time

import pytest

ALL = {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Caught"}
CAUGHT = {"Type": "Pass", "End": True}


def one(state, **others):
    return {"StartAt": "S", "States": {"S": state, **others}}


def output(execution):
    assert execution["status"] == "SUCCEEDED", execution
    return json.loads(execution["output"])


def test_a_named_error_is_retried_until_it_passes(machine, tmp_path):
    payload = {"do": "raise_until", "directory": str(tmp_path), "name": "n", "times": 3}
    retry = [
        {"ErrorEquals": ["OtherError"], "MaxAttempts": 0},
        {"ErrorEquals": ["InvalidUploadError"], "IntervalSeconds": 1, "MaxAttempts": 5, "BackoffRate": 10}
        | {"MaxDelaySeconds": 2, "JitterStrategy": "FULL"},
    ]
    started = time.monotonic()
    execution = machine.run(one(machine.act(payload, Retry=retry)))
    assert output(execution)["Payload"]["echo"]["name"] == "n"
    assert time.monotonic() - started < 3, "the second interval is cut to MaxDelaySeconds"
    kinds = [event["type"] for event in machine.history(execution["executionArn"])]
    assert kinds.count("TaskFailed") == 2
    assert kinds.count("TaskSucceeded") == 1


def test_a_named_error_is_caught_into_a_path(machine):
    catch = [
        {"ErrorEquals": ["OtherError"], "Next": "Wrong"},
        {"ErrorEquals": ["InvalidUploadError"], "ResultPath": "$.error", "Next": "Caught"},
    ]
    act = machine.act({"do": "raise"}, Catch=catch, End=False, Next="Wrong")
    caught = output(machine.run(one(act, Caught=CAUGHT, Wrong={"Type": "Fail"}), {"keep": 1}))
    assert caught["keep"] == 1
    assert caught["error"]["Error"] == "InvalidUploadError"
    assert json.loads(caught["error"]["Cause"])["errorMessage"] == "line 3 has no minutes"


def test_the_functions_timeout_and_the_states_timeout_have_their_names(machine):
    slow = {"do": "sleep", "seconds": 30}
    functions = machine.act(slow, Catch=[ALL], TimeoutSeconds=20)
    states = machine.act(slow, Catch=[ALL], TimeoutSeconds=1)
    first, second = machine.start(one(functions, Caught=CAUGHT)), machine.start(one(states, Caught=CAUGHT))
    assert output(machine.end(first))["error"]["Error"] == "Sandbox.Timedout"
    assert output(machine.end(second))["error"] == {"Error": "States.Timeout", "Cause": ""}


def test_a_machines_timeout_ends_it_and_reaches_the_rule(machine, cloud, eventually):
    definition = one(
        {"Type": "Wait", "Seconds": 600, "End": True},
    ) | {"TimeoutSeconds": 1}
    started = time.monotonic()
    execution = machine.run(definition, {"object": {"key": "incoming/late.csv"}})
    assert execution["status"] == "TIMED_OUT"
    assert time.monotonic() - started < 4
    assert machine.history(execution["executionArn"])[-1]["type"] == "ExecutionTimedOut"
    event = eventually(lambda: recorded(cloud, execution["name"]))
    assert event["status"] == "TIMED_OUT"
    assert json.loads(event["input"]) == {"object": {"key": "incoming/late.csv"}}
    assert event["executionArn"] == execution["executionArn"]


def test_a_stop_ends_what_waits_and_reaches_the_rule(machine, cloud, eventually):
    inner = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 600, "End": True}}}
    arn = machine.start(one({"Type": "Map", "ItemProcessor": inner, "End": True}), [1, 2])
    eventually(lambda: [e for e in machine.history(arn) if e["type"] == "WaitStateEntered"][1:])
    machine.sfn.stop_execution(executionArn=arn, error="Operator", cause="wrong file")
    execution = machine.end(arn, 1)
    assert (execution["status"], execution["error"], execution["cause"]) == ("ABORTED", "Operator", "wrong file")
    assert eventually(lambda: recorded(cloud, execution["name"]))["status"] == "ABORTED"
    time.sleep(0.2)
    assert machine.history(arn)[-1]["type"] == "ExecutionAborted"


def recorded(cloud, name):
    """The status-change event that the rule's function got for an execution."""
    s3, bucket = cloud.client("s3"), cloud.outputs["DataBucketName"]
    for item in s3.list_objects_v2(Bucket=bucket, Prefix="statuses/").get("Contents", []):
        event = json.loads(s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read())
        if event["name"] == name:
            return event
    return None


def test_wait_takes_its_seconds_from_the_input_and_is_scaled(machine):
    started = time.monotonic()
    output(machine.run(one({"Type": "Wait", "SecondsPath": "$.seconds", "End": True}), {"seconds": 5}))
    assert 0.5 < time.monotonic() - started < 3


def test_a_history_that_grows_too_long_fails_the_execution(machine):
    each = {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}
    inner = {"Type": "Map", "ItemsPath": "$.inner", "ItemProcessor": each, "End": True}
    state = {"Type": "Map", "ItemsPath": "$.outer", "ItemSelector": {"inner.$": "$.inner"}, "End": True}
    state["ItemProcessor"] = {"StartAt": "Inner", "States": {"Inner": inner}}
    state["Catch"] = [{"ErrorEquals": ["States.ALL"], "Next": "W"}]
    definition = {"StartAt": "Outer", "States": {"Outer": state, "W": {"Type": "Succeed"}}}
    execution = machine.run(definition, {"outer": [0] * 100, "inner": [0] * 100})  # 4 events for each of 10,000
    assert execution["status"] == "FAILED"
    assert "maximum number of history events" in execution["cause"]


def test_an_inline_map_runs_at_most_40_at_once(machine):
    wait = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 5, "End": True}}}
    started = time.monotonic()
    output(machine.run(one({"Type": "Map", "MaxConcurrency": 200, "ItemProcessor": wait, "End": True}), [0] * 41))
    assert time.monotonic() - started > 0.9


def test_map_runs_items_at_once_retries_one_and_records_iterations(machine, tmp_path):
    payload = {"do": "raise_until", "directory": str(tmp_path), "name.$": "$.name", "times": 2}
    retry = [{"ErrorEquals": ["InvalidUploadError"], "IntervalSeconds": 1, "JitterStrategy": "FULL"}]
    inner = {
        "ProcessorConfig": {"Mode": "INLINE"},
        "StartAt": "Score",
        "States": {"Score": machine.act(payload, Retry=retry, ResultSelector={"name.$": "$.Payload.echo.name"})},
    }
    state = {
        "Type": "Map",
        "ItemsPath": "$.parts",
        "ItemSelector": {"name.$": "States.Format('{}-{}', $.run, $$.Map.Item.Value)"},
        "MaxConcurrencyPath": "$.most",
        "ItemProcessor": inner,
        "ResultPath": "$.scores",
        "End": True,
    }
    execution = machine.run(one(state), {"run": "r", "parts": ["a", "b", "c"], "most": 2})
    assert output(execution)["scores"] == [{"name": "r-a"}, {"name": "r-b"}, {"name": "r-c"}]
    events = machine.history(execution["executionArn"])
    started = [e["mapIterationStartedEventDetails"] for e in events if e["type"] == "MapIterationStarted"]
    assert sorted(item["index"] for item in started) == [0, 1, 2]
    assert {item["name"] for item in started} == {"S"}
    assert [e["type"] for e in events].count("MapIterationSucceeded") == 3
    assert [e["mapStateStartedEventDetails"]["length"] for e in events if e["type"] == "MapStateStarted"] == [3]


def test_a_failed_iteration_fails_the_map_and_stops_the_others(machine):
    inner = {
        "StartAt": "C",
        "States": {
            "C": {"Type": "Choice", "Choices": [{"Variable": "$", "NumericEquals": 2, "Next": "Bad"}], "Default": "W"},
            "W": {"Type": "Wait", "Seconds": 600, "End": True},
            "Bad": machine.act({"do": "raise"}),
        },
    }
    state = {"Type": "Map", "ItemProcessor": inner, "Catch": [{**ALL, "ResultPath": "$"}], "End": True}
    execution = machine.run(one(state, Caught=CAUGHT), [1, 2, 3])
    assert output(execution)["Error"] == "InvalidUploadError"
    kinds = [event["type"] for event in machine.history(execution["executionArn"])]
    assert "MapIterationFailed" in kinds
    assert "MapStateFailed" in kinds


def test_parallel_branches(machine):
    branch = {"StartAt": "P", "States": {"P": {"Type": "Pass", "Result": 1, "End": True}}}
    failing = {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "Mine", "Cause": "c"}}}
    state = {"Type": "Parallel", "Branches": [branch, branch], "End": True}
    assert output(machine.run(one(state))) == [1, 1]
    state = {"Type": "Parallel", "Branches": [branch, failing], "Catch": [ALL], "End": True}
    assert output(machine.run(one(state, Caught=CAUGHT)))["error"] == {"Error": "Mine", "Cause": "c"}


def test_fail_takes_error_and_cause_from_paths(machine):
    state = {"Type": "Fail", "ErrorPath": "$.failure.error", "CausePath": "States.Format('why: {}', $.failure.cause)"}
    execution = machine.run(one(state), {"failure": {"error": "InvalidUploadError", "cause": "line 3"}})
    assert (execution["status"], execution["error"], execution["cause"]) == (
        "FAILED",
        "InvalidUploadError",
        "why: line 3",
    )
    assert "output" not in execution


@pytest.mark.parametrize(
    "state",
    [
        {"Type": "Pass", "Parameters": {"a.$": "$.missing"}, "End": True},
        {"Type": "Choice", "Choices": [{"Variable": "$.missing", "BooleanEquals": True, "Next": "Caught"}]},
        {"Type": "Pass", "OutputPath": "$.missing", "End": True},
    ],
)
def test_a_path_that_is_not_there_fails_the_execution(machine, state):
    execution = machine.run(one(state, Caught=CAUGHT))
    assert (execution["status"], execution["error"]) == ("FAILED", "States.Runtime")
    assert "'S'" in execution["cause"]


def test_states_all_does_not_catch_a_runtime_error_or_an_output_that_is_too_large(machine):
    act = machine.act({"x": 1}, ResultSelector={"a.$": "$.Payload.missing"}, Catch=[ALL])
    assert machine.run(one(act, Caught=CAUGHT))["error"] == "States.Runtime"
    act = machine.act({"do": "big", "bytes": 270_000}, Catch=[ALL])
    assert machine.run(one(act, Caught=CAUGHT))["error"] == "States.DataLimitExceeded"


def test_choice_rules(machine):
    def taken(rule, data):
        state = {"Type": "Choice", "Choices": [{**rule, "Next": "Yes"}], "Default": "No"}
        yes, no = ({"Type": "Pass", "Result": result, "End": True} for result in (True, False))
        return output(machine.run(one(state, Yes=yes, No=no), data))

    assert taken({"Variable": "$.a", "IsPresent": False}, {})
    assert taken({"Variable": "$.a", "IsPresent": True}, {"a": None})
    assert taken(
        {"And": [{"Variable": "$.a", "NumericLessThanPath": "$.b"}, {"Variable": "$.c", "IsNull": True}]},
        {"a": 1, "b": 2, "c": None},
    )
    assert taken({"Not": {"Variable": "$.a", "StringMatches": "incoming/*.csv"}}, {"a": "incoming/x.png"})
    assert not taken({"Variable": "$.a", "StringEquals": "1"}, {"a": 1})


def test_the_context_object_and_the_history(machine):
    state = {
        "Type": "Pass",
        "Parameters": {
            "name.$": "$$.Execution.Name",
            "id.$": "$$.Execution.Id",
            "started.$": "$$.Execution.StartTime",
            "input.$": "States.JsonToString($$.Execution.Input)",
            "state.$": "$$.State.Name",
        },
        "ResultPath": "$.context",
        "Next": "Last",
    }
    execution = machine.run(one(state, Last=machine.act({"a": 1})), {"k": "v"})
    events = machine.history(execution["executionArn"])
    context = json.loads(next(e for e in events if e["type"] == "PassStateExited")["stateExitedEventDetails"]["output"])
    assert context["context"]["name"] == execution["name"]
    assert context["context"]["id"] == execution["executionArn"]
    assert context["context"]["state"] == "S"
    assert json.loads(context["context"]["input"]) == {"k": "v"}
    assert [event["type"] for event in events] == [
        "ExecutionStarted",
        "PassStateEntered",
        "PassStateExited",
        "TaskStateEntered",
        "TaskScheduled",
        "TaskStarted",
        "TaskSucceeded",
        "TaskStateExited",
        "ExecutionSucceeded",
    ]
    assert [event["id"] for event in events] == list(range(1, 10))
    assert all(b["timestamp"] >= a["timestamp"] for a, b in itertools.pairwise(events))
    assert abs(events[0]["timestamp"].timestamp() - execution["startDate"].timestamp()) < 0.01
    scheduled = events[4]["taskScheduledEventDetails"]
    assert (scheduled["resourceType"], scheduled["resource"]) == ("lambda", "invoke")


def sagemaker(resource, name):
    return {
        "Type": "Task",
        "Resource": f"arn:aws:states:::{resource}",
        "Parameters": {"TrainingJobName": name},
        "Catch": [ALL],
        "End": True,
    }


def test_sagemaker_is_called_where_its_endpoint_is(machine):
    described = output(machine.run(one(sagemaker("aws-sdk:sagemaker:describeTrainingJob", "known"), Caught=CAUGHT)))
    assert described["TrainingJobStatus"] == "Completed"
    assert described["CreationTime"] == "2023-11-14T22:13:20.123Z"


@pytest.mark.parametrize(
    ("resource", "name", "error"),
    [
        ("aws-sdk:sagemaker:describeTrainingJob", "unknown", "SageMaker.SageMakerException"),
        ("aws-sdk:sagemaker:describeTrainingJob", "throttled", "SageMaker.SageMakerException"),
        ("aws-sdk:sagemaker:describeTrainingJob", "full", "SageMaker.ResourceLimitExceededException"),
        ("sagemaker:stopTrainingJob", "throttled", "SageMaker.AmazonSageMakerException"),
    ],
)
def test_sagemakers_errors_have_their_names(machine, resource, name, error):
    caught = output(machine.run(one(sagemaker(resource, name), Caught=CAUGHT)))["error"]
    assert caught["Error"] == error
    assert "(Service: SageMaker, Status Code: 400, Request ID: " in caught["Cause"]


def test_other_services_and_a_missing_function(machine, cloud):
    state = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:s3:getObject",
        "Parameters": {"Bucket": cloud.outputs["DataBucketName"], "Key": "nothing"},
        "Catch": [ALL],
        "End": True,
    }
    assert output(machine.run(one(state, Caught=CAUGHT)))["error"]["Error"] == "S3.NoSuchKeyException"
    act = machine.act({}, Catch=[ALL])
    act["Parameters"]["FunctionName"] = "nobody"
    caught = output(machine.run(one(act, Caught=CAUGHT)))["error"]
    assert caught["Error"] == "Lambda.ResourceNotFoundException"


def test_reserved_concurrency_throttles_by_name(machine, cloud):
    client, name = cloud.client("lambda"), cloud.outputs["Broken"]
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    act = machine.act({}, Catch=[ALL])
    act["Parameters"]["FunctionName"] = name
    try:
        caught = output(machine.run(one(act, Caught=CAUGHT)))["error"]
    finally:
        client.delete_function_concurrency(FunctionName=name)
    assert caught["Error"] == "Lambda.TooManyRequestsException"


def test_a_distributed_map_runs_children_and_fails_above_its_tolerance(machine, cloud):
    bucket = cloud.outputs["DataBucketName"]
    cloud.client("s3").put_object(Bucket=bucket, Key="parts.json", Body=b'[{"n": 1}, {"n": 2}]')
    inner = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "Act"}
    inner["States"] = {"Act": machine.act({"n.$": "$.n"}, ResultSelector={"n.$": "$.Payload.echo.n"})}
    reader = {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSON"}}
    reader["Parameters"] = {"Bucket": bucket, "Key.$": "$.key"}
    state = {"Type": "Map", "ItemReader": reader, "ItemProcessor": inner, "MaxConcurrency": 2, "End": True}
    assert output(machine.run(one(state), {"key": "parts.json"})) == [{"n": 1}, {"n": 2}]
    state["ResultSelector"] = {"two.$": "States.ArrayContains($[*].n, 2)", "three.$": "States.ArrayContains($[*].n, 3)"}
    assert output(machine.run(one(state), {"key": "parts.json"})) == {"two": True, "three": False}
    inner["States"]["Act"] = machine.act({"do": "raise"})
    execution = machine.run(one(state | {"Catch": [ALL]}, Caught=CAUGHT), {"key": "parts.json"})
    assert output(execution)["error"]["Error"] == "States.ExceedToleratedFailureThreshold"


def test_a_stop_ends_the_children_of_a_distributed_map(machine, eventually):
    inner = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "W"}
    inner["States"] = {"W": {"Type": "Wait", "Seconds": 600, "Next": "Act"}, "Act": machine.act({"n": 1})}
    arn = machine.start(
        one({"Type": "Map", "ItemsPath": "$.parts", "ItemProcessor": inner, "End": True}), {"parts": [1, 2]}
    )

    def children() -> list[str]:
        runs = machine.sfn.list_map_runs(executionArn=arn)["mapRuns"]
        return [
            child["status"]
            for run in runs
            for child in machine.sfn.list_executions(mapRunArn=run["mapRunArn"])["executions"]
        ]

    eventually(lambda: children() == ["RUNNING", "RUNNING"])
    machine.sfn.stop_execution(executionArn=arn, cause="wrong file")
    assert machine.end(arn, 1)["status"] == "ABORTED"
    eventually(lambda: children() == ["FAILED", "FAILED"])
