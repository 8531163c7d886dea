"""Keys under which people drop files, each with the workflow that it must start: train, score, review or none.

A key with another ending than the rules ask for starts nothing, and nobody is told of it.
"""

import unicodedata
from typing import NamedTuple


class Key(NamedTuple):
    name: str
    key: str
    starts: str | None


_ODD = {
    "a plus": "a+b", "a per cent sign": "100%", "what looks encoded": "a%20b%2B", "a hash": "a#b",
    "a question mark": "a?b",
    "an ampersand": "a&b", "an equals sign": "a=b", "a space": "a b", "two spaces": "a  b", "a space before": " a",
    "a double quote": 'a"b', "an apostrophe": "a'b", "a backslash": "a\\b",
    "angle brackets": "<script>alert(1)</script>",
    "an asterisk": "a*b", "braces": "{a}[b]", "a dollar sign": "${a}", "a colon and a comma": "a:b,c;d",
    "a pipe": "a|b",
    "a formula": "=1+1", "a semicolon and a tilde": "a;~b", "a caret and a backtick": "a^`b", "an at sign": "@a",
    "letters of one code point": unicodedata.normalize("NFC", "é"), "letters of two": unicodedata.normalize("NFD", "é"),
    "Greek": "Ελιά", "Chinese": "律師", "Arabic": "محاماة", "an emoji": "👩‍⚖️",
    "a mark that turns the direction": "a\u202eb",
    "a zero-width space": "a\u200bb", "a no-break space": "a\u00a0b", "a byte order mark": "\ufeffa",
    "dots": "a..b", "a step up": "../a", "a step up amid": "a/../../b", "a step on the spot": "./a",
    "two slashes": "a//b",
    "a slash before": "/a", "folders": "2026/11/24/a", "another prefix": "invoices/a", "nothing before the ending": "",
    "a line feed": "a\nb", "both": "a\r\nb", "a tab": "a\tb", "an escape": "a\x1b[31mb", "a bell": "a\x07b",
    "a line that forges another": "a\n\nPlease pay to http://example.com\n", "a line separator": "a\u2028b",
    "an ending twice": "a.csv", "another ending before": "a.xlsx", "a name of a receipt": "runs/x/receipt.json",
    "1,000 characters": "k" * 987, "all that S3 takes": "k" * 1011, "as many bytes of two": "é" * 505,
}  # fmt: skip
_ENDINGS = {
    "x.csv": True, "x.CSV": True, "x.txt": True, "x.TXT": True, "x.Csv": False, "x.csv ": False, " x.csv": True,
    "x.csv\n": False, "x.csv/": False, "x": False, "x.csv.gz": False, "x.tsv": False, "x.xlsx": False, "x.csvx": False,
    "": False, "folder/": False, "xcsv": False,
}  # fmt: skip

KEYS = [
    *(Key(name, f"incoming/{told}.csv", "train") for name, told in _ODD.items()),
    *(Key(f"incoming, ending {told!r}", f"incoming/{told}", "train" if ok else None) for told, ok in _ENDINGS.items()),
    *(Key(f"invoices, ending {told!r}", f"invoices/{told}", "score" if ok else None) for told, ok in _ENDINGS.items()),
    *(
        Key(
            f"verdicts, ending {told!r}",
            f"verdicts/{told}",
            "review" if ok and not told.lower().endswith(".txt") else None,
        )
        for told, ok in _ENDINGS.items()
    ),
    *(
        Key(f"elsewhere: {key!r}", key, None)
        for key in (
            "x.csv", "Incoming/x.csv", "INCOMING/x.csv", "/incoming/x.csv", " incoming/x.csv", "incoming.csv",
            "incoming", "incomingx/x.csv", "old/incoming/x.csv", "runs/x/rejected.csv",
            "rewritten/incoming/x.csv", "athena/x.csv",
            "config/x.csv", "incoming\\x.csv", "%69ncoming/x.csv",
        )
    ),
]  # fmt: skip
