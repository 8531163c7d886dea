"""Feature groups with an offline store, and the table of each in the Glue Data Catalog."""

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import Any

from local.sagemaker.errors import ApiError, invalid
from local.sagemaker.listing import page

RESERVED = {"is_deleted", "write_time", "api_invocation_time"}
# What a feature type is in Glue. Those that the store adds are as its documentation has them.
# https://docs.aws.amazon.com/sagemaker/latest/dg/feature-store-offline.html
HIVE_TYPES = {"String": "string", "Integral": "bigint", "Fractional": "double"}
ADDED = {"write_time": "timestamp", "api_invocation_time": "timestamp", "is_deleted": "boolean"}
PARTITIONS = ("year", "month", "day", "hour")
CATALOG, DATABASE = "AwsDataCatalog", "sagemaker_featurestore"
_HIVE = "org.apache.hadoop.hive.ql.io.parquet"


@dataclass
class FeatureGroup:
    """CreateFeatureGroup's request and what was made of it; `blocked`: why its offline store takes nothing more."""

    request: dict[str, Any]
    arn: str
    created: float
    uri: str
    catalog: dict[str, str] | None
    blocked: str = ""

    @property
    def name(self) -> str:
        return self.request["FeatureGroupName"]

    @property
    def types(self) -> dict[str, str]:
        """Feature -> String, Integral or Fractional."""
        return {each["FeatureName"]: each["FeatureType"] for each in self.request["FeatureDefinitions"]}

    def summary(self) -> dict[str, Any]:
        status = {"Status": "Blocked", "BlockedReason": self.blocked} if self.blocked else {"Status": "Active"}
        return {
            "FeatureGroupName": self.name,
            "FeatureGroupArn": self.arn,
            "CreationTime": self.created,
            "FeatureGroupStatus": "Created",
            "OfflineStoreStatus": status,
        }

    def description(self) -> dict[str, Any]:
        told = {name: value for name, value in self.request.items() if name not in ("Tags", "OfflineStoreConfig")}
        given = self.request["OfflineStoreConfig"]
        offline = {"DisableGlueTableCreation": False, "TableFormat": "Glue"} | given
        offline["S3StorageConfig"] = given["S3StorageConfig"] | {"ResolvedOutputS3Uri": self.uri}
        if self.catalog:
            offline["DataCatalogConfig"] = self.catalog
        return told | self.summary() | {"OfflineStoreConfig": offline, "NextToken": ""}


