"""LEDES 1998B files that people drop by mistake, or that firms' systems write in their own way: see cases.py."""

from collections.abc import Iterator

from suspicious_lines.ledes import END, HEADER, VERSION
from tests.corpus.case import GOOD_LINES, IS_NO_NUMBER, Case, fine, whole

BAD_LINE = GOOD_LINES + 3  # the one below the good ones: two lines of header come first
UNITS, COST, TOTAL, ADJUSTMENT = (
    "LINE_ITEM_NUMBER_OF_UNITS",
    "LINE_ITEM_UNIT_COST",
    "LINE_ITEM_TOTAL",
    "LINE_ITEM_ADJUSTMENT_AMOUNT",
)
GOOD_RECORD = (
    "20261101|17|C1|M1|200.00|20261001|20261031|work|1|F|0.50|0.00|200.00|20261005|L110||A102|T1|call|F1|400.00|Doe|PT|"
    "CM1"
)
FIELDS = dict(zip(HEADER, GOOD_RECORD.split("|"), strict=True))
NO_DATE = "is not a date; write it as YYYYMMDD"


def record(end: str = END, **fields: str) -> str:
    """A good record with other fields where they are given; TYPE for the one whose name Python cannot write."""
    named = {"EXP/FEE/INV_ADJ_TYPE" if name == "TYPE" else name: value for name, value in fields.items()}
    return "|".join((FIELDS | named).values()) + end


def text(records: list[str], version: str = VERSION, header: str = "|".join(HEADER) + END, line_end: str = "\n") -> str:
    return "".join(line + line_end for line in [version, header, *records])


GOOD = [record(INVOICE_NUMBER=str(number)) for number in range(1, GOOD_LINES + 1)]


def field(name: str, value: str, reason: str = "", column: str = "") -> Case:
    """One field of the last record; `reason` empty where it is fine."""
    shown = f"{value[:30]!r}" + (f" and so on, {len(value):,} characters" if len(value) > 30 else "")
    return one(f"{name}: {shown}", record(**{name: value}), column or name, reason)


def one(name: str, raw: str | bytes, column: str = "", reason: str = "") -> Case:
    """The good records and this one below them, as it is."""
    body = text(GOOD).encode() + (raw if isinstance(raw, bytes) else raw.encode()) + b"\n"
    refused = {BAD_LINE: (column, reason)} if reason else {}
    return Case(f"LEDES, {name}", body, accepted=GOOD_LINES + (not reason), refused=refused)


def numbers() -> Iterator[Case]:
    for name in (UNITS, COST, TOTAL):
        for value in ("", "  "):
            yield field(name, value, "is empty")
        for value in ("abc", "0,5", "1.234,50", "1,234.50", "$400", "400 €", "1 200", "0.5h", "NaN", "#REF!", "0:30"):
            yield field(name, value, IS_NO_NUMBER)
        for value in ("inf", "1e300", "9" * 40):
            yield field(name, value, "is above")
        for value in ("-1", "-inf"):
            yield field(name, value, "is negative")
        for value in (" 0.5 ", "+0.5", ".5", "5e-1", "00000.50"):
            yield field(name, value)
    for value in ("0", "0.00", "-0"):
        yield field(UNITS, value, "is zero")
        yield field(COST, value)
        yield field(TOTAL, value)
    yield field(UNITS, "1667", "is above 1,667 hours")
    yield field(UNITS, "1e-9", "is zero")  # less than a minute's ten thousandth
    for value in ("", "0", "-20.00", "20", " -1e1 "):
        yield field(ADJUSTMENT, value)
    for value in ("x", "1,00", "NaN", "inf"):
        yield field(ADJUSTMENT, value, IS_NO_NUMBER)
    yield one("a credit", record(LINE_ITEM_TOTAL="-200.00"), TOTAL, "is negative")
    yield one("a credit of a whole line", record(LINE_ITEM_TOTAL="0.00", LINE_ITEM_ADJUSTMENT_AMOUNT="-200.00"))
    yield one("more credit than was billed", record(LINE_ITEM_TOTAL="-50.00", LINE_ITEM_ADJUSTMENT_AMOUNT="-250.00"))
    too_much = record(LINE_ITEM_TOTAL="100.00", LINE_ITEM_ADJUSTMENT_AMOUNT="300.00")
    yield one("an adjustment above the total", too_much, TOTAL, "is negative")


