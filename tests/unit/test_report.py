"""The reviewers' page as a file: one document, closed to the network, that no text of an upload can break open."""

import base64
import hashlib
import json
from html.parser import HTMLParser
from typing import Any

import pytest

from suspicious_lines.report import bokeh_js, report_html, script_json
from tests.browser.reports import HOSTILE, hostile_report, report


class Document(HTMLParser):
    """The elements of a page as a browser's parser would see them, and what scripts and styles hold."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.held: list[tuple[str, dict[str, str | None], str]] = []
        self.is_holding = False
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.is_holding = tag in ("script", "style", "title")
        if self.is_holding:
            self.held.append((tag, dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self.is_holding = False

    def handle_data(self, data: str) -> None:
        if self.is_holding:
            tag, attributes, before = self.held[-1]
            self.held[-1] = (tag, attributes, before + data)
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def policy(self) -> dict[str, list[str]]:
        content = next(m["content"] for m in self.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
        assert content
        return {words[0]: words[1:] for directive in content.split(";") if (words := directive.split())}


@pytest.fixture(scope="module")
def page() -> Document:
    return Document(report_html(report()))


def test_the_policy_lets_only_the_pages_own_scripts_and_styles_run(page: Document) -> None:
    policy = page.policy()
    assert policy["default-src"] == ["'none'"]
    assert policy["base-uri"] == policy["form-action"] == ["'none'"]
    assert set(policy) == {"default-src", "script-src", "style-src", "img-src", "base-uri", "form-action"}
    assert not [word for words in policy.values() for word in words if "unsafe" in word or "http" in word]

    scripts = [
        text for tag, attributes, text in page.held if tag == "script" and attributes.get("type") != "application/json"
    ]
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    assert len(scripts) == 3
    assert policy["script-src"] == [f"'sha256-{digest}'" for digest in digests]
    assert [f"'nonce-{attributes['nonce']}'" for attributes in page.all("style")] == policy["style-src"]


def test_the_nonce_is_the_pages_own_and_a_retry_writes_the_same_bytes(page: Document) -> None:
    assert report_html(report()) == report_html(report())
    assert page.policy()["style-src"] != Document(report_html(report() | {"run": "another"})).policy()["style-src"]


def test_nothing_points_outside(page: Document) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href", "action", "srcset", "data"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)
        assert not [name for name in attributes if name.startswith("on")]
    style = next(text for tag, _, text in page.held if tag == "style")
    assert "@import" not in style
    assert "url(" not in style


def test_no_script_holds_what_would_end_it(page: Document) -> None:
    for tag, _, text in page.held:
        assert tag == "title" or not {"</script", "<!--", "</style"} & {
            text[at : at + length].lower() for length in (8, 4, 7) for at in range(len(text)) if text[at] == "<"
        }


def test_the_data_comes_back_as_it_went_in() -> None:
    for content in (report(), hostile_report()):
        document = Document(report_html(content))
        held = next(text for tag, attributes, text in document.held if attributes.get("id") == "report")
        assert json.loads(held) == content
        assert not set(held) & set("<>&\u2028\u2029")


def test_hostile_texts_add_no_element(page: Document) -> None:
    hostile = Document(report_html(hostile_report()))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in page.elements]
    assert any(HOSTILE[1] in text for text in hostile.texts)


def test_script_json_escapes_only_what_html_and_scripts_end_on() -> None:
    assert (
        script_json({"a": "</script>&\u2028\u2029é\"'"}) == '{"a":"\\u003c/script\\u003e\\u0026\\u2028\\u2029é\\"\'"}'
    )


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_refused(number: float) -> None:
    content = report()
    content["lines"][0]["score"] = number
    with pytest.raises(ValueError, match="not JSON compliant"):
        report_html(content)


def test_the_charts_carry_their_licence(page: Document) -> None:
    bokeh = next(text for _, _, text in page.held if text == bokeh_js())
    assert "Bokeh Contributors" in bokeh[:2000]
    assert "Redistributions in binary form must reproduce" in bokeh[:2000]


def change(**metrics: Any) -> dict[str, Any]:
    content = report(flagged=1)
    content["metrics"].update(metrics)
    return content


def test_the_headline_counts_in_words() -> None:
    threshold = {"value": 7.5, "strategy": "budget", "note": "no line has a label."}
    texts = " ".join(Document(report_html(change(amount_at_stake=38_211.0, threshold=threshold))).texts)
    assert "1 line to query: 38,211.00 at stake" in texts
    assert "1 line to query, on 1 matter of 1 firm." in texts
    assert "From incoming/activities.csv: 12,012 lines read, 12 refused. Run run-1." in texts
    assert "6,000 lines scored, 1 flagged from a score of 7.50 up." in texts
    assert "strategy budget: no line has a label." in texts


def test_without_a_script_the_reader_learns_where_the_lines_are(page: Document) -> None:
    assert any("suspicious_lines.csv" in text for text in page.texts)