class FeatureGroups:
    """The operations on feature groups. Each is there at once; its data and its table outlive it, as on AWS."""

    def __init__(self, glue: Any, region: str, account: str) -> None:
        self._glue, self._region, self._account = glue, region, account
        self._groups: dict[str, FeatureGroup] = {}
        self._lock = threading.Lock()

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        _check(request)
        name, created = request["FeatureGroupName"], round(time.time(), 3)
        arn = f"arn:aws:sagemaker:{self._region}:{self._account}:feature-group/{name.lower()}"
        root = request["OfflineStoreConfig"]["S3StorageConfig"]["S3Uri"].rstrip("/")
        place = f"{root}/{self._account}/sagemaker/{self._region}/offline-store/{name}-{int(created)}/data"
        with self._lock:
            if name in self._groups:
                raise ApiError(
                    "ResourceInUse", f"Resource Already Exists: FeatureGroup with name {name} already exists."
                )
            group = FeatureGroup(request, arn, created, place, _catalog(request, int(created)))
            if group.catalog and not request["OfflineStoreConfig"].get("DisableGlueTableCreation"):
                self._make_table(group)
            self._groups[name] = group
        return {"FeatureGroupArn": arn}

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.find(request["FeatureGroupName"]).description()

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        name = self.find(request["FeatureGroupName"]).name
        with self._lock:
            self._groups.pop(name, None)
        return {}

    def list_page(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            summaries = [group.summary() for group in self._groups.values()]
        asked = request.get("OfflineStoreStatusEquals")
        wanted = [one for one in summaries if asked in (None, one["OfflineStoreStatus"]["Status"])]
        status = request | {"StatusEquals": request.get("FeatureGroupStatusEquals")}
        return page(wanted, status, "FeatureGroup", "FeatureGroupSummaries", "Ascending")

    def find(self, name_or_arn: str) -> FeatureGroup:
        """Raises ApiError: ResourceNotFound."""
        with self._lock:
            for group in self._groups.values():
                if name_or_arn in (group.name, group.arn):
                    return group
        raise ApiError(
            "ResourceNotFound",
            f"Resource Not Found: Amazon SageMaker can't find a FeatureGroup with name {name_or_arn}",
        )

    def _make_table(self, group: FeatureGroup) -> None:
        """A table over the store's files; the database too, where it is the service's own."""
        assert group.catalog is not None
        database = group.catalog["Database"]
        try:
            if database == DATABASE:
                self._make_database()
            self._glue.create_table(DatabaseName=database, TableInput=_table(group))
        except self._glue.exceptions.ClientError as error:
            raise invalid(f"Cannot create the Glue table of {group.name}: {error}") from None

    def _make_database(self) -> None:
        with contextlib.suppress(self._glue.exceptions.AlreadyExistsException):
            self._glue.create_database(DatabaseInput={"Name": DATABASE})


def _check(request: dict[str, Any]) -> None:
    names = [each["FeatureName"] for each in request["FeatureDefinitions"]]
    for feature in ("RecordIdentifierFeatureName", "EventTimeFeatureName"):
        if request[feature] not in names:
            raise invalid(f"{feature} {request[feature]} is not one of the FeatureDefinitions.")
    if taken := sorted(RESERVED & {name.lower() for name in names}):
        raise invalid(f"Feature names are reserved: {', '.join(taken)}")
    if len({name.lower() for name in names}) < len(names):
        raise invalid("FeatureDefinitions contain duplicate feature names.")
    types = {each["FeatureName"]: each["FeatureType"] for each in request["FeatureDefinitions"]}
    if types[request["EventTimeFeatureName"]] not in ("String", "Fractional"):
        raise invalid("The feature type of EventTimeFeatureName must be String or Fractional.")
    if (request.get("OnlineStoreConfig") or {}).get("EnableOnlineStore"):
        raise invalid("The local engine has no online store.")
    offline = request.get("OfflineStoreConfig")
    if not offline:
        raise invalid("At least one of OnlineStoreConfig and OfflineStoreConfig must be provided.")
    if not request.get("RoleArn"):
        raise invalid("RoleArn is required when OfflineStoreConfig is provided.")
    if offline.get("TableFormat", "Glue") not in ("Glue", "Default"):
        raise invalid("The local engine writes tables of the format Glue only.")
    if any("CollectionType" in each for each in request["FeatureDefinitions"]):
        raise invalid("The local engine has no collections of features.")


def _catalog(request: dict[str, Any], created: int) -> dict[str, str] | None:
    """Where the table is that the group is associated with; None where it has none."""
    given = request["OfflineStoreConfig"]
    if "DataCatalogConfig" in given or given.get("DisableGlueTableCreation"):
        return given.get("DataCatalogConfig")
    name = f"{request['FeatureGroupName'].lower().replace('-', '_')}_{created}"
    return {"Catalog": CATALOG, "Database": DATABASE, "TableName": name}


def _table(group: FeatureGroup) -> dict[str, Any]:
    assert group.catalog is not None
    columns = {name: HIVE_TYPES[kind] for name, kind in group.types.items()} | ADDED
    return {
        "Name": group.catalog["TableName"],
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"classification": "parquet"},
        "PartitionKeys": [{"Name": name, "Type": "string"} for name in PARTITIONS],
        "StorageDescriptor": {
            "Location": group.uri,
            "Columns": [{"Name": name, "Type": kind} for name, kind in columns.items()],
            "InputFormat": f"{_HIVE}.MapredParquetInputFormat",
            "OutputFormat": f"{_HIVE}.MapredParquetOutputFormat",
            "SerdeInfo": {"SerializationLibrary": f"{_HIVE}.serde.ParquetHiveSerDe"},
        },
    }
