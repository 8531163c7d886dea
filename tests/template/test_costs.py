"""What bounds the bill: time limits on training, a budget and concurrency where they are asked for."""

import json
from pathlib import Path
from typing import Any

from flatten import children

Template = dict[str, Any]


def test_the_budget_is_made_only_where_it_is_wanted_and_tells_the_operators(template: Template, root: Path) -> None:
    ((name, budget),) = [i for i in template["Resources"].items() if i[1]["Type"] == "AWS::Budgets::Budget"]
    assert template["Parameters"]["MonthlyBudgetDollars"]["Default"] == 0
    zero = {"Fn::Not": [{"Fn::Equals": [{"Ref": "MonthlyBudgetDollars"}, "0"]}]}
    assert template["Conditions"][budget["Condition"]] == zero
    # Budgets tries the topic when it is created: the topic's stack is complete, with its policy, by then.
    (given,) = [given for _, child, given in children(root / "template.yaml").values() if name in child["Resources"]]
    assert given["OperatorsTopic"] == {"Fn::GetAtt": ["People", "Outputs.OperatorsTopic"]}
    assert {"OperatorsTopic", "OperatorsTopicPolicy"} <= set(children(root / "template.yaml")["People"][1]["Resources"])
    assert budget["Properties"]["Budget"]["BudgetLimit"]["Amount"] == {"Ref": "MonthlyBudgetDollars"}
    for told in budget["Properties"]["NotificationsWithSubscribers"]:
        assert told["Subscribers"] == [{"SubscriptionType": "SNS", "Address": {"Ref": "OperatorsTopic"}}]
        assert told["Notification"]["Threshold"] <= 100


def test_functions_that_read_whole_files_can_be_limited_and_no_others(
    template: Template, functions: dict[str, dict[str, Any]]
) -> None:
    limited = {name for name, f in functions.items() if "ReservedConcurrentExecutions" in f}
    assert limited == {name for name, f in functions.items() if "DataLayer" in json.dumps(f.get("Layers", []))}
    assert limited
    assert "each function with the data layer" in template["Parameters"]["DataFunctionConcurrency"]["Description"]
    for name in limited:
        condition, value, otherwise = functions[name]["ReservedConcurrentExecutions"]["Fn::If"]
        assert value == {"Ref": "DataFunctionConcurrency"}, name
        assert otherwise == {"Ref": "AWS::NoValue"}, name
        (unlimited,) = template["Conditions"][condition]["Fn::Not"]
        assert {str(side) for side in unlimited["Fn::Equals"]} == {str({"Ref": "DataFunctionConcurrency"}), "0"}, name
    assert template["Parameters"]["DataFunctionConcurrency"]["Default"] == 0


def test_jobs_are_stopped_within_hours(template: Template) -> None:
    for name in ("TrainingMaxRuntimeSeconds", "BatchMaxRuntimeSeconds"):
        limit = template["Parameters"][name]
        assert limit["Default"] <= 3600, name
        assert limit["MaxValue"] <= 3 * 3600, name
