import io
import json

import msgspec
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frames import csv_of
from suspicious_lines import ledes
from suspicious_lines.encoder import due
from suspicious_lines.errors import InvalidUploadError, SettingsError
from suspicious_lines.ledes import HEADER, VERSION, Mapping
from suspicious_lines.lines import require_enough
from tests.whole import read_lines

KEY = "invoices/may.txt"
FEE_LINE = {
    "INVOICE_DATE": "20260531",
    "INVOICE_NUMBER": "96542",
    "CLIENT_ID": "00711",
    "LAW_FIRM_MATTER_ID": "0528",
    "INVOICE_TOTAL": "1684.45",
    "BILLING_START_DATE": "20260501",
    "BILLING_END_DATE": "20260531",
    "INVOICE_DESCRIPTION": "For services rendered",
    "LINE_ITEM_NUMBER": "1",
    "EXP/FEE/INV_ADJ_TYPE": "F",
    "LINE_ITEM_NUMBER_OF_UNITS": "2.00",
    "LINE_ITEM_ADJUSTMENT_AMOUNT": "-70",
    "LINE_ITEM_TOTAL": "630",
    "LINE_ITEM_DATE": "20260515",
    "LINE_ITEM_TASK_CODE": "L510",
    "LINE_ITEM_EXPENSE_CODE": "",
    "LINE_ITEM_ACTIVITY_CODE": "A102",
    "TIMEKEEPER_ID": "22547",
    "LINE_ITEM_DESCRIPTION": "Research set-off claim",
    "LAW_FIRM_ID": "24-6437381",
    "LINE_ITEM_UNIT_COST": "350",
    "TIMEKEEPER_NAME": "Specimen, Alder",
    "TIMEKEEPER_CLASSIFICATION": "PARTNR",
    "CLIENT_MATTER_ID": "423-987",
}


def record(**fields: str) -> str:
    """A fee line with some fields changed; INV_ADJ_TYPE stands for the name that Python cannot write."""
    fields = {"EXP/FEE/INV_ADJ_TYPE" if name == "INV_ADJ_TYPE" else name: cell for name, cell in fields.items()}
    assert fields.keys() <= FEE_LINE.keys()
    return "|".join((FEE_LINE | fields).values()) + "[]"


def file_of(records: list[str], version: str = VERSION, header: list[str] = HEADER) -> bytes:
    return ("\n".join([version, "|".join(header) + "[]", *records]) + "\n").encode()


def read(body: bytes, mapping: Mapping | None = None):
    return read_lines(io.BytesIO(body), KEY, mapping)


GOOD = [record(LINE_ITEM_NUMBER=str(number)) for number in range(6)]


def test_a_fee_line_becomes_a_line_of_ours():
    lines = read(file_of([record()]))
    (line,) = lines.accepted.itertuples()
    assert line.line == 3
    assert line.matter_number == "96542 / 423-987"
    assert (line.firm_name, line.matter_type) == ("24-6437381", "Litigation")
    assert (line.resource, line.activity) == ("Partner", "Research")
    assert (line.minutes, line.fee, line.total) == (120.0, 350.0, 700.0)
    assert lines.accepted["error"].isna().all()
    assert list(lines.occasions) == ["20260515 22547"]


@pytest.mark.parametrize(
    ("hours", "minutes"), [("0.1", 6.0), ("2.3", 138.0), ("1.15", 69.0), (" 0.7 ", 42.0), ("0.416667", 25.0)]
)
def test_hours_become_minutes_without_binary_dust(hours, minutes):
    assert list(read(file_of([record(LINE_ITEM_NUMBER_OF_UNITS=hours)])).accepted["minutes"]) == [minutes]


@pytest.mark.parametrize(
    ("adjustment", "total", "before"),
    [
        ("-40", "660", 700.0),
        ("40.10", "740.10", 700.0),
        ("", "700", 700.0),
        ("0", "650", 650.0),
        ("-0.1", "91.57", 91.67),
    ],
)
def test_an_adjustment_is_taken_out_of_the_total(adjustment, total, before):
    accepted = read(file_of([record(LINE_ITEM_ADJUSTMENT_AMOUNT=adjustment, LINE_ITEM_TOTAL=total)])).accepted
    assert list(accepted["total"]) == [before]
    assert list(due(accepted)) == [700.0]


