"""The page of a day's drift report: one HTML file without scripts."""

from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from suspicious_lines.drift_mail import words
from suspicious_lines.report import nonce_of

_WIDTH, _HEIGHT = 320, 72


def drift_html(report: dict[str, Any]) -> str:
    """`report`: the document of monitoring.DriftReport."""
    page = files("suspicious_lines") / "page"
    measures = report["measures"]
    drifted = sum(measure["drifted"] for measure in measures)
    if report["note"]:
        headline = f"Not judged: {report['note']}."
    else:
        headline = f"{drifted} of {len(measures)} measures have drifted." if drifted else "No drift."
    origin = escape(_origin(report))
    told = "\n".join(_measure(measure) for measure in sorted(measures, key=lambda found: not found["drifted"]))
    return Template((page / "drift.html").read_text(encoding="utf-8")).substitute(
        nonce=nonce_of(origin + told),
        style=(page / "style.css").read_text(encoding="utf-8"),
        title=escape(f"{report['day']}: {headline}"),
        headline=escape(headline),
        origin=origin,
        measures=told,
    )


def _origin(report: dict[str, Any]) -> str:
    if not report["model_run"]:
        return str(report["day"])
    other = report["lines_of_other_models"]
    return (
        f"{report['day']}: {report['lines']:,} lines of {report['matters']:,} matters, scored by the model of run "
        f"{report['model_run']} (promoted {report['promoted_at']}, threshold {report['threshold']:.2f})."
        + (f" {other:,} lines of other models are left out." if other else "")
    )


def _measure(measure: dict[str, Any]) -> str:
    state = "drifted" if measure["drifted"] else "usual"
    chart = _chart(measure["bins"]) if measure["bins"] else ""
    return (
        f'<section class="measure {state}"><h2>{escape(measure["name"])} <span class="state">{state}</span></h2>'
        f"<p>{escape(words(measure))}</p>{chart}</section>"
    )


def _chart(bins: list[dict[str, Any]]) -> str:
    """Bars of the baseline's and of the day's shares, side by side, and the same as a table for who cannot see them."""
    most = max(max(found["baseline"], found["day"]) for found in bins) or 1
    step = _WIDTH / len(bins)
    bars = []
    for place, found in enumerate(bins):
        for side, kind in enumerate(("baseline", "day")):
            height = found[kind] / most * _HEIGHT
            x, y, width = place * step + step * (0.12 + 0.38 * side), _HEIGHT - height, step * 0.36
            bars.append(f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>')
    rows = "".join(
        f"<tr><th scope='row'>{escape(found['label'])}</th>"
        f"<td>{found['baseline']:.1%}</td><td>{found['day']:.1%}</td></tr>"
        for found in bins
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" aria-hidden="true">{"".join(bars)}</svg>'
        "<details><summary>Shares</summary><table><thead><tr><th scope='col'>bin</th><th scope='col'>baseline</th>"
        f"<th scope='col'>day</th></tr></thead><tbody>{rows}</tbody></table></details>"
    )
