"""A function's process dies at its first write and at its last one, in every step of every workflow: the run that is
retried, and the run that is started again, leave what an undisturbed run leaves, byte for byte."""

import dataclasses
import io
import json
import re
import time

import msgspec
import pyarrow.parquet as pq
import pytest

from local.activities import generate
from local.emulator.calls import STATES, Order
from suspicious_lines.layout import invoices_kind, resource_name
from suspicious_lines.receipts import Receipt

WRITES = ("Put", "Create", "Delete", "Publish", "Start", "Stop", "Update")
# What differs from run to run and has to: times, what they cost, and the version of the file.
TIMES = ("timings", "estimated_cost", "execution_arn")
DAY = r"\d{4}/\d\d/\d\d/\d\d|\d{4}-\d\d-\d\d"  # in keys: with the hour, or without


@dataclasses.dataclass(frozen=True)
class Story:
    """A workflow's file, and how the state of the world before each run of it is brought about."""

    machine: str
    body: bytes
    key: str
    live: bytes


@pytest.fixture(scope="module")
def model(_workflow, activities):
    """A live model, trained on the same file that the runs here train on; nothing is judged."""
    _workflow.forget_models()
    _workflow.forget_verdicts()
    assert _workflow.drop(activities).status == "SUCCEEDED"
    return _workflow.s3.get_object(Bucket=_workflow.bucket, Key="models/current.json")["Body"].read()


@pytest.fixture(scope="module")
def stories(_workflow, model, activities):
    invoices = generate(seed=7, lines=250).drop(columns="Error").to_csv(index=False).encode()
    scored = _workflow.drop(invoices, "invoices/judged.csv")
    listed = _workflow.read(scored, "results/suspicious_lines.csv").decode().splitlines()[1:]
    rows = "".join(f"{scored.name},{row.split(',')[0]},fine,\r\n" for row in listed)
    verdicts = f"Run,Line,Verdict,Note\r\n{rows}".encode()
    return {
        "train": Story("machine", activities, "incoming/crash.part", model),
        "score": Story("score_machine", invoices, "invoices/crash.part", model),
        "review": Story("review_machine", verdicts, "verdicts/crash.part", model),
    }


# Of the module, so that all the tests of a workflow follow one another: training comes last, for it replaces the model.
@pytest.fixture(scope="module", params=["score", "review", "train"])
def story(request, _workflow, stories):
    yield stories[request.param]
    _workflow.forget_verdicts()


@dataclasses.dataclass(frozen=True)
class Undisturbed:
    """A run that nothing befell: its name, what it left, and the writes of its functions in their order."""

    name: str
    left: dict[str, str]
    writes: list[dict]

    def deaths(self, place: int) -> list[Order]:
        """Of each function, at its first (0) or last (-1) write; in their order."""
        by_function: dict[str, list[int]] = {}
        for number, call in enumerate(self.writes):
            by_function.setdefault(call["caller"], []).append(number)
        numbers = sorted(own[place] for own in by_function.values())
        return [death_at(self.writes[number], self.name) for number in numbers]


@pytest.fixture(scope="module")
def known():
    return {}


@pytest.fixture
def undisturbed(workflow, story, known):
    if story.key not in known:
        begin(workflow, story)
        workflow.calls.take()
        run = workflow.wait(give(workflow, story))
        assert (run.status, run.error) == ("SUCCEEDED", "")
        writes = [call for call in writes_of(workflow.calls.take()) if not of_another_run(call)]
        known[story.key] = Undisturbed(run.name, left_by(workflow, run), writes)
    return known[story.key]


def give(workflow, story) -> str:
    """Starts the workflow as the file's event would, at once: the first death must not be over before we look."""
    version = workflow.upload(story.body, story.key)
    stored = {"key": story.key, "size": len(story.body), "etag": "e", "version-id": version, "sequencer": "1"}
    detail = json.dumps({"bucket": {"name": workflow.bucket}, "object": stored})
    return workflow.sfn.start_execution(stateMachineArn=getattr(workflow, story.machine), input=detail)["executionArn"]


def begin(workflow, story) -> None:
    """The same verdicts and threshold before each run; a run that trains is compared with the model before it."""
    workflow.forget_verdicts()
    if story.machine != "machine":
        workflow.s3.put_object(Bucket=workflow.bucket, Key="models/current.json", Body=story.live)


def writes_of(calls) -> list[dict]:
    return [call for call in calls if call["caller"] != STATES and call["operation"].startswith(WRITES)]


