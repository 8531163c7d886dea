"""What is kept for how long: everything that people's data ends in has a rule, but for what models and labels need."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from suspicious_lines.layout import captured_key, ground_truth_key, judged_key, monitoring_key, told_key

DAY, AT = date(2026, 11, 23), datetime(2026, 11, 23, tzinfo=UTC)
# Parameter -> the prefixes whose objects it lets expire.
UPLOADS = {"incoming/", "invoices/", "verdicts/", "rewritten/"}
EXPIRING = {
    "UploadRetentionDays": UPLOADS,
    "ScoredRetentionDays": {f"{key.split('/')[0]}/" for key in (captured_key(DAY, "run"), monitoring_key(DAY, "x"))}
    | {"features/"},
    "JudgedRetentionDays": {f"{key.split('/')[0]}/" for key in (judged_key(DAY, "run"), ground_truth_key(AT, "run"))},
}


@pytest.fixture
def rules(template: dict[str, Any]) -> list[dict[str, Any]]:
    return template["Resources"]["DataBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]


def test_each_parameter_expires_its_prefixes_and_nothing_at_zero(
    template: dict[str, Any], rules: list[dict[str, Any]]
) -> None:
    for parameter, prefixes in EXPIRING.items():
        own = [
            (rule["Fn::If"][0], rule["Fn::If"][1], rule["Fn::If"][2])
            for rule in rules
            if "Fn::If" in rule and rule["Fn::If"][1]["ExpirationInDays"] == {"Ref": parameter}
        ]
        assert {rule["Prefix"] for _, rule, _ in own} == prefixes, parameter
        for condition, rule, otherwise in own:
            assert rule["Status"] == "Enabled", parameter
            assert otherwise == {"Ref": "AWS::NoValue"}, parameter
            zero = {"Fn::Not": [{"Fn::Equals": [{"Ref": parameter}, 0]}]}
            assert template["Conditions"][condition] == zero, parameter


def test_labels_are_kept_unless_somebody_says_otherwise(template: dict[str, Any]) -> None:
    assert template["Parameters"]["JudgedRetentionDays"]["Default"] == 0


def test_no_rule_reaches_what_models_and_runs_need(rules: list[dict[str, Any]]) -> None:
    written = [rule["Fn::If"][1] if "Fn::If" in rule else rule for rule in rules]
    expiring = {rule.get("Prefix") for rule in written if "ExpirationInDays" in rule}
    short_lived = {"athena/", "code/", f"{told_key('run', 'results').split('/')[0]}/"}
    assert expiring == set().union(*EXPIRING.values()) | short_lived
    assert len({rule["Id"] for rule in written}) == len(written)


def test_superseded_versions_marks_and_halves_of_uploads_go_in_the_whole_bucket(rules: list[dict[str, Any]]) -> None:
    (rule,) = [rule for rule in rules if "NoncurrentVersionExpiration" in rule]
    assert "Prefix" not in rule
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": {"Ref": "RetentionDays"}}
    assert rule["ExpiredObjectDeleteMarker"] is True
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