def test_several_invoices_and_matters_stay_apart():
    records = [
        record(),
        record(CLIENT_MATTER_ID="424-001"),
        record(INVOICE_NUMBER="96543"),
        record(INVOICE_NUMBER="96543", CLIENT_MATTER_ID=" "),
    ]
    accepted = read(file_of(records)).accepted
    assert list(accepted["matter_number"]) == ["96542 / 423-987", "96542 / 424-001", "96543 / 423-987", "96543 / 0528"]


@pytest.mark.parametrize(
    ("field", "code", "column", "told"),
    [
        ("TIMEKEEPER_CLASSIFICATION", "as", "resource", "Junior"),
        ("TIMEKEEPER_CLASSIFICATION", "Of  Counsel", "resource", "Senior"),
        ("TIMEKEEPER_CLASSIFICATION", "LA", "resource", "Paralegal"),
        ("TIMEKEEPER_CLASSIFICATION", "ZZ", "resource", "ZZ"),
        ("LINE_ITEM_ACTIVITY_CODE", "A106", "activity", "Phone Call"),
        ("LINE_ITEM_ACTIVITY_CODE", "A109", "activity", "Attend Court"),
        ("LINE_ITEM_ACTIVITY_CODE", "a111", "activity", "Other"),
        ("LINE_ITEM_ACTIVITY_CODE", "X900", "activity", "X900"),
        ("LINE_ITEM_ACTIVITY_CODE", "", "activity", "Not coded"),
        ("LINE_ITEM_TASK_CODE", "p220", "matter_type", "Project"),
        ("LINE_ITEM_TASK_CODE", "PA120", "matter_type", "Patent"),
        ("LINE_ITEM_TASK_CODE", "XY1", "matter_type", "XY1"),
        ("LINE_ITEM_TASK_CODE", "Antitrust", "matter_type", "Antitrust"),
        ("LINE_ITEM_TASK_CODE", "", "matter_type", "Not coded"),
    ],
)
def test_codes_become_names_and_unknown_codes_stay(field, code, column, told):
    assert list(read(file_of([record(**{field: code})])).accepted[column]) == [told]


