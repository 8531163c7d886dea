"""Feature groups and their offline store: what is written, where, and what the Glue Data Catalog says of it."""

import io
import re
import uuid
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

from local.sagemaker import EngineServer

from .clients import BUCKET, REGION, ROLE, SageMaker, client, wait_for

FEATURES = {"id": "String", "at": "String", "rarity": "Fractional", "place": "Integral"}
AT = "2026-11-23T10:59:59Z"


@pytest.fixture(scope="module")
def glue(s3_url: str) -> Any:
    return client("glue", s3_url)


@pytest.fixture(scope="module")
def runtime(engine: EngineServer) -> Any:
    return client("sagemaker-featurestore-runtime", engine.url)


def request(**changes: Any) -> dict[str, Any]:
    """CreateFeatureGroup's, of a group with a name of its own; None removes a member."""
    given = {
        "FeatureGroupName": f"g-{uuid.uuid4().hex[:8]}",
        "RecordIdentifierFeatureName": "id",
        "EventTimeFeatureName": "at",
        "FeatureDefinitions": [{"FeatureName": name, "FeatureType": kind} for name, kind in FEATURES.items()],
        "OfflineStoreConfig": {"S3StorageConfig": {"S3Uri": f"s3://{BUCKET}/features/"}},
        "RoleArn": ROLE,
    } | changes
    return {name: value for name, value in given.items() if value is not None}


@pytest.fixture
def group(sagemaker: SageMaker) -> str:
    given = request()
    sagemaker.control.create_feature_group(**given)
    return given["FeatureGroupName"]


def record(**values: Any) -> list[dict[str, str]]:
    given = {"id": "a", "at": AT, "rarity": 0.25, "place": 3} | values
    return [{"FeatureName": name, "ValueAsString": str(value)} for name, value in given.items() if value is not None]


def place(sagemaker: SageMaker, group: str) -> str:
    """The prefix of a group's files."""
    told = sagemaker.control.describe_feature_group(FeatureGroupName=group)
    return told["OfflineStoreConfig"]["S3StorageConfig"]["ResolvedOutputS3Uri"].removeprefix(f"s3://{BUCKET}/")


def written(sagemaker: SageMaker, group: str, count: int) -> dict[str, pa.Table]:
    """The files of the offline store, once they hold so many records."""
    prefix = place(sagemaker, group)

    def read() -> dict[str, pa.Table] | None:
        found = sagemaker.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/").get("Contents", [])
        bodies = {each["Key"]: sagemaker.s3.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read() for each in found}
        tables = {key.removeprefix(f"{prefix}/"): pq.read_table(io.BytesIO(body)) for key, body in bodies.items()}
        return tables if sum(map(len, tables.values())) >= count else None

    return wait_for(read)


def refused(call: Any, words: str, code: str = "ValidationException", **asked: Any) -> None:
    with pytest.raises(ClientError) as error:
        call(**asked)
    assert error.value.response["Error"]["Code"] == code
    assert words in error.value.response["Error"]["Message"]


def test_records_become_parquet_by_hour_of_their_event(sagemaker: SageMaker, runtime: Any, group: str) -> None:
    runtime.put_record(FeatureGroupName=group, Record=record())
    runtime.put_record(FeatureGroupName=group, Record=record(id="b", at="2026-11-23T11:00:00.500Z", rarity=None))
    files = written(sagemaker, group, 2)
    hours = [key.rpartition("/")[0] for key in sorted(files)]
    assert hours == [f"year=2026/month=11/day=23/hour={hour}" for hour in (10, 11)]
    first, second = (files[key] for key in sorted(files))
    assert re.fullmatch(r"20261123T105959Z_\w{16}\.parquet", min(files).rpartition("/")[2])
    types = {field.name: str(field.type) for field in first.schema}
    assert types == {
        "id": "string", "at": "string", "rarity": "double", "place": "int64",
        "write_time": "timestamp[ms]", "api_invocation_time": "timestamp[ms]", "is_deleted": "bool",
    }  # fmt: skip
    (row,) = first.to_pylist()
    assert (row["id"], row["at"], row["rarity"], row["place"], row["is_deleted"]) == ("a", AT, 0.25, 3, False)
    assert row["api_invocation_time"] <= row["write_time"]
    assert second.to_pylist()[0]["rarity"] is None
    assert re.fullmatch(
        rf"features/0{{12}}/sagemaker/{REGION}/offline-store/{group}-\d{{10}}/data", place(sagemaker, group)
    )


