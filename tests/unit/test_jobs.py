"""Jobs of runs: which of SageMaker's are a stack's, whose they are, and when they are stopped."""

from datetime import UTC, datetime
from types import SimpleNamespace

import boto3
import pytest
from botocore.stub import Stubber

from suspicious_lines import jobs
from suspicious_lines.layout import resource_name, run_tags

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ARN = "arn:aws:sagemaker:us-east-1:000000000000:"


@pytest.fixture
def sagemaker(monkeypatch):
    real = boto3.client("sagemaker", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    monkeypatch.setattr(jobs, "client", lambda service: real)
    with Stubber(real) as stub:
        yield stub
        stub.assert_no_pending_responses()


@pytest.mark.parametrize("kind", [jobs.TRAINING, jobs.PROCESSING, jobs.TRANSFORM])
@pytest.mark.parametrize("status", ["InProgress", "Stopping", "Failed"])
def test_a_job_that_is_at_work_is_stopped(monkeypatch, kind, status):
    asked = []
    given = {f"describe_{kind.operation}": lambda **name: {f"{kind.resource}Status": status}}
    given[f"stop_{kind.operation}"] = lambda **name: asked.append(name)
    monkeypatch.setattr(jobs, "client", lambda service: SimpleNamespace(**given))
    at_work = status == "InProgress"
    assert jobs.stop(kind, "the-job") == [kind.title] * at_work
    assert asked == [{f"{kind.resource}Name": "the-job"}] * at_work


def test_a_stacks_jobs_are_told_from_others(sagemaker):
    ours, young, others = resource_name("stack", "a"), resource_name("stack", "b"), resource_name("stack-two", "a")
    expected = {"NameContains": "stack-", "StatusEquals": "InProgress", "MaxResults": 100}
    for kind in ("Training", "Processing", "Transform"):
        made = [
            {
                f"{kind}JobName": name,
                f"{kind}JobArn": f"{ARN}{kind.lower()}-job/{name}",
                "CreationTime": at,
                f"{kind}JobStatus": "InProgress",
            }
            for name, at in [(ours, NOW), (young, NOW.replace(day=2)), (others, NOW)]
        ]
        pages = [{f"{kind}JobSummaries": made[:1], "NextToken": "more"}, {f"{kind}JobSummaries": made[1:]}]
        sagemaker.add_response(f"list_{kind.lower()}_jobs", pages[0], expected)
        sagemaker.add_response(f"list_{kind.lower()}_jobs", pages[1], expected | {"NextToken": "more"})
    found = jobs.in_progress("stack", NOW)
    assert [(job.kind, job.name) for job in found] == [
        (kind, ours) for kind in (jobs.TRAINING, jobs.PROCESSING, jobs.TRANSFORM)
    ]
    assert found[1].arn == f"{ARN}processing-job/{ours}"


@pytest.mark.parametrize(("tags", "run"), [(run_tags("the-run"), "the-run"), ([], None)])
def test_whose_a_job_is_says_its_tag(sagemaker, tags, run):
    job = jobs.Job(jobs.TRANSFORM, "name", f"{ARN}transform-job/name")
    sagemaker.add_response("list_tags", {"Tags": [{"Key": "team", "Value": "x"}, *tags]}, {"ResourceArn": job.arn})
    assert jobs.run_of(job) == run