@pytest.mark.parametrize(
    ("bad", "column", "value", "reason"),
    [
        (record(INV_ADJ_TYPE="E"), "EXP/FEE/INV_ADJ_TYPE", "E", "is an expense, not work"),
        (record(INV_ADJ_TYPE="if"), "EXP/FEE/INV_ADJ_TYPE", "if", "is an adjustment of a whole invoice, not work"),
        (record(INV_ADJ_TYPE="IE"), "EXP/FEE/INV_ADJ_TYPE", "IE", "is an adjustment of a whole invoice, not work"),
        (record(INV_ADJ_TYPE=""), "EXP/FEE/INV_ADJ_TYPE", "", "is none of F, E, IF, IE"),
        (record(INVOICE_DATE=""), "INVOICE_DATE", "", "is empty"),
        (record(INVOICE_DATE="2026-5-1"), "INVOICE_DATE", "2026-5-1", "is not a date; write it as YYYYMMDD"),
        (record(LINE_ITEM_DATE="20260231"), "LINE_ITEM_DATE", "20260231", "is not a date; write it as YYYYMMDD"),
        (record(LINE_ITEM_DATE="202651"), "LINE_ITEM_DATE", "202651", "is not a date; write it as YYYYMMDD"),
        (record(INVOICE_NUMBER=" "), "INVOICE_NUMBER", " ", "is empty"),
        (
            record(LAW_FIRM_MATTER_ID="", CLIENT_MATTER_ID=""),
            "LAW_FIRM_MATTER_ID",
            "",
            "is empty, and so is CLIENT_MATTER_ID",
        ),
        (record(LAW_FIRM_ID=""), "LAW_FIRM_ID", "", "is empty"),
        (record(TIMEKEEPER_CLASSIFICATION=""), "TIMEKEEPER_CLASSIFICATION", "", "is empty"),
        (record(LAW_FIRM_ID="x" * 201), "LAW_FIRM_ID", "x" * 99 + "…", "is longer than 200 characters"),
        (record(LINE_ITEM_NUMBER_OF_UNITS=""), "LINE_ITEM_NUMBER_OF_UNITS", "", "is empty"),
        (record(LINE_ITEM_NUMBER_OF_UNITS="0.00"), "LINE_ITEM_NUMBER_OF_UNITS", "0.00", "is zero"),
        (record(LINE_ITEM_NUMBER_OF_UNITS="-1"), "LINE_ITEM_NUMBER_OF_UNITS", "-1", "is negative"),
        (record(LINE_ITEM_NUMBER_OF_UNITS="2h"), "LINE_ITEM_NUMBER_OF_UNITS", "2h", "is not a number"),
        (record(LINE_ITEM_NUMBER_OF_UNITS="9999"), "LINE_ITEM_NUMBER_OF_UNITS", "9999", "is above 1,667 hours"),
        (record(LINE_ITEM_UNIT_COST="$350"), "LINE_ITEM_UNIT_COST", "$350", "is not a number"),
        (record(LINE_ITEM_UNIT_COST="-350"), "LINE_ITEM_UNIT_COST", "-350", "is negative"),
        (record(LINE_ITEM_TOTAL="1,630"), "LINE_ITEM_TOTAL", "1,630", "is not a number"),
        (record(LINE_ITEM_TOTAL="-700"), "LINE_ITEM_TOTAL", "-700", "is negative"),
        (record(LINE_ITEM_TOTAL="1e12"), "LINE_ITEM_TOTAL", "1e12", "is above 100,000,000"),
        (record(LINE_ITEM_ADJUSTMENT_AMOUNT="10%"), "LINE_ITEM_ADJUSTMENT_AMOUNT", "10%", "is not a number"),
        (record(LINE_ITEM_ADJUSTMENT_AMOUNT="inf"), "LINE_ITEM_ADJUSTMENT_AMOUNT", "inf", "is not a number"),
        (record(LINE_ITEM_DESCRIPTION="one|two"), "", None, "has 25 fields where LEDES 1998B has 24"),
        ("1|2|3[]", "", "1|2|3[]", "has 3 fields where LEDES 1998B has 24"),
        (record()[:-2], "", None, "does not end in []"),
        (record()[:60], "", record()[:60], "does not end in []"),
        (record()[:150], "", None, "does not end in []"),
        ("page 2", "", "page 2", "does not end in []"),
        (record(LINE_ITEM_DESCRIPTION="a\0b"), "", "", "holds a NUL character"),
        ("a\0b", "", "", "holds a NUL character"),
    ],
)
@pytest.mark.parametrize("last", [False, True])
def test_a_bad_record_is_listed_and_the_good_ones_are_kept(bad, column, value, reason, last):
    body = file_of([*GOOD, bad, *([] if last else GOOD)])
    lines = read(body.rstrip(b"\n") if last else body)
    assert len(lines.accepted) == (6 if last else 12)
    (refused,) = lines.refused
    assert (refused.line, refused.column) == (9, column)
    assert reason in refused.reason
    assert len(refused.value) <= 100
    if value is not None:
        assert refused.value == value


@pytest.mark.parametrize("size", [1, 1000, 1 << 14])
def test_a_description_may_be_broken_over_lines_and_hold_the_end_mark(monkeypatch, size):
    monkeypatch.setattr(ledes, "BATCH_CHARACTERS", size)
    broken = record(INVOICE_DESCRIPTION="May\r\n2026", LINE_ITEM_DESCRIPTION="Call\n\nand [] note to\nfile")
    inside = record(INVOICE_DESCRIPTION="[]", LINE_ITEM_DESCRIPTION="Draft [] clause")
    lines = read(file_of([*GOOD, broken, inside, broken]))
    assert lines.refused == []
    assert list(lines.accepted["line"][-3:]) == [9, 14, 15]


