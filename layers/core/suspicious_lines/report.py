"""The reviewer's page: one self-contained HTML file."""

from html import escape

import pandas as pd

from suspicious_lines.quality import Metrics

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


def report_html(key: str, flagged: pd.DataFrame, metrics: Metrics) -> str:
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