def of_another_run(call) -> bool:
    """The end of a run that was stopped before is reported while the next one runs."""
    return "ReportFailure" in call["caller"]


def death_at(call, run: str) -> Order:
    """At the same write of any run; the model's digest and the day that its key may name are others in each."""
    key = re.escape(re.sub(DAY, "<day>", call["names"].get("Key", "").replace(run, "<run>")))
    key = re.sub(r"/[0-9a-f]{8}/", "/[0-9a-f]{8}/", key)
    where = {"Key": key.replace("<run>", "[^/]+").replace("<day>", f"({DAY})")}
    return Order("crash", call["caller"], call["service"], call["operation"], where if key else {})


def left_by(workflow, run) -> dict[str, str]:
    """All that a run leaves for others, with the names of the run and its models, and all times, struck out."""
    names = names_of(workflow, run)
    pages = workflow.s3.get_paginator("list_objects_v2").paginate(Bucket=workflow.bucket)
    keys = [found["Key"] for page in pages for found in page.get("Contents", []) if run.name in found["Key"]]
    left = {}
    for key in keys:
        body = workflow.s3.get_object(Bucket=workflow.bucket, Key=key)["Body"].read()
        key = re.sub(DAY, "<day>", struck(key, names))
        left[key] = struck(content(key, body), names)
    left["models/current.json"] = live_without_times(workflow, names)
    return left


def names_of(workflow, run) -> dict[str, str]:
    live = json.loads(workflow.s3.get_object(Bucket=workflow.bucket, Key="models/current.json")["Body"].read())
    before = [live["run"], *(former["run"] for former in live["former"])]
    trained = [name for name in before if name != run.name]
    names = {}
    for place, name in enumerate([run.name, *trained]):
        names[name] = f"<run {place}>"
        names[resource_name("suspicious-lines", name)] = f"<resource {place}>"
        names[invoices_kind(name).partition("/")[2]] = f"<digest {place}>"
    return names


def struck(text: str, names: dict[str, str]) -> str:
    for name, word in names.items():
        text = text.replace(name, word)
    return text


def content(key: str, body: bytes) -> str:
    if key.endswith(".parquet"):
        table = pq.read_table(io.BytesIO(body))
        kept = [name for name in table.column_names if name != "judged_at"]
        return f"{table.schema.remove_metadata()}\n{table.select(kept).to_pandas().to_csv()}"
    if key.endswith("model.tar.gz"):
        return "SageMaker's own: the scores that it gives are compared"
    if key.startswith("told/"):
        return "SNS's id of the message"
    if key.endswith("receipt.json"):
        receipt = msgspec.to_builtins(msgspec.json.decode(body, type=Receipt))
        receipt["input"] |= {"version_id": None, "sequencer": None}
        return json.dumps({name: value for name, value in receipt.items() if name not in TIMES})
    # The page's nonce is a digest of the page, which names the run.
    return re.sub(r"nonce[=-][\"']?[\w-]{22}", "<nonce>", body.decode())


def live_without_times(workflow, names) -> str:
    live = json.loads(workflow.s3.get_object(Bucket=workflow.bucket, Key="models/current.json")["Body"].read())
    newest = live["history"][0] | {"at": None}
    return struck(json.dumps([live["run"], live["threshold"], live["encoder_key"], newest]), names)


def expect_the_same(found: dict, expected: dict) -> None:
    assert sorted(found) == sorted(expected)
    assert [key for key in expected if found[key] != expected[key]] == []


def die_at_each(workflow, orders: list[Order], arn: str) -> None:
    """Waits until each order was met; they were given before the execution started."""
    deadline = time.monotonic() + 60
    while (met := workflow.calls.met()) < len(orders):
        status = workflow.sfn.describe_execution(executionArn=arn)["status"]
        assert status == "RUNNING" or workflow.calls.met() == len(orders), f"the run ended as {status} after {met}"
        assert time.monotonic() < deadline, f"never came beyond {met}"
        time.sleep(0.005)


@pytest.mark.parametrize("place", [0, -1], ids=["at the first write", "at the last write"])
def test_a_run_whose_every_function_dies_once_ends_as_if_nothing_had_been(workflow, story, undisturbed, place):
    orders = undisturbed.deaths(place)
    assert len(orders) >= 5
    begin(workflow, story)
    workflow.calls.order(*orders)
    arn = give(workflow, story)
    die_at_each(workflow, orders, arn)
    run = workflow.wait(arn)
    assert (run.status, run.error) == ("SUCCEEDED", "")
    expect_the_same(left_by(workflow, run), undisturbed.left)


