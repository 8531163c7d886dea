"""Reports as results.py makes them, small enough to reason about."""

from itertools import cycle, islice
from typing import Any

FIRMS = ["Specimen Ash LLP", "Specimen Birch LLP", "Specimen Cedar LLP"]
TYPES = ["Antitrust", "IPO"]
RESOURCES = ["Junior", "Partner", "Senior"]
ACTIVITIES = ["Attend Court", "Phone Call"]
RULES: list[list[str]] = [["minutes_cap"], [], ["rate"], ["arithmetic", "duplicate"]]
FIELDS = ["minutes", "minutes", "fee", "total"]
FOUND_BY = ["both", "model", "rule", "rule"]
PEERS = {
    "label": "Junior, Attend Court, Antitrust",
    "minutes": {"edges": [0, 60, 120, 180, 240], "counts": [10, 50, 30, 10], "low": 40, "median": 95, "high": 190},
    "fee": {"edges": [100, 150, 200], "counts": [60, 40], "low": 110, "median": 145, "high": 190},
}
HOSTILE = [
    '<script>window.hit = 1</script><img src=x onerror="window.hit = 1">',
    "</script><!--<script>",
    "quotes \" ' ` and ${hit} and $$x^2$$",
    "line\u2028separator\u2029and\ttab",
    '=HYPERLINK("http://example.invalid","press")',
    "\u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd",
    "&amp; &lt;b&gt; \\u003c",
    "x" * 200,
]


def line(number: int, rank: int) -> dict[str, Any]:
    """A flagged line; what it holds follows from its rank, and its money runs against its score."""
    field = FIELDS[rank % 4]
    return {
        "line": number,
        "matter_number": str(100 + rank % 7),
        "firm_name": FIRMS[rank % 3],
        "matter_type": TYPES[rank % 2],
        "resource": RESOURCES[rank % 3],
        "activity": ACTIVITIES[rank // 2 % 2],
        "minutes": 300.0 + rank * 5 % 37,
        "fee": 150.0 + rank % 5,
        "total": 750.0 + rank * 13 % 101,
        "error": [True, False, None][rank % 3],
        "score": round(9 - rank / 1000, 4),
        "found_by": FOUND_BY[rank % 4],
        "rules": RULES[rank % 4],
        "field": field,
        "reason": f"{field} of line {number} stands out",
        "expected_low": {"minutes": 60.0, "fee": 120.0, "total": None}[field],
        "expected_high": {"minutes": 180.0, "fee": 180.0, "total": 700.0}[field],
        "shares": {"minutes": 0.75, "fee": 0.2, "resource": 0.05} if rank % 4 != 3 else {},
        "at_stake": 100.5 + rank * 7 % 1009,
        "peers": "p1",
    }


def report(flagged: int = 9, run: str = "run-1") -> dict[str, Any]:
    """A labelled report with the given number of flagged lines; line numbers rise by 3 from 5."""
    lines = [line(5 + 3 * rank, rank) for rank in range(flagged)]
    return {
        "run": run,
        "upload": "incoming/activities.csv",
        "metrics": metrics(lines),
        "lines": lines,
        "peers": {"p1": PEERS},
        "score_histogram": {"edges": [0, 2, 4, 6, 8, 10], "counts": [5000, 800, 90, 0, flagged]},
        "precision_recall": [[0.0, 1.0, 9.5], [0.3, 0.9, 9.0], [0.5, 0.8, 7.0], [1.0, 0.02, 0.1]],
        "firms": firms(lines),
    }


def hostile_report() -> dict[str, Any]:
    """Every text of the report is one of HOSTILE."""
    made = report(flagged=len(HOSTILE), run=HOSTILE[0])
    made["upload"] = HOSTILE[1]
    for shift, flagged in enumerate(made["lines"]):
        texts = list(islice(cycle(HOSTILE), shift, shift + 8))
        for field, text in zip(
            ["firm_name", "matter_number", "matter_type", "resource", "activity", "reason"], texts, strict=False
        ):
            flagged[field] = text
        flagged["rules"] = [texts[6]]
        flagged["field"] = texts[7]
        flagged["shares"] = {texts[0]: 0.6, "minutes": 0.4}
        flagged["peers"] = HOSTILE[0]
    made["peers"] = {HOSTILE[0]: {**PEERS, "label": HOSTILE[0]}}
    made["firms"] = firms(made["lines"])
    return made


def unlabelled_report() -> dict[str, Any]:
    """No label and no peers anywhere."""
    made = report()
    for flagged in made["lines"]:
        flagged.update(error=None, peers=None, shares={}, expected_low=None, expected_high=None)
    made["metrics"].update(precision=None, recall=None, held_out=None, labelled=0)
    made.update(precision_recall=None, peers={})
    return made


def metrics(lines: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "lines_read": 12_012,
        "lines_rejected": 12,
        "lines_train": 6_000,
        "lines_validation": 6_000,
        "labelled": 6_000,
        "threshold": {"value": 7.5, "strategy": "error-median"},
        "flagged": len(lines),
        "matters": len({line["matter_number"] for line in lines}),
        "amount_at_stake": round(sum(line["at_stake"] for line in lines), 2),
        "found_by": {"model": {"lines": 3, "errors": 2}, "rule": {"lines": 4, "errors": 4}},
        "self_test": {"minutes": {"planted": 20, "caught": 19}},
        "held_out": {"precision": 0.76, "precision_interval": [0.7, 0.8], "recall": 0.5, "recall_interval": [0.4, 0.6]},
        "precision": 0.8,
        "recall": 0.5,
    }


def firms(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = dict.fromkeys(line["firm_name"] for line in lines)
    ranked = []
    for name in names:
        own = [line["at_stake"] for line in lines if line["firm_name"] == name]
        ranked.append({"firm_name": name, "lines": 500, "flagged": len(own), "at_stake": sum(own)})
    return sorted(ranked, key=lambda firm: -firm["at_stake"])
