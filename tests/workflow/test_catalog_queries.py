"""The named queries, run by Athena over what the workflows wrote; on the embedded AWS that is DuckDB."""

import csv
import io
from pathlib import Path

import awswrangler as wr
import boto3
import pandas as pd
import pyarrow.parquet as pq
import pytest
from samtranslator.yaml_helper import yaml_parse

from local.activities import generate

ROOT = Path(__file__).parents[2]
CATALOG = yaml_parse((ROOT / "stacks/catalog.yaml").read_text())["Resources"]
QUERIES = {
    resource["Properties"]["Name"]: resource["Properties"]["QueryString"]
    for resource in CATALOG.values()
    if resource["Type"] == "AWS::Athena::NamedQuery"
}
ARROW_TYPES = {"string": {"string", "large_string"}, "bigint": {"int64"}, "double": {"double"}, "boolean": {"bool"}}


@pytest.fixture(scope="module")
def written(_workflow):
    """The frames of both datasets, from a training, a scored file and verdicts on what it flagged."""
    workflow = _workflow
    workflow.forget_verdicts()
    for found in workflow.s3.list_objects_v2(Bucket=workflow.bucket, Prefix="scored/").get("Contents", []):
        workflow.s3.delete_object(Bucket=workflow.bucket, Key=found["Key"])
    workflow.drop(generate(lines=1_500).to_csv(index=False).encode())
    new = generate(seed=31, lines=1_200).drop(columns="Error")
    scored = workflow.drop(new.to_csv(index=False).encode(), "invoices/asked.csv")
    listed = list(csv.DictReader(io.StringIO(workflow.read(scored, "results/suspicious_lines.csv").decode())))
    assert len(listed) >= 4
    for verdict in ("fine", "query"):  # the second file takes the verdict on the first line back
        rows = [f"{scored.name},{row['Line']},{verdict}," for row in (listed if verdict == "fine" else listed[:1])]
        review = workflow.drop("\r\n".join(["Run,Line,Verdict,Note", *rows, ""]).encode(), "verdicts/asked.csv")
        assert review.status == "SUCCEEDED", review.cause
    yield {name: _files(workflow, prefix) for name, prefix in (("scored_lines", "scored"), ("judged_lines", "judged"))}
    workflow.forget_verdicts()


def _files(workflow, prefix):
    listed = workflow.s3.list_objects_v2(Bucket=workflow.bucket, Prefix=f"{prefix}/")["Contents"]
    bodies = [workflow.s3.get_object(Bucket=workflow.bucket, Key=found["Key"])["Body"].read() for found in listed]
    frames = [
        pq.read_table(io.BytesIO(body)).to_pandas().assign(dt=found["Key"].split("/")[1].removeprefix("dt="))
        for body, found in zip(bodies, listed, strict=True)
    ]
    return bodies, pd.concat(frames, ignore_index=True)


@pytest.fixture
def ask(workflow, monkeypatch):
    """Runs SQL as somebody with awswrangler does, up to the results: the embedded Athena puts their file elsewhere."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", workflow.cloud.endpoint_url)
    session = boto3.Session("test", "test", region_name="us-east-1")
    place = {
        "database": workflow.cloud.outputs["CatalogDatabaseName"],
        "workgroup": workflow.cloud.outputs["WorkGroupName"],
    }

    def run(sql):
        query = wr.athena.start_query_execution(sql, boto3_session=session, **place)
        wr.athena.wait_query(query, boto3_session=session)
        rows = workflow.cloud.client("athena").get_query_results(QueryExecutionId=query)["ResultSet"]["Rows"]
        text = io.StringIO()
        csv.writer(text).writerows([cell.get("VarCharValue") for cell in row["Data"]] for row in rows)
        return pd.read_csv(io.StringIO(text.getvalue()))

    return run


@pytest.mark.parametrize("table", ["scored_lines", "judged_lines"])
def test_the_catalog_tells_the_types_of_the_files(workflow, written, table):
    database = workflow.cloud.outputs["CatalogDatabaseName"]
    found = workflow.cloud.client("glue").get_table(DatabaseName=database, Name=table)["Table"]
    columns = {column["Name"]: column["Type"] for column in found["StorageDescriptor"]["Columns"]}
    for body in written[table][0]:
        schema = pq.read_schema(io.BytesIO(body))
        assert schema.names == list(columns)
        assert all(str(schema.field(name).type) in ARROW_TYPES[kind] for name, kind in columns.items())


def test_money_at_stake_by_firm(ask, written):
    lines = written["scored_lines"][1].query("suspicious")
    answer = ask(QUERIES["At stake by firm and month"])
    assert answer["flagged"].sum() == len(lines) > 0
    expected = lines.groupby("firm_name")["at_stake"].sum().round(2)
    assert dict(zip(answer["firm_name"], answer["at_stake"], strict=True)) == pytest.approx(expected.to_dict())


def test_flagged_share_by_day(ask, written):
    lines = written["scored_lines"][1]
    (row,) = ask(QUERIES["Flagged share by day and model"]).to_dict("records")
    assert (row["lines"], row["flagged"]) == (1_200, lines["suspicious"].sum())
    assert float(row["flagged_percent"]) == pytest.approx(100 * lines["suspicious"].mean(), abs=0.01)


def test_reasons_for_flags(ask, written):
    lines = written["scored_lines"][1].dropna(subset="field")
    answer = ask(QUERIES["Reasons for flags"])
    expected = lines.groupby(["field", "found_by"]).size().to_dict()
    assert {(row.field, row.found_by): row.lines for row in answer.itertuples()} == expected
    assert answer["suppressed"].sum() == 0


def test_precision_counts_the_latest_verdict(ask, written):
    judged = written["judged_lines"][1]
    answer = ask(QUERIES["Precision by reason"])
    assert answer["judged"].sum() == judged["line"].nunique() < len(judged)
    assert answer["queried"].sum() == 1


def test_the_history_of_a_matter(ask, written):
    lines = written["scored_lines"][1]
    answer = ask(QUERIES["History of a matter"])
    assert list(answer["line"]) == sorted(lines.loc[lines["matter_number"] == "1", "line"])
    assert len(QUERIES) == 5, "a query has no test here"
