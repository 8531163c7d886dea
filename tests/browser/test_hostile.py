"""Texts that try to be markup, script, formula or layout are shown as the texts they are."""

from tests.browser.conftest import NARROW, WIDE
from tests.browser.reports import HOSTILE, hostile_report


def shown(page, selector: str) -> list[str]:
    """The exact text content, without what a rendered text would collapse."""
    return page.js("return [...document.querySelectorAll(arguments[0])].map(node => node.textContent)", selector)


def test_every_text_is_shown_as_it_is(open_page):
    content = hostile_report()
    page = open_page(content)
    lines = content["lines"]
    assert shown(page, "#rows .firm > span bdi") == [line["firm_name"] for line in lines]
    assert shown(page, "#rows .firm small bdi") == [line["matter_number"] for line in lines]
    assert shown(page, "#rows .why > span bdi") == [line["reason"] for line in lines]
    assert set(shown(page, "#firms bdi")) <= set(HOSTILE)
    assert HOSTILE[1] in shown(page, ".origin")[0]
    for line in lines:
        page.select(line["line"])
        assert shown(page, ".reason") == [line["reason"]]
        facts = dict(zip(shown(page, "dt"), shown(page, "dd"), strict=True))
        assert facts["Firm"] == line["firm_name"]
        assert facts["Resource"] == line["resource"]
        assert HOSTILE[0] in shown(page, ".peers figcaption")[0]
    assert page.js("return window.hit === undefined && window.hit2 === undefined")
    assert page.js("return document.images.length") == 0
    assert page.js("return document.scripts.length") == 4  # the data, the policy, BokehJS, the page's own


def test_hostile_texts_filter_and_download(open_page):
    content = hostile_report()
    page = open_page(content)
    for text in HOSTILE:
        page.choose("firm", text)
        assert page.lines() == [line["line"] for line in content["lines"] if line["firm_name"] == text]
    page.choose("firm", "")
    page.one("#verdict-query").click()
    page.one("#download").click()
    file = page.wait(lambda: next(page.downloads.glob("verdicts-*.csv"), None))
    page.wait(lambda: file.stat().st_size)
    quoted = HOSTILE[0].replace('"', '""')
    assert (
        file.read_text(encoding="utf-8") == f'Run,Line,Verdict,Note\n"{quoted}",{content["lines"][-1]["line"]},query,\n'
    )
    assert page.lines()


def test_no_text_breaks_the_layout(open_page):
    page = open_page(hostile_report())
    for size in (NARROW, WIDE):
        page.emulate(size=size)
        assert page.js("return document.documentElement.scrollWidth <= innerWidth")
        assert page.js(
            "return [...document.querySelectorAll('#rows td')].every(cell => cell.scrollWidth <= cell.offsetWidth + 1)"
        )
