"""The reviewers' page: one HTML file that holds all it shows, its scripts and charts, and asks the network for nothing.

`page/` holds the template, the style and the scripts; the charts are BokehJS, the browser half of the package `bokeh`,
of which CoreLayer carries that one file. Texts of the upload reach the browser as JSON only, never as markup.
"""

import base64
import hashlib
import json
import secrets
from functools import cache
from html import escape
from importlib import metadata, resources
from pathlib import Path
from string import Template
from typing import Any

import pandas as pd

from suspicious_lines.quality import Metrics

BOKEH_FILE = "bokeh/server/static/js/bokeh.min.js"
# In the order in which they need one another; together they are one module.
SCRIPTS = ["text.js", "verdicts.js", "lines.js", "charts.js", "chosen.js", "detail.js", "list.js", "main.js"]
# What could end a <script> or begin a comment in it, and the line ends that JSON has and JavaScript had not.
_JSON_ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})


def report_html(report: Any, *table: Any) -> str:
    """The page of a report: the run, its metrics, the flagged lines, their peers and the firms (see results.py).

    Raises:
        ValueError: a number is not finite; JSON has no word for it.
    """
    if table:  # the call of before: (key, flagged, metrics)
        return _table_html(report, *table)
    metrics, lines = report["metrics"], report["lines"]
    nonce = secrets.token_urlsafe(16)
    scripts = {
        "policy": _page_file("policy.js"),
        "bokeh": bokeh_js(),
        "script": "\n".join(_page_file(name) for name in SCRIPTS),
    }
    flagged, stake = _count(metrics["flagged"], "line"), f"{metrics['amount_at_stake']:,.2f}"
    matters = _count(len({line["matter_number"] for line in lines}), "matter")
    firms = _count(len({line["firm_name"] for line in lines}), "firm")
    threshold = f"flagged from a score of {metrics['threshold']['value']:.2f}"
    return Template(_page_file("template.html")).substitute(
        scripts,
        script_hashes=" ".join(_csp_hash(script) for script in scripts.values()),
        nonce=nonce,
        style=_page_file("style.css"),
        data=script_json(report),
        title=f"{flagged} to query: {stake} at stake",
        amount=stake,
        lead=f"{flagged} to query, on {matters} of {firms}.",
        origin=escape(
            f"From {report['upload']}: {metrics['lines_read']:,} lines read, {metrics['lines_rejected']:,} refused. "
            f"Run {report['run']}."
        ),
        threshold_words=threshold,
        chosen=escape(
            f"Of {_count(metrics['lines_validation'], 'line')} scored, {metrics['flagged']:,} were {threshold}. "
            f"The threshold was chosen by the strategy {metrics['threshold']['strategy']}."
        ),
    )


def script_json(document: Any) -> str:
    """JSON that may stand inside a <script> element, whatever its texts hold."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(_JSON_ESCAPES)


@cache
def bokeh_js() -> str:
    """BokehJS with its licence, from the installed package; to import `bokeh` itself takes all that it depends on."""
    return Path(str(metadata.distribution("bokeh").locate_file(BOKEH_FILE))).read_text(encoding="utf-8")


@cache
def _page_file(name: str) -> str:
    return (resources.files("suspicious_lines") / "page" / name).read_text(encoding="utf-8")


def _csp_hash(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1b1f24; }}
table {{ border-collapse: collapse; width: 100%; font-size: .9rem; }}
th, td {{ text-align: left; padding: .4rem .6rem; border-bottom: 1px solid #d5dae0; vertical-align: top; }}
td.number, th.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
.scroll {{ overflow-x: auto; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{summary}</p>
<div class="scroll" tabindex="0" role="region" aria-label="Lines to query">
<table>
<caption>Lines to query, worst first</caption>
<thead><tr>{header}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>
</body>
</html>
"""
_COLUMNS = {
    "line": "Line",
    "matter_number": "Matter",
    "firm_name": "Firm",
    "matter_type": "Matter type",
    "resource": "Resource",
    "activity": "Activity",
    "minutes": "Minutes",
    "fee": "Rate",
    "total": "Total",
    "score": "Score",
    "reason": "Why",
}
_NUMBERS = {"line": "d", "minutes": "g", "fee": ",.2f", "total": ",.2f", "score": ".3f"}


def _table_html(key: str, flagged: pd.DataFrame, metrics: Metrics) -> str:
    """The page for the flagged lines, in the given order; every text of the upload is escaped."""
    title = f"{metrics.flagged} lines to query: {metrics.amount_at_stake:,.2f} at stake"
    summary = (
        f"From {key}: {metrics.lines_read:,} lines read, {metrics.lines_rejected:,} refused, "
        f"{metrics.lines_validation:,} scored. A line is listed from a score of {metrics.threshold.value:.3f} "
        f"(strategy: {metrics.threshold.strategy})."
    )
    header = "".join(f'<th scope="col"{_class(column)}>{name}</th>' for column, name in _COLUMNS.items())
    rows = "\n".join(
        "<tr>" + "".join(_cell(column, value) for column, value in zip(_COLUMNS, line, strict=True)) + "</tr>"
        for line in flagged[list(_COLUMNS)].itertuples(index=False)
    )
    return _PAGE.format(title=escape(title), summary=escape(summary), header=header, rows=rows)


def _class(column: str) -> str:
    return ' class="number"' if column in _NUMBERS else ""


def _cell(column: str, value: object) -> str:
    return f"<td{_class(column)}>{escape(format(value, _NUMBERS.get(column, '')))}</td>"