@pytest.mark.parametrize("place", [0, -1], ids=["at the first write", "at the last write"])
def test_a_run_that_died_for_good_is_started_again_and_ends_as_if_nothing_had_been(workflow, story, undisturbed, place):
    """Each death ends its run, by an operator who stops it; the next run of the file comes one step further."""
    dead = None
    for order in undisturbed.deaths(place):
        begin(workflow, story)
        workflow.calls.order(order)
        arn = workflow.start_again(dead) if dead else give(workflow, story)
        die_at_each(workflow, [order], arn)
        workflow.sfn.stop_execution(executionArn=arn)
        dead = workflow.wait(arn)
        assert dead.status == "ABORTED"
        workflow.wait_for_receipt(dead)
        assert nothing_captured_by(workflow, dead)
    begin(workflow, story)
    run = workflow.wait(workflow.start_again(dead))
    assert (run.status, run.error) == ("SUCCEEDED", "")
    expect_the_same(left_by(workflow, run), undisturbed.left)


def nothing_captured_by(workflow, run) -> bool:
    """Whether monitor and SQL count nothing of a run; its lines are taken away a moment after its receipt is there."""
    for _ in range(50):
        found = workflow.s3.list_objects_v2(Bucket=workflow.bucket, Prefix="scored/").get("Contents", [])
        if not any(run.name in entry["Key"] for entry in found):
            return True
        time.sleep(0.1)
    return False


def test_nobody_is_told_of_results_before_they_are_whole(undisturbed, story):
    run, keys = undisturbed.name, [call["names"].get("Key", "") for call in undisturbed.writes]
    results = [
        number for number, key in enumerate(keys) if re.match(rf"(runs/{run}/results|scored|judged|ground-truth)/", key)
    ]
    told = [number for number, call in enumerate(undisturbed.writes) if call["operation"] == "Publish"]
    comparison = f"runs/{run}/results/comparison.json"  # the gate's, for operators
    assert max(number for number in results if keys[number] != comparison) < min(told)
    if story.machine == "machine":
        assert max(results) < keys.index("models/current.json")
    assert keys[-1] == f"runs/{run}/receipt.json"


def test_a_run_that_goes_on_after_it_was_reported_as_failed_tells_nobody(workflow, stories):
    """As a redrive of an aborted run does, or a late answer of a function: here the report comes first of all."""
    story, name = stories["score"], f"late-{time.time_ns()}"
    done = workflow.wait(give(workflow, story))
    reported = workflow.json(done, "receipt.json") | {"run": name, "status": "ABORTED"}
    key = f"runs/{name}/receipt.json"
    workflow.s3.put_object(Bucket=workflow.bucket, Key=key, Body=json.dumps(reported).encode())
    detail = json.loads(workflow.sfn.describe_execution(executionArn=done.arn)["input"])
    detail["object"]["version-id"] = workflow.upload(story.body, story.key)
    started = workflow.sfn.start_execution(stateMachineArn=workflow.score_machine, name=name, input=json.dumps(detail))
    run = workflow.wait(started["executionArn"])
    assert (run.status, run.error) == ("FAILED", "RunEndedError")
    assert workflow.json(run, "receipt.json") == reported
    assert workflow.mails(run, "reviewers") == []
    assert nothing_captured_by(workflow, run)


@pytest.mark.parametrize("place", [0, -1], ids=["at the first write", "at the last write"])
def test_a_report_that_dies_is_made_again(workflow, stories, nothing_left, place):
    story = stories["train"]
    begin(workflow, story)
    workflow.fault("TrainingJob", "x", 1, "the disk is full")
    workflow.calls.take()
    run = workflow.wait(give(workflow, story))
    writes = [call for call in writes_of(workflow.calls.take()) if "ReportFailure" in call["caller"]]
    workflow.fault("TrainingJob", "x", 1, "the disk is full")
    workflow.calls.order(death_at(writes[place], run.name))
    again = workflow.wait(give(workflow, story))
    assert workflow.calls.met() == 1
    assert (again.status, again.error) == ("FAILED", "TrainingFailedError")
    assert workflow.json(again, "receipt.json")["status"] == "FAILED"
    nothing_left(again)
    assert len(workflow.mails(again, "operators")) == 1
