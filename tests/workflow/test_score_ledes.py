"""The same invoices as CSV and as LEDES 1998B."""

import csv
import io
import json

import msgspec
import pandas as pd
import pytest

from local.activities import generate
from suspicious_lines.ledes import HEADER, VERSION, Mapping

CODES = {
    "TIMEKEEPER_CLASSIFICATION": ("Resource", {"Partner": "PT", "Senior": "OC", "Junior": "AS", "Paralegal": "PL"}),
    "LINE_ITEM_ACTIVITY_CODE": (
        "Activity",
        {"Prepare Opinion": "A103", "Attend Meeting": "A105", "Phone Call": "A106", "Attend Court": "A109"},
    ),
}


@pytest.fixture(scope="module")
def invoices() -> pd.DataFrame:
    """300 lines, a few of them plainly wrong: an amount, a rate, and a line billed twice."""
    lines = generate(seed=9, lines=300).drop(columns="Error")
    lines.loc[10, "Total"] += 500
    lines.loc[20, ["Fee", "Total"]] *= 3
    lines.loc[41] = lines.loc[40]
    return lines.assign(**{"Matter Number": [f"{number} / M{number}" for number in lines["Matter Number"]]})


@pytest.fixture
def mapping(workflow, invoices):
    """The bucket's translation: the library's, with this file's matters and firms."""
    names = {number.partition(" / ")[2]: name for number, name in invoices[["Matter Number", "Matter Type"]].values}
    own = msgspec.to_builtins(Mapping.default()) | {"matters": names, "firms": _firms(invoices)}
    place = {"Bucket": workflow.bucket, "Key": "config/ledes.json"}
    workflow.s3.put_object(**place, Body=json.dumps(own))
    yield
    workflow.s3.delete_object(**place)


def _firms(lines: pd.DataFrame) -> dict[str, str]:
    return {f"24-{number}": name for number, name in enumerate(lines["Firm Name"].unique())}


def _ledes(lines: pd.DataFrame) -> bytes:
    firms, records = _firms(lines), []
    for line in lines.to_dict("records"):
        invoice, _, matter = line["Matter Number"].partition(" / ")
        fields = {
            "INVOICE_NUMBER": invoice,
            "CLIENT_MATTER_ID": matter,
            "LAW_FIRM_ID": next(number for number, name in firms.items() if name == line["Firm Name"]),
            "EXP/FEE/INV_ADJ_TYPE": "F",
            "LINE_ITEM_NUMBER_OF_UNITS": f"{line['Minutes'] / 60:.6f}",
            "LINE_ITEM_UNIT_COST": f"{line['Fee']}",
            "LINE_ITEM_TOTAL": f"{line['Total']:.2f}",
            "LINE_ITEM_TASK_CODE": "L510",
            **{field: codes[line[column]] for field, (column, codes) in CODES.items()},
            **dict.fromkeys(("INVOICE_DATE", "BILLING_START_DATE", "BILLING_END_DATE", "LINE_ITEM_DATE"), "20261101"),
        }
        records.append("|".join(fields.get(name, "") for name in HEADER) + "[]")
    return "\n".join([VERSION, "|".join(HEADER) + "[]", *records, ""]).encode()


def test_a_ledes_file_and_the_equivalent_csv_give_the_same_flags(workflow, activities, invoices, mapping):
    workflow.drop(activities)
    listed = []
    # A record of LEDES stands one line further down: its header has two lines.
    for body, key, down in (
        (invoices.to_csv(index=False).encode(), "invoices/same.csv", 0),
        (_ledes(invoices), "invoices/same.txt", 1),
    ):
        run = workflow.drop(body, key)
        assert run.status == "SUCCEEDED"
        assert workflow.json(run, "results/metrics.json")["lines_rejected"] == 0
        rows = csv.DictReader(io.StringIO(workflow.read(run, "results/suspicious_lines.csv").decode()))
        listed.append([row | {"Line": int(row["Line"]) - down} for row in rows])
    as_csv, as_ledes = listed
    assert {12, 22, 43} <= {row["Line"] for row in as_csv}
    # The reason of a repeat names the line that it repeats.
    for row in as_ledes:
        row["Reason"] = row["Reason"].replace("line 43", "line 42")
    assert as_ledes == as_csv