def codes() -> Iterator[Case]:
    column = "EXP/FEE/INV_ADJ_TYPE"
    for value, reason in {
        "E": "is an expense, not work",
        "IF": "is an adjustment of a whole invoice",
        "ie": "is an adjustment of a whole invoice",
        "": "is none of F, E, IF, IE",
        "FEE": "is none of F, E, IF, IE",
        "=F": "is none of F, E, IF, IE",
    }.items():
        yield field("TYPE", value, reason, column)
    yield field("TYPE", " f ")
    for name in ("INVOICE_DATE", "LINE_ITEM_DATE"):
        yield field(name, "", "is empty")
        for value in (
            "2026-10-01",
            "01/10/2026",
            "20261301",
            "20260230",
            "2026101",
            "202610011",
            "0",
            "\uff12026" + "1001",
        ):
            yield field(name, value, NO_DATE)
        yield field(name, " 20240229 ")
    for name in ("BILLING_START_DATE", "INVOICE_TOTAL", "LINE_ITEM_EXPENSE_CODE", "TIMEKEEPER_NAME"):
        yield field(name, "<script>=1+1</script>")  # not read
    yield field("INVOICE_NUMBER", "", "is empty")
    yield field("TIMEKEEPER_CLASSIFICATION", "", "is empty")
    yield field("LINE_ITEM_ACTIVITY_CODE", "")
    yield field("LINE_ITEM_TASK_CODE", "")
    yield one("no matter at all", record(LAW_FIRM_MATTER_ID="", CLIENT_MATTER_ID=""), "LAW_FIRM_MATTER_ID", "is empty")
    yield one("the firm's own matter only", record(CLIENT_MATTER_ID=" "))


def texts() -> Iterator[Case]:
    yield field("LAW_FIRM_ID", "", "is empty")
    yield field("LAW_FIRM_ID", "\u200b\u200e", "is empty")  # nothing that can be seen
    yield field("LAW_FIRM_ID", "x" * 201, "is longer than 200 characters")
    yield field("LAW_FIRM_ID", "x" * 200)
    for value in (
        "=HYPERLINK(1)", "+1+1", "@SUM(A1)", "<script>alert(1)</script>", "\u202eenil", "a\u200bb", "律師事務所",
        "e\u0301", 'The "Elm"', '"', "Smith, Oak", "../../etc", "%s%n", "[]", "24-6437381 []",
    ):  # fmt: skip
        yield field("LAW_FIRM_ID", value)
    for value in ("=1+1", "<b>", "see [] below", "x" * 100_000, "\u202e", "two\nlines", "two\r\nlines", '"open quote'):
        yield field("LINE_ITEM_DESCRIPTION", value)
    raw = record(LINE_ITEM_DESCRIPTION="Büro")
    for name in ("latin-1", "cp1252", "mac-roman"):
        yield one(f"a narrative in {name}", raw.encode(name))
        firm = record(LAW_FIRM_ID="Büro").encode(name)
        yield one(f"a firm in {name}", firm, "LAW_FIRM_ID", "is not valid UTF-8")
    yield one("a NUL in a narrative", record(LINE_ITEM_DESCRIPTION="a\0b"), "", "holds a NUL character")
    yield one("a NUL in a firm", record(LAW_FIRM_ID="a\0b"), "", "holds a NUL character")