def test_a_batch_is_written_but_for_what_is_refused(sagemaker: SageMaker, runtime: Any, group: str) -> None:
    values = [record(id=str(number)) for number in range(3)] + [record(rarity="much"), record(id=None)]
    entries = [{"FeatureGroupName": group, "Record": each} for each in values]
    answer = runtime.batch_write_record(Entries=entries)
    assert answer["UnprocessedEntries"] == []
    assert [(each["Entry"], each["ErrorCode"]) for each in answer["Errors"]] == [
        (entry, "ValidationError") for entry in entries[3:]
    ]
    (table,) = written(sagemaker, group, 3).values()
    assert sorted(table["id"].to_pylist()) == ["0", "1", "2"]


def test_a_busy_store_leaves_records_unprocessed(sagemaker: SageMaker, runtime: Any, group: str) -> None:
    entries = [{"FeatureGroupName": group, "Record": record(id=str(number))} for number in range(3)]
    sagemaker.own_path("POST", "/_faults", {"target": "Record", "times": 2})
    sagemaker.own_path("POST", "/_faults", {"target": "BatchWriteRecord", "error": "ThrottlingException"})
    refused(runtime.batch_write_record, "", "ThrottlingException", Entries=entries)
    answer = runtime.batch_write_record(Entries=entries)
    assert (answer["UnprocessedEntries"], answer["Errors"]) == (entries[:2], [])
    sagemaker.own_path("POST", "/_faults", {"target": "Record", "error": "AccessForbidden"})
    assert runtime.batch_write_record(Entries=entries)["Errors"][0]["ErrorCode"] == "AccessForbidden"


def test_a_deleted_record_is_marked_and_nothing_is_taken_away(sagemaker: SageMaker, runtime: Any, group: str) -> None:
    runtime.put_record(FeatureGroupName=group, Record=record())
    later = "2026-11-23T10:59:59.500Z"
    runtime.delete_record(FeatureGroupName=group, RecordIdentifierValueAsString="a", EventTime=later)
    (table,) = written(sagemaker, group, 2).values()
    rows = sorted(table.to_pylist(), key=lambda row: row["is_deleted"])
    assert [(row["id"], row["at"], row["rarity"], row["is_deleted"]) for row in rows] == [
        ("a", AT, 0.25, False),
        ("a", later, None, True),
    ]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"place": "3.5"}, "place is not a valid Integral"),
        ({"rarity": "much"}, "rarity is not a valid Fractional"),
        ({"at": None}, "Missing feature value for EventTimeFeatureName: at"),
        ({"at": "2026-11-23 10:00:00"}, "is not of the format"),
        ({"at": "2026-13-23T10:00:00Z"}, "is no time"),
        ({"fee": 1}, "FeatureNames [fee] are not supported"),
    ],
)
def test_a_record_that_does_not_fit_the_group_is_refused(
    runtime: Any, group: str, values: dict[str, Any], words: str
) -> None:
    refused(runtime.put_record, words, "ValidationError", FeatureGroupName=group, Record=record(**values))


def test_what_the_runtime_does_not_know_is_refused(runtime: Any, group: str) -> None:
    put = {"FeatureGroupName": group, "Record": record()}
    refused(runtime.put_record, "can't find", "ResourceNotFound", FeatureGroupName="none", Record=record())
    refused(runtime.batch_write_record, "can't find", "ResourceNotFound", Entries=[put | {"FeatureGroupName": "none"}])
    refused(runtime.put_record, "no online store", "ValidationError", **put, TargetStores=["OnlineStore"])
    refused(runtime.put_record, "Duplicate", "ValidationError", FeatureGroupName=group, Record=record() + record())
    refused(runtime.batch_write_record, "less than or equal to 25", "ValidationError", Entries=[put] * 26)


def test_a_group_has_a_table_where_it_was_asked_for(sagemaker: SageMaker, glue: Any) -> None:
    glue.create_database(DatabaseInput={"Name": "ours"})
    catalog = {"Catalog": "AwsDataCatalog", "Database": "ours", "TableName": "lines"}
    offline = request()["OfflineStoreConfig"]
    given = request(OfflineStoreConfig=offline | {"DataCatalogConfig": catalog}, Tags=[{"Key": "k", "Value": "v"}])
    arn = sagemaker.control.create_feature_group(**given)["FeatureGroupArn"]
    assert arn == f"arn:aws:sagemaker:{REGION}:000000000000:feature-group/{given['FeatureGroupName']}"
    assert sagemaker.control.list_tags(ResourceArn=arn)["Tags"] == given["Tags"]
    table = glue.get_table(DatabaseName="ours", Name="lines")["Table"]
    stored = table["StorageDescriptor"]
    assert stored["Location"] == f"s3://{BUCKET}/{place(sagemaker, given['FeatureGroupName'])}"
    assert {column["Name"]: column["Type"] for column in stored["Columns"]} == {
        "id": "string", "at": "string", "rarity": "double", "place": "bigint",
        "write_time": "timestamp", "api_invocation_time": "timestamp", "is_deleted": "boolean",
    }  # fmt: skip
    assert [key["Name"] for key in table["PartitionKeys"]] == ["year", "month", "day", "hour"]
    again = request(OfflineStoreConfig=offline | {"DataCatalogConfig": catalog | {"Database": "nobodys"}})
    refused(sagemaker.control.create_feature_group, "Cannot create the Glue table", **again)
    assert again["FeatureGroupName"] not in names(sagemaker)


