"""The tables of the data catalog are those that the functions write."""

from typing import Any

import pytest

from suspicious_lines.capturing import CAPTURED_COLUMNS
from suspicious_lines.judged import JUDGED_COLUMNS
from suspicious_lines.layout import CAPTURED_PREFIX, JUDGED_PREFIX

HIVE_TYPES = {"string": "string", "int64": "bigint", "float64": "double", "bool": "boolean", "boolean": "boolean"}
TABLES = {"scored_lines": (CAPTURED_PREFIX, CAPTURED_COLUMNS), "judged_lines": (JUDGED_PREFIX, JUDGED_COLUMNS)}


@pytest.fixture
def tables(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = [r["Properties"]["TableInput"] for r in template["Resources"].values() if r["Type"] == "AWS::Glue::Table"]
    return {table["Name"]: table for table in found}


def test_tables_have_the_columns_that_are_written(tables: dict[str, dict[str, Any]]) -> None:
    assert set(tables) == set(TABLES)
    for name, (_, columns) in TABLES.items():
        stored = tables[name]["StorageDescriptor"]
        assert {column["Name"]: column["Type"] for column in stored["Columns"]} == {
            column: HIVE_TYPES[kind] for column, kind in columns.items()
        }, name
        assert "parquet" in stored["SerdeInfo"]["SerializationLibrary"]


def test_days_are_worked_out_and_not_added(tables: dict[str, dict[str, Any]]) -> None:
    for name, (prefix, _) in TABLES.items():
        table = tables[name]
        assert [key["Name"] for key in table["PartitionKeys"]] == ["dt"]
        parameters = table["Parameters"]
        assert (parameters["projection.enabled"], parameters["projection.dt.type"]) == ("true", "date")
        location = f"s3://${{DataBucket}}/{prefix}"
        assert table["StorageDescriptor"]["Location"] == {"Fn::Sub": location}
        assert parameters["storage.location.template"] == {"Fn::Sub": f"{location}dt=${{!dt}}/"}


def test_answers_are_bounded_and_forgotten(template: dict[str, Any]) -> None:
    (group,) = [r["Properties"] for r in template["Resources"].values() if r["Type"] == "AWS::Athena::WorkGroup"]
    configuration = group["WorkGroupConfiguration"]
    assert configuration["EnforceWorkGroupConfiguration"] is True
    assert configuration["BytesScannedCutoffPerQuery"] <= 10**10
    rules = template["Resources"]["DataBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert [rule["ExpirationInDays"] for rule in rules if rule.get("Prefix") == "athena/"] == [7]