def shapes() -> Iterator[Case]:
    yield one("a field too few", record().replace("|CM1", ""), "", "has 23 fields where LEDES 1998B has 24")
    yield one("a field too many", record().replace("[]", "|x[]"), "", "has 25 fields where LEDES 1998B has 24")
    yield one("a bar in a narrative", record(LINE_ITEM_DESCRIPTION="a|b"), "", "has 25 fields")
    yield one("nothing but the end mark", END, "", "has 1 fields")
    yield one("bars only", "|" * 23 + END, "EXP/FEE/INV_ADJ_TYPE", "is none of")
    yield one("separated by tabs", record().replace("|", "\t"), "", "has 1 fields")
    for name, end in {"no end mark": "", "half an end mark": "[", "an end mark turned round": "]["}.items():
        yield one(name, record(end=end), "", "does not end in []")
    yield one("spaces behind the end mark", record() + "  ")
    yield one("the end mark twice", record() + END)
    cut_off = [*GOOD[:3], GOOD[3][:40], *GOOD[4:]]
    yield Case(
        "LEDES, a record cut off amid the file",
        text(cut_off).encode(),
        accepted=GOOD_LINES - 1,
        refused={6: ("", "does not end in []")},
    )
    yield fine("LEDES with a byte order mark", text(GOOD).encode("utf-8-sig"))
    yield fine("LEDES ended as on Windows", text(GOOD, line_end="\r\n"))
    yield fine("LEDES ended as on old Macs", text(GOOD, line_end="\r"))
    yield fine("LEDES without a line break at the end", text(GOOD).rstrip("\n"))
    yield fine("LEDES with blank lines between", text(GOOD).replace("\n", "\n\n"))
    yield fine("LEDES with blank lines before", "\n \n" + text(GOOD))
    yield fine("LEDES, small letters in its first lines", text(GOOD, VERSION.lower(), "|".join(HEADER).lower() + END))
    yield fine("LEDES, fields with spaces around", text(GOOD, header=" | ".join(HEADER) + END))
    yield fine("LEDES, a header without its end mark", text(GOOD, header="|".join(HEADER)))
    turned = ["|".join(reversed(one.removesuffix(END).split("|"))) + END for one in GOOD]
    yield fine("LEDES, fields in another order", text(turned, header="|".join(reversed(HEADER)) + END))


def wholes() -> Iterator[Case]:
    for version in ("LEDES98BI V2[]", "LEDES2000", "LEDES XML 2.0", "LEDES1998B", "LEDES1998BI[]", "LEDES[]"):
        yield whole(
            f"the first line {version}", text(GOOD, version), "line 1: the file is not LEDES 1998B", "Ask the firm for"
        )
    xml = '<?xml version="1.0"?>\n<ledesxml><firm/></ledesxml>\n'
    yield whole("LEDES XML", xml, "line 1: there is no header")
    for name in ("INVOICE_NUMBER", "LINE_ITEM_TOTAL", "LINE_ITEM_DESCRIPTION"):
        header = "|".join(one for one in HEADER if one != name) + END
        yield whole(
            f"LEDES without the field {name}", text(GOOD, header=header), f"line 2, column {name}", f"Add: {name}."
        )
    twice = "|".join([*HEADER, "LAW_FIRM_ID"]) + END
    yield whole("LEDES with a field twice", text(GOOD, header=twice), "line 2: there is no LEDES 1998B header")
    no_header = "\n".join([VERSION, *GOOD, ""])
    yield whole("LEDES without the line of fields", no_header, "line 2: there is no LEDES 1998B header")
    yield whole("LEDES separated by tabs", text(GOOD).replace("|", "\t"), "line 2: there is no LEDES 1998B header")
    yield whole("LEDES, its first line alone", f"{VERSION}\n", "there is no LEDES 1998B header")
    yield whole("LEDES, its header alone", text([]), "0 lines below its header. It needs at least 5")
    yield whole("LEDES of one record", text(GOOD[:1]), "1 lines below its header. It needs at least 5")
    costs = [record(TYPE="E") for _ in GOOD]
    yield whole(
        "LEDES of expenses only",
        text(costs),
        "line 3, column EXP/FEE/INV_ADJ_TYPE: only 0 of 8 lines can be used; this one is an expense",
        "rejected.csv",
    )
    for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        yield whole(f"LEDES encoded as {name}", text(GOOD).encode(name), "UTF-16")
    yield whole("LEDES in one line", text(GOOD, line_end=""), "line 1: the file is not LEDES 1998B")
    yield whole("binary behind the first line", f"{VERSION}\n".encode() + bytes(range(256)) * 8, "line 2: there is no")


def ledes_cases() -> list[Case]:
    return [case for group in (numbers, codes, texts, shapes, wholes) for case in group()]
