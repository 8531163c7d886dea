"""Files that people drop by mistake, each with how it must end.

    python -m tests.corpus.cases FOLDER     # writes them, to look at or to drop

A case is refused as a whole, with words of the message, or read: every line is accepted or refused with its reason.
"""

import argparse
import gzip
import io
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tests.corpus.case import GOOD_LINES, IS_NO_NUMBER, Case, fine, whole
from tests.corpus.ledes_cases import ledes_cases

HEADER = ["Matter Number", "Firm Name", "Matter Type", "Resource", "Activity", "Minutes", "Fee", "Total", "Error"]
BAD_LINE = 10  # the one below the good ones, as an editor counts
SAVE_AS = "Save the sheet as 'CSV UTF-8"


def line(number: int, **cells: str) -> list[str]:
    """A good line, with other cells where they are given: `Firm_Name="..."` for the column Firm Name."""
    good = [str(number), "Specimen Elm LLP", "Antitrust", "Partner", "Phone Call", "30", "400", "200.00", "False"]
    named = dict(zip(HEADER, good, strict=True)) | {name.replace("_", " "): cell for name, cell in cells.items()}
    return list(named.values())


def text(rows: list[list[str]], mark: str = ",", end: str = "\n", header: list[str] | None = None) -> str:
    return "".join(mark.join(row) + end for row in [header or HEADER, *rows])


GOOD = [line(number) for number in range(1, GOOD_LINES + 1)]


def with_line(*raw: str) -> bytes:
    """The good lines and these below them, as they are."""
    return (text(GOOD) + "".join(one + "\n" for one in raw)).encode()


def cell(column: str, value: str, reason: str = "") -> Case:
    """One cell of the last line; `reason` empty where the line is fine."""
    name = (
        f"{column}: {value!r}" if len(value) < 30 else f"{column}: {value[:30]!r} and so on, {len(value):,} characters"
    )
    quoted = '"' + value.replace('"', '""') + '"' if set(value) & set(',"\r\n') else value
    row = ",".join(line(9, **{column.replace(" ", "_"): quoted}))
    return _one(name, with_line(row), column, reason)


def _one(name: str, body: bytes, column: str, reason: str) -> Case:
    if not reason:
        return Case(name, body, accepted=GOOD_LINES + 1)
    return Case(name, body, accepted=GOOD_LINES, refused={BAD_LINE: (column, reason)})


def numbers() -> Iterator[Case]:
    for column in ("Minutes", "Fee", "Total"):
        for value in (
            "",
            " ",
            "abc",
            "12,5",
            "1,234.50",
            "$400",
            "400 €",
            "£12",
            "1 200",
            "1'200",
            "12.5.3",
            "--5",
            "30 min",
        ):
            yield cell(column, value, "is empty" if not value.strip() else IS_NO_NUMBER)
        for value in (
            "NaN",
            "nan",
            "NULL",
            "N/A",
            "#REF!",
            "#DIV/0!",
            "None",
            "00:30",
            "2026-11-24",
            "True",
            "x" * 9_000,
        ):
            yield cell(column, value, IS_NO_NUMBER)
        for value in ("inf", "Infinity", "1e300", "9" * 30, "9223372036854775808"):
            yield cell(column, value, "is above")
        for value in ("-1", "-0.01", "-inf", "-1e300"):
            yield cell(column, value, "is negative")
        for value in ("1e2", " 30 ", "+30", "30.", ".5", "0030", "1E+1"):
            yield cell(column, value)
    for value in ("0", "0.0", "-0", "1e-400"):
        yield cell("Minutes", value, "is zero")
        yield cell("Fee", value)
    for value in ("maybe", "2", "ja", "TRUE!", "=TRUE()"):
        yield cell("Error", value, "is neither True nor False")
    for value in ("", "true", "FALSE", "1", "0", "Yes", " n "):
        yield cell("Error", value)