def names(sagemaker: SageMaker) -> list[str]:
    pages = sagemaker.control.get_paginator("list_feature_groups").paginate(PaginationConfig={"PageSize": 2})
    return [each["FeatureGroupName"] for page in pages for each in page["FeatureGroupSummaries"]]


def test_without_a_wish_the_table_is_the_services_own_or_none(sagemaker: SageMaker, glue: Any, group: str) -> None:
    told = sagemaker.control.describe_feature_group(FeatureGroupName=group)["OfflineStoreConfig"]["DataCatalogConfig"]
    assert told["Database"] == "sagemaker_featurestore"
    assert told["TableName"].startswith(group.replace("-", "_"))
    assert glue.get_table(DatabaseName=told["Database"], Name=told["TableName"])
    offline = request()["OfflineStoreConfig"] | {"DisableGlueTableCreation": True}
    given = request(OfflineStoreConfig=offline)
    sagemaker.control.create_feature_group(**given)
    described = sagemaker.control.describe_feature_group(FeatureGroupName=given["FeatureGroupName"])
    assert "DataCatalogConfig" not in described["OfflineStoreConfig"]


def test_groups_are_described_listed_and_made_once(sagemaker: SageMaker, group: str) -> None:
    told = sagemaker.control.describe_feature_group(FeatureGroupName=group)
    assert (told["FeatureGroupStatus"], told["OfflineStoreStatus"]) == ("Created", {"Status": "Active"})
    assert {each["FeatureName"]: each["FeatureType"] for each in told["FeatureDefinitions"]} == FEATURES
    refused(
        sagemaker.control.create_feature_group, "already exists", "ResourceInUse", **request(FeatureGroupName=group)
    )
    assert group in names(sagemaker)
    blocked = sagemaker.control.list_feature_groups(OfflineStoreStatusEquals="Blocked")["FeatureGroupSummaries"]
    assert group not in [each["FeatureGroupName"] for each in blocked]


def test_a_deleted_group_leaves_its_data(sagemaker: SageMaker, runtime: Any, group: str) -> None:
    runtime.put_record(FeatureGroupName=group, Record=record())
    (key,) = written(sagemaker, group, 1)
    prefix = place(sagemaker, group)
    sagemaker.control.delete_feature_group(FeatureGroupName=group)
    refused(sagemaker.control.describe_feature_group, "can't find", "ResourceNotFound", FeatureGroupName=group)
    assert sagemaker.s3.head_object(Bucket=BUCKET, Key=f"{prefix}/{key}")


def test_a_store_that_cannot_be_written_is_blocked(sagemaker: SageMaker, runtime: Any) -> None:
    given = request(OfflineStoreConfig={"S3StorageConfig": {"S3Uri": "s3://nobodys-bucket/features"}})
    sagemaker.control.create_feature_group(**given)
    name = given["FeatureGroupName"]
    runtime.put_record(FeatureGroupName=name, Record=record())

    def status() -> dict[str, str] | None:
        told = sagemaker.control.describe_feature_group(FeatureGroupName=name)["OfflineStoreStatus"]
        return told if told["Status"] == "Blocked" else None

    assert "NoSuchBucket" in wait_for(status)["BlockedReason"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"RecordIdentifierFeatureName": "x"}, "RecordIdentifierFeatureName x is not one"),
        ({"EventTimeFeatureName": "place"}, "must be String or Fractional"),
        ({"RoleArn": None}, "RoleArn is required"),
        ({"OfflineStoreConfig": None}, "At least one of"),
        ({"OnlineStoreConfig": {"EnableOnlineStore": True}}, "no online store"),
        ({"FeatureGroupName": "_"}, "regular expression pattern"),
    ],
)
def test_a_group_that_makes_no_sense_is_refused(sagemaker: SageMaker, changes: dict[str, Any], words: str) -> None:
    refused(sagemaker.control.create_feature_group, words, **request(**changes))


@pytest.mark.parametrize(("name", "words"), [("write_time", "reserved"), ("ID", "duplicate")])
def test_names_of_features_are_the_groups_own(sagemaker: SageMaker, name: str, words: str) -> None:
    given = request()
    given["FeatureDefinitions"].append({"FeatureName": name, "FeatureType": "String"})
    refused(sagemaker.control.create_feature_group, words, **given)