def test_a_record_without_its_end_gives_up_its_own_lines_only():
    cut = record(LINE_ITEM_DESCRIPTION="Call\nwith client")[:-2]
    lines = read(file_of([cut, *GOOD, record()[:100], record()[:100], *GOOD]))
    assert len(lines.accepted) == 12
    assert [refused.line for refused in lines.refused] == [3, 4, 11, 12]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b"\n \r\n", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_marks_blanks_and_line_ends_do_not_matter(mark, end):
    body = file_of([*GOOD, "", " ", record() + "  "]).replace(b"\n", end)
    lines = read(mark + body)
    assert lines.read == len(lines.accepted) == 7
    assert lines.accepted["line"].iloc[-1] == 11 + mark.count(b"\n")


def test_the_headers_case_order_and_end_do_not_matter():
    header = [name.lower() for name in reversed(HEADER)]
    records = ["|".join(reversed(good.removesuffix("[]").split("|"))) + "[]" for good in GOOD]
    body = file_of(records, "ledes1998b []", header).replace(b"exp/fee/inv_adj_type", b" Exp/Fee/Inv_Adj_Type ")
    unended = body.replace(b"invoice_date[]", b"invoice_date")
    assert unended != body
    expected = read(file_of(GOOD)).accepted
    pd.testing.assert_frame_equal(read(body).accepted, expected)
    pd.testing.assert_frame_equal(read(unended).accepted, expected)


def test_bytes_that_are_not_utf8_matter_only_in_a_field_that_is_read():
    narrative = record(LINE_ITEM_DESCRIPTION="Café").encode("latin-1")
    firm = record(LAW_FIRM_ID="Spécimen").encode("latin-1")
    lines = read(file_of(GOOD) + narrative + b"\n" + firm)
    assert len(lines.accepted) == 7
    (refused,) = lines.refused
    assert (refused.line, refused.column, refused.reason) == (10, "LAW_FIRM_ID", "is not valid UTF-8")
    refused.value.encode()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        *(
            (file_of(GOOD, version), "line 1: the file is not LEDES 1998B. Ask the firm for LEDES 1998B")
            for version in ["LEDES1998BI V2[]", "LEDES98BI[]", "LEDES98BI V2[]", "LEDES2000[]", "LEDES1998B", "LEDES[]"]
        ),
        (b"LEDES1998B[]", "line 2: there is no LEDES 1998B header. The second line must name the 24 fields"),
        (VERSION.encode() + b"\n" + "\n".join(GOOD).encode(), "line 2: there is no LEDES 1998B header"),
        (file_of(GOOD, header=[*HEADER, "MATTER_NAME"]), "line 2: there is no LEDES 1998B header"),
        (file_of(GOOD, header=HEADER[:-1]), "line 2, column CLIENT_MATTER_ID: the header lacks this field"),
        (file_of(GOOD).decode().encode("utf-16"), "line 1: the file is encoded as UTF-16"),
        (file_of([]), "line 1: the file has 0 lines below its header. It needs at least 5."),
        (file_of([record(INV_ADJ_TYPE="E")] * 9), "only 0 of 9 lines can be used; this one is an expense, not work"),
    ],
)
def test_an_unusable_file_is_refused_with_file_line_and_remedy(body, told):
    with pytest.raises(InvalidUploadError) as refused:
        require_enough(read(body).counts, KEY)
    assert str(refused.value).startswith(f"{KEY}, line ")
    assert told in str(refused.value)


def test_a_csv_whose_first_column_is_called_ledes_is_a_csv():
    body = csv_of(
        ["7,1,A,B,C,D,60,100,100"], "Ledes Id,Matter Number,Firm Name,Matter Type,Resource,Activity,Minutes,Fee,Total"
    )
    assert len(read(body).accepted) == 1