def texts() -> Iterator[Case]:
    for column in ("Matter Number", "Firm Name", "Matter Type", "Resource", "Activity"):
        yield cell(column, "", "is empty")
        yield cell(column, "\u200b\u200e", "is empty")  # nothing that can be seen
        yield cell(column, "x" * 201, "is longer than 200 characters")
        yield cell(column, "x" * 200)
        yield cell(column, "=HYPERLINK(1)")
    for value in (
        "+1+1", "-2+3", "@SUM(A1)", "=cmd|' /C calc'!A0", "<script>alert(1)</script>", "' OR 1=1 --", "{{7*7}}",
        "${jndi:x}", "../../etc/passwd", "%s%n", "NULL", "None", "nan", "a;b", "Smith, Jones", 'The "Elm"',
        "\u202eenil", "a\u200bb", "Ελιά και Σία", "律師事務所", "شركة محاماة", "👩‍⚖️ LLP", "e\u0301",
        "two\nlines", "two\r\nlines", "\ttab",
    ):  # fmt: skip
        yield cell("Firm Name", value)
    endless = ",".join(line(9, Firm_Name="x" * 10_001))
    yield _one("a cell of 10,001 characters", with_line(endless), "", "has a cell of more than 10000 characters")


def encodings() -> Iterator[Case]:
    good = text(GOOD)
    yield fine("UTF-8 with a byte order mark", good.encode("utf-8-sig"))
    yield whole("two byte order marks and no more", b"\xef\xbb\xbf\xef\xbb\xbf", "the file is empty")
    for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        yield whole(f"encoded as {name}", good.encode(name), "UTF-16", SAVE_AS)
    row = ",".join(line(9, Firm_Name="Büro Elm"))
    for name in ("latin-1", "cp1252", "mac-roman"):
        yield _one(f"one name in {name}", text(GOOD).encode() + row.encode(name) + b"\n", "", "is not valid UTF-8")
    yield _one("half a character", text(GOOD).encode() + row.encode()[:7] + b"\xc3," + b"\n", "", "is not valid UTF-8")
    yield _one("a NUL in a cell", with_line(row.replace("Elm", "E\0lm")), "", "holds a NUL character")
    yield _one("half of a surrogate pair", text(GOOD).encode() + b"\xed\xa0\x80\n", "", "is not valid UTF-8")


def shapes() -> Iterator[Case]:
    good = text(GOOD)
    for name, mark in (("semicolons", ";"), ("tabs", "\t"), ("pipes", "|")):
        yield whole(
            f"separated by {name}", text(GOOD, mark), "line 1: the columns are not separated by commas", SAVE_AS
        )
    yield fine("ended as on Windows", text(GOOD, end="\r\n"))
    yield fine("no line break at the end", good.rstrip("\n"))
    yield fine("blank lines between", good.replace("\n", "\n\n"))
    yield fine("lines of commas between", good.replace("\n", "\n,,,,,,,,\n", 3))
    yield fine("spaces and blank lines before the header", "\n\n" + good)
    yield fine("all cells quoted", "".join(",".join(f'"{one}"' for one in row) + "\n" for row in [HEADER, *GOOD]))
    yield whole("separated by spaces", text(GOOD, " "), "line 1: there is no header")
    yield _one("too few cells", with_line("9,Elm"), "", "has 2 cells where the header has 9")
    yield _one("too many cells", with_line(",".join(line(9)) + ",,"), "", "has 11 cells where the header has 9")
    yield _one("a quote never closed", with_line('9,"Elm,Antitrust,Partner,Call,1,1,1,False'), "", "quote")
    yield _one("a quote amid a cell", with_line('9,"El"m,Antitrust,Partner,Call,1,1,1,False'), "", "quote")
    yield _one("decimal commas", with_line("9,Elm,Antitrust,Partner,Call,30,400,00,200,00,False"), "", "has 11 cells")
    swallowed = text([line(1, Firm_Name='"Elm'), *GOOD[1:]])
    yield Case("a quote that would swallow the file", swallowed.encode(), accepted=7, refused={2: ("", "quote")})


