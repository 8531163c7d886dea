"""Alarms and dashboard: they look at metrics that exist, reach people, and say what docs/runbook.md says."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from suspicious_lines.layout import VARIANT

MACHINE_METRICS = {"ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted", "ExecutionTime"}
# Of optional stacks: their alarms are there where they are.
OPTIONAL = {"HasOptions"}
# Whoever starts one of these waits for its end and sees how it ended.
STARTED_BY_HAND = {"RollbackStateMachine", "TrialStateMachine", "SweepStateMachine"}

Template = dict[str, Any]
Metric = dict[str, Any]


def of_type(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    """Logical id -> properties."""
    found = {name: r["Properties"] for name, r in template["Resources"].items() if r["Type"] == kind}
    assert found, f"the stack has no {kind}"
    return found


def alarms(template: Template) -> dict[str, dict[str, Any]]:
    return of_type(template, "AWS::CloudWatch::Alarm")


def metrics(alarm: dict[str, Any]) -> list[Metric]:
    """The metrics that an alarm reads by name, each with Namespace, MetricName and Dimensions."""
    if "MetricName" in alarm:
        return [alarm]
    return [query["MetricStat"]["Metric"] for query in alarm["Metrics"] if "MetricStat" in query]


def dimensions(metric: Metric) -> dict[str, Any]:
    return {dimension["Name"]: dimension["Value"] for dimension in metric["Dimensions"]}


def optional(template: Template, name: str) -> bool:
    return template["Resources"][name].get("Condition") in OPTIONAL


def watched(template: Template, machine: str) -> set[str]:
    """Names of the metrics of a state machine that some alarm reads."""
    return {
        metric["MetricName"]
        for alarm in alarms(template).values()
        for metric in metrics(alarm)
        if dimensions(metric).get("StateMachineArn") == {"Ref": machine}
    }


def counted(root: Path, folders: set[Path] | None = None) -> set[str]:
    """Names that the functions write by suspicious_lines.observability; `folders`: of some functions only."""
    calls = (
        node
        for path in root.glob("functions/*/app.py")
        if folders is None or path.parent in folders
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"count", "gauge"}
    )
    return {str(keyword.arg) for call in calls for keyword in call.keywords}


@pytest.fixture
def widgets(template: Template) -> list[dict[str, Any]]:
    (dashboard,) = of_type(template, "AWS::CloudWatch::Dashboard").values()
    text, own = dashboard["DashboardBody"]["Fn::Sub"]
    for name, value in own.items():
        text = text.replace(f"${{{name}}}", joined(value))
    return [widget["properties"] for widget in json.loads(text)["widgets"]]


def joined(value: Any) -> Any:
    """What Join and Split make of references, each written as in a Sub."""
    if isinstance(value, str):
        return value
    if "Ref" in value:
        return f"${{{value['Ref']}}}"
    if "Fn::If" in value:  # of an option that is on
        return joined(value["Fn::If"][1])
    ((function, (separator, what)),) = value.items()
    if function == "Fn::Split":
        return joined(what).split(separator)
    assert function == "Fn::Join"
    return separator.join(map(joined, what) if isinstance(what, list) else joined(what))


def series(widgets: list[dict[str, Any]]) -> Iterator[list[Any]]:
    """The metrics of the dashboard with `.` and `...` filled in as CloudWatch does."""
    for widget in widgets:
        before: list[Any] = []
        for row in widget["metrics"]:
            names = [cell for cell in row if isinstance(cell, str)]
            if names and names[0] == "...":
                names = before[: -len(names[1:])] + names[1:]
            names = [before[i] if name == "." else name for i, name in enumerate(names)]
            before = names
            if names:
                yield names


def test_the_runbook_has_the_words_of_every_alarm(template: Template, root: Path) -> None:
    text = (root / "docs" / "runbook.md").read_text()
    sections = dict(re.findall(r"^### (\w+Alarm)\n\n((?:> .*\n)+)", text, re.MULTILINE))

    said = {name: " ".join(quote.replace("> ", "").split()) for name, quote in sections.items()}
    assert said == {name: alarm["AlarmDescription"] for name, alarm in alarms(template).items()}


def test_the_runbook_names_outputs_resources_and_parameters_that_exist(template: Template, root: Path) -> None:
    text = (root / "docs" / "runbook.md").read_text()

    assert set(re.findall(r"\$\(output (\w+)\)", text)) <= set(template["Outputs"])
    assert set(re.findall(r"\$\(resource (\w+)\)", text)) <= set(template["Resources"])
    anchors = {re.sub(r"\s", "-", title.lower()) for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= anchors


def test_alarms_say_in_a_few_sentences_what_to_do_and_name_parameters_that_exist(template: Template) -> None:
    names = set(template["Parameters"]) | {
        "ReportFailure", "ScoreLines", "ScoreParts", "SweepUploads", "DeleteOrphans",
    }  # fmt: skip
    for name, alarm in alarms(template).items():
        assert len(re.findall(r"[.](?:\s|$)", alarm["AlarmDescription"])) == 2, f"{name}: what happened, and what to do"
        assert set(re.findall(r"\b[A-Z][a-z]+(?:[A-Z][A-Za-z]+)+", alarm["AlarmDescription"])) <= names, name


def test_alarms_reach_the_operators_and_take_silence_for_good_news(template: Template) -> None:
    for name, alarm in alarms(template).items():
        assert alarm["AlarmActions"] == [{"Ref": "OperatorsTopic"}], name
        assert alarm["TreatMissingData"] == "notBreaching", name
        assert optional(template, name) or "Condition" not in template["Resources"][name], f"{name}: alarms are on"
        named = alarm.get("AlarmName", {"Fn::Sub": "${AWS::StackName}-"})["Fn::Sub"]
        assert named.startswith("${AWS::StackName}-"), f"{name}: the key's policy knows alarms by the stack's name"


def test_every_alarm_returns_one_series_within_the_limits_of_cloudwatch(template: Template) -> None:
    for name, alarm in alarms(template).items():
        queries = alarm.get("Metrics", [])
        assert len([query for query in queries if query.get("ReturnData", True)]) == min(1, len(queries)), name
        assert len([query for query in queries if "MetricStat" in query]) <= 10, name
        assert "SEARCH" not in json.dumps(queries), f"{name}: alarms take no SEARCH"
        assert len({query["MetricStat"]["Period"] for query in queries if "MetricStat" in query}) <= 1, name
        ids = {query["Id"] for query in queries if "MetricStat" in query}
        (expression,) = [json.dumps(query["Expression"]) for query in queries if "Expression" in query] or [""]
        assert all(re.search(rf"\b{metric}\b", expression) for metric in ids), f"{name}: reads a metric it does not use"


def test_every_state_machine_is_watched(template: Template) -> None:
    for machine in set(of_type(template, "AWS::Serverless::StateMachine")) - STARTED_BY_HAND:
        # Nobody waits for these: that they are slow is no news.
        seldom = {"MonitorStateMachine", "ApproveStateMachine", "ShadowStateMachine"}
        unwatched = {"ExecutionTime"} if machine in seldom else set()
        assert watched(template, machine) == MACHINE_METRICS - unwatched, machine


def test_a_slow_run_is_told_of_before_it_is_stopped(template: Template, root: Path) -> None:
    slow = {"SlowTrainingMinutes": "train", "SlowScoringMinutes": "score", "SlowReviewMinutes": "review"}
    for parameter, machine in slow.items():
        seconds = json.loads((root / "statemachine" / f"{machine}.asl.json").read_text())["TimeoutSeconds"]
        assert template["Parameters"][parameter]["MaxValue"] * 60 < seconds
        assert f"{seconds // 60} minutes" in template["Parameters"][parameter]["Description"]


def test_our_own_metrics_are_those_that_the_functions_write(
    template: Template, root: Path, widgets: list[dict[str, Any]]
) -> None:
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    namespace, service = variables["POWERTOOLS_METRICS_NAMESPACE"], variables["POWERTOOLS_SERVICE_NAME"]

    read = [metric for alarm in alarms(template).values() for metric in metrics(alarm)]
    own = [metric for metric in read if not metric["Namespace"].startswith("AWS/")]
    assert {metric["MetricName"] for metric in own} == {
        "LinesRead", "LinesRejected", "MeasuresDrifted", "LiveModelAgeDays", "EstimatedCost", "UploadsStuck",
    }  # fmt: skip
    for metric in own:
        assert (metric["Namespace"], dimensions(metric)) == (namespace, {"service": service})
    shown = [names for names in series(widgets) if names[0] == namespace]
    assert {names[1] for names in shown} == {"LinesRead", "LinesRejected", "LinesFlagged"}
    # Inside the dashboard's Fn::Sub a reference is written ${...}.
    assert service == {"Ref": "AWS::StackName"}
    assert all(names[2:] == ["service", "${AWS::StackName}"] for names in shown)
    assert {metric["MetricName"] for metric in own} | {names[1] for names in shown} <= counted(root)


def test_endpoints_are_found_by_the_name_that_their_variants_share(
    template: Template, widgets: list[dict[str, Any]]
) -> None:
    (query,) = [
        query["Expression"]
        for alarm in alarms(template).values()
        for query in alarm.get("Metrics", [])
        if "SELECT" in str(query.get("Expression"))
    ]
    assert query.endswith(f"WHERE VariantName = '{VARIANT}'")
    searches = [row[0]["expression"] for widget in widgets for row in widget["metrics"] if isinstance(row[0], dict)]
    (search,) = [text for text in searches if "AWS/SageMaker" in text]
    assert f'VariantName="{VARIANT}"' in search


def test_the_dashboard_is_made_only_where_it_is_wanted_and_shows_every_function(
    template: Template, functions: dict[str, Any], widgets: list[dict[str, Any]]
) -> None:
    assert template["Parameters"]["Dashboard"]["Default"] == "false"
    (dashboard,) = of_type(template, "AWS::CloudWatch::Dashboard")
    assert template["Resources"][dashboard]["Condition"] == "HasDashboard"
    shown = list(series(widgets))
    listed = {names[-1] for names in shown if names[0] == "AWS/Lambda"}
    # Those of large files and of options, which most accounts never call, are searched for by their names.
    searches = [row[0]["expression"] for widget in widgets for row in widget["metrics"] if isinstance(row[0], dict)]
    searched = {name for text in searches if "AWS/Lambda" in text for name in re.findall(r"\$\{\w+\}", text)}
    assert listed | searched == {f"${{{name}}}" for name in functions}
    machines = set(of_type(template, "AWS::Serverless::StateMachine")) - STARTED_BY_HAND
    machines = {f"${{{name}}}" for name in machines if not optional(template, name)}
    for metric in ("ExecutionsSucceeded", *MACHINE_METRICS):
        assert {names[-1] for names in shown if names[1] == metric} == machines, metric
    assert len(shown) <= 50, "a dashboard of more metrics is not in the free tier"


def test_the_stated_cost_is_that_of_the_metrics_read(template: Template, root: Path) -> None:
    read = sum(len(metrics(alarm)) for name, alarm in alarms(template).items() if not optional(template, name))

    assert f"reads: {read} and one for each endpoint" in (root / "stacks/watching.yaml").read_text()
    assert f"that they read: {read}," in (root / "docs" / "runbook.md").read_text()
    assert f"here read {read} and one for each endpoint" in (root / "docs" / "costs.md").read_text()
    assert f"ALARM_METRICS = {read} " in (root / "scripts" / "estimating.py").read_text()


def test_the_metrics_of_a_run_are_those_that_its_functions_write(root: Path) -> None:
    machines = "".join((root / "statemachine" / f"{name}.asl.json").read_text() for name in ("train", "score"))
    named = {path for path in root.glob("functions/*") if path.name.title().replace("_", "") + "Function" in machines}
    written = counted(root, named)
    assert f"RUN_METRICS = {len(written)} " in (root / "scripts" / "estimating.py").read_text(), written
