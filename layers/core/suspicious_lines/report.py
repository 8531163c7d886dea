"""The reviewers' page: one HTML file that holds all it shows, its scripts and charts, and asks the network for nothing.

`page/` holds the template, the style and the scripts; the charts are BokehJS, the browser half of the package `bokeh`,
of which CoreLayer carries that one file. Texts of the upload reach the browser as JSON only, never as markup.
"""

import base64
import hashlib
import json
from functools import cache
from html import escape
from importlib import metadata, resources
from pathlib import Path
from string import Template
from typing import Any

BOKEH_FILE = "bokeh/server/static/js/bokeh.min.js"
# In the order in which they need one another; together they are one module.
SCRIPTS = ["text.js", "verdicts.js", "lines.js", "charts.js", "chosen.js", "detail.js", "list.js", "main.js"]
# What could end a <script> or begin a comment in it, and the line ends that JSON has and JavaScript had not.
_JSON_ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})


def report_html(report: dict[str, Any]) -> str:
    """The page of a report: the run, its metrics, the flagged lines, their peers and the firms (see results.py).

    Raises:
        ValueError: a number is not finite; JSON has no word for it.
    """
    metrics, lines = report["metrics"], report["lines"]
    data = script_json(report)
    scripts = {
        "policy": _page_file("policy.js"),
        "bokeh": bokeh_js(),
        "script": "\n".join(_page_file(name) for name in SCRIPTS),
    }
    flagged, stake = _count(metrics["flagged"], "line"), f"{metrics['amount_at_stake']:,.2f}"
    matters = _count(len({line["matter_number"] for line in lines}), "matter")
    firms = _count(len({line["firm_name"] for line in lines}), "firm")
    note = metrics["threshold"].get("note")
    threshold = f"flagged from a score of {metrics['threshold']['value']:.2f}"
    return Template(_page_file("template.html")).substitute(
        scripts,
        script_hashes=" ".join(_csp_hash(script) for script in scripts.values()),
        nonce=nonce_of(data),
        style=_page_file("style.css"),
        data=data,
        title=f"{flagged} to query: {stake} at stake",
        amount=stake,
        lead=f"{flagged} to query, on {matters} of {firms}.",
        origin=escape(
            f"From {report['upload']}: {metrics['lines_read']:,} lines read, {metrics['lines_rejected']:,} refused. "
            f"Run {report['run']}."
        ),
        threshold_words=threshold,
        chosen=escape(
            f"{_count(metrics['lines_validation'], 'line')} scored, {metrics['flagged']:,} {threshold} up. "
            f"The threshold was chosen by the strategy {metrics['threshold']['strategy']}{f': {note}' if note else ''}."
        ),
    )


def nonce_of(data: str) -> str:
    """The nonce of a page's styles: the same at every try, and nothing that is in the page can name it beforehand."""
    return base64.urlsafe_b64encode(hashlib.sha256(data.encode()).digest()[:16]).decode().rstrip("=")


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