def test_a_mapping_of_ones_own():
    document = json.loads(msgspec.json.encode(Mapping.default()))
    document["firms"] = {"24-6437381": "Specimen Ash LLP"}
    document["matters"] = {"0528": "Antitrust"}
    document["resources"] = {"partnr": "Principal", "": "Unknown"}
    del document["activities"][""]
    records = [
        record(),
        record(TIMEKEEPER_CLASSIFICATION="", LINE_ITEM_TASK_CODE=""),
        record(LINE_ITEM_ACTIVITY_CODE=""),
    ]
    lines = read(file_of(records), Mapping.from_json(json.dumps(document)))
    assert list(lines.accepted["resource"]) == ["Principal", "Unknown"]
    assert set(lines.accepted["firm_name"]) == {"Specimen Ash LLP"}
    assert set(lines.accepted["matter_type"]) == {"Antitrust"}
    assert [(refused.column, refused.reason) for refused in lines.refused] == [("LINE_ITEM_ACTIVITY_CODE", "is empty")]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{}", "missing required field `firms`"),
        (
            json.dumps(msgspec.to_builtins(Mapping.default()) | {"resources": {"PT": ""}}),
            "Expected `str` of length >= 1 - at `$.resources.PT`",
        ),
        ('{"people": {}}', "unknown field `people`"),
        ("{", "truncated"),
        ('{"firms": {"A": "M\u00fcller"}}'.encode("latin-1"), "'utf-8' codec can't decode byte 0xfc"),
    ],
)
def test_a_wrong_mapping_says_what_is_wrong(text, told):
    with pytest.raises(SettingsError) as wrong:
        Mapping.from_json(text)
    assert str(wrong.value).startswith("config/ledes.json is wrong: ")
    assert told in str(wrong.value)


tenths = st.integers(1, 200)
amounts = st.integers(0, 100_000).map(lambda cents: cents / 100)
names = st.sampled_from(["Partner", "Senior", "Antitrust", "Phone Call", "Specimen Ash LLP", "M&A"])


@given(st.lists(st.tuples(names, names, names, names, tenths, amounts, amounts, amounts), min_size=1, max_size=20))
def test_a_ledes_file_and_the_equivalent_csv_give_the_same_lines(rows):
    records, cells = [], []
    for firm, matter, resource, activity, hours, fee, total, discount in rows:
        records.append(
            record(
                LAW_FIRM_ID=firm,
                LINE_ITEM_TASK_CODE=matter,
                TIMEKEEPER_CLASSIFICATION=resource,
                LINE_ITEM_ACTIVITY_CODE=activity,
                LINE_ITEM_NUMBER_OF_UNITS=str(hours / 10),
                LINE_ITEM_UNIT_COST=str(fee),
                LINE_ITEM_ADJUSTMENT_AMOUNT=f"-{discount}",
                LINE_ITEM_TOTAL=f"{total - discount:.2f}",
            )
        )
        cells.append(f"96542 / 423-987,{firm},{matter},{resource},{activity},{hours * 6},{fee},{total},")
    from_csv = read(csv_of(cells)).accepted
    from_ledes = read(file_of(records)).accepted
    pd.testing.assert_frame_equal(from_ledes.drop(columns="line"), from_csv.drop(columns="line"), check_exact=True)


fields = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=8), st.sampled_from(["", "[]", "|", "1"])
)
changed = st.dictionaries(st.sampled_from(HEADER), fields, max_size=3).map(
    lambda cells: "|".join((FEE_LINE | cells).values()) + "[]"
)
cut = st.tuples(changed, st.integers(0, 200)).map(lambda cut: cut[0][: cut[1]])


@given(st.lists(st.one_of(changed, cut, fields), max_size=30), st.sampled_from([1, 500, 1 << 14]))
def test_accepted_and_rejected_are_all_that_was_read(records, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledes, "BATCH_CHARACTERS", size)
        lines = read(file_of([*GOOD, *records]))
    numbers = [*lines.accepted["line"], *(refused.line for refused in lines.refused)]
    assert lines.read == len(numbers) == len(set(numbers))
    # A record may take the lines after it only where together they have the fields of one.
    whole = {number for number, text in enumerate(records, 9) if text.count("|") == 23 and text.strip().endswith("[]")}
    assert set(range(3, 9)) | whole <= set(numbers)
    assert len(lines.occasions) == len(lines.accepted)
    assert (lines.accepted["minutes"] > 0).all()
    assert lines.accepted[["minutes", "fee", "total"]].notna().all(axis=None)