def headers() -> Iterator[Case]:
    for name, header in {
        "in capitals": [one.upper() for one in HEADER],
        "in small letters": [one.lower() for one in HEADER],
        "with spaces around": [f"  {one} " for one in HEADER],
        "with underscores": [one.replace(" ", "_") for one in HEADER],
        "without spaces": [one.replace(" ", "") for one in HEADER],
    }.items():
        yield fine(f"header {name}", text(GOOD, header=header))
    order = list(reversed(range(len(HEADER))))
    yield fine(
        "columns in another order", text([[row[i] for i in order] for row in GOOD], header=[HEADER[i] for i in order])
    )
    yield fine("a column more", text([[*row, "note"] for row in GOOD], header=[*HEADER, "Note"]))
    yield fine("no column Error", text([row[:-1] for row in GOOD], header=HEADER[:-1]))
    wide = [*HEADER, *(f"c{number}" for number in range(10_000))]
    yield fine("10,000 columns more", text([[*row, *["0"] * 10_000] for row in GOOD], header=wide))
    for position, name in enumerate(HEADER[:-1]):
        rest = HEADER[:position] + HEADER[position + 1 :]
        rows = [row[:position] + row[position + 1 :] for row in GOOD]
        yield whole(
            f"no column {name}",
            text(rows, header=rest),
            f"column {name}: the header lacks this column",
            f"Add: {name}.",
        )
        twice = [*HEADER, name.lower()]
        yield whole(
            f"{name} twice", text([[*row, ""] for row in GOOD], header=twice), f"column {name}", "twice", "Keep one"
        )
    yield whole(
        "no header",
        "".join(",".join(row) + "\n" for row in GOOD),
        "line 1: there is no header",
        "Matter Number, Firm Name",
    )
    yield whole("a title above the header", "Invoices of May\n" + text(GOOD), "line 1: there is no header")
    yield whole("a NUL in the header", text(GOOD).replace("Fee", "F\0ee", 1), "the header holds a NUL character")
    yield whole("a quote open in the header", '"' + text(GOOD), "line 1", "the header")


def other_files() -> Iterator[Case]:
    yield whole("nothing", b"", "line 1: the file is empty", "It needs a header")
    for name, body in {"blanks": b" \n\t\r\n ", "NULs": bytes(100), "line breaks": b"\n" * 5_000}.items():
        yield whole(f"nothing but {name}", body, "line 1: ", "header")
    for name, body, what in (
        ("a PNG picture", b"\x89PNG\r\n\x1a\n" + bytes(80), "is a PNG picture"),
        ("a JPEG picture", b"\xff\xd8\xff\xe0" + bytes(80), "is a JPEG picture"),
        ("a GIF picture", b"GIF89a" + bytes(80), "is a GIF picture"),
        ("a PDF document", b"%PDF-1.7\n", "is a PDF document"),
        ("an old workbook", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(80), "is an old Excel workbook"),
        ("a Parquet file", b"PAR1" + bytes(80), "is a Parquet file"),
        ("the CSV in gzip", gzip.compress(text(GOOD).encode()), "is compressed by gzip"),
        ("a bomb in gzip", gzip.compress(bytes(50_000_000)), "is compressed by gzip"),
        ("a bomb in a zip archive", _zipped(bytes(50_000_000)), "is a zip archive or an Excel workbook"),
        ("random bytes", bytes(range(256)) * 8, "line 1"),
    ):
        yield whole(name, body, what)
    page = "<!DOCTYPE html>\n<html><head><title>403 Forbidden</title></head>\n<body>Denied, sorry</body></html>\n"
    yield whole("an HTML error page", page, "line 1: there is no header")
    yield whole(
        "S3's own error",
        '<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>',
        "line 1: there is no header",
    )
    yield whole("JSON", '[{"Matter Number": "1", "Minutes": 30}]', "line 1", "header")
    yield whole("one word", "hello", "line 1: there is no header")
    yield whole("a header alone", text([]), "0 lines below its header. It needs at least 5")
    yield whole("one line", text(GOOD[:1]), "1 lines below its header. It needs at least 5")
    bad = [line(number, Minutes="abc") for number in range(1, 9)]
    yield whole("all lines bad", text(bad), "line 2, column Minutes: only 0 of 8 lines can be used", "rejected.csv")


def _zipped(body: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("activities.csv", body)
    return archive.getvalue()


def csv_cases() -> list[Case]:
    return [case for group in (numbers, texts, encodings, shapes, headers, other_files) for case in group()]


def cases() -> list[Case]:
    return [*csv_cases(), *ledes_cases()]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.corpus.cases", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to write the files")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(cases()):
        name = re.sub(r"[^a-z0-9]+", "-", case.name.lower()).strip("-")
        ending = "txt" if case.body.startswith(b"LEDES") else "csv"
        (folder / f"{number:03d}-{name[:100]}.{ending}").write_bytes(case.body)
    print(f"{len(cases())} files in {folder}", file=sys.stderr)


if __name__ == "__main__":
    main()
