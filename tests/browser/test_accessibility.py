"""What can be checked of accessibility by machine: names, focus, order, contrast in both schemes."""

from itertools import pairwise

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.browser.conftest import NARROW
from tests.browser.reports import report

NAMED_ROLES = {
    "button", "combobox", "textbox", "searchbox", "radio", "radiogroup", "group", "link", "progressbar", "image",
    "table", "region", "navigation", "complementary", "dialog", "search", "figure", "columnheader",
}  # fmt: skip

# The contrast of each visible text with the nearest painted page behind it (WCAG 2.2, 1.4.3).
CONTRAST = """
const channels = (text) => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d');
  canvas.fillStyle = text;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const luminance = (text) => {
  const [r, g, b] = channels(text).slice(0, 3).map((value) => value / 255)
    .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const painted = getComputedStyle(at).backgroundColor;
    if (channels(painted)[3] === 255) { return painted; }
  }
  return 'white';
};
const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
const poor = [];
let texts = 0;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  const isSeen = node.checkVisibility({visibilityProperty: true, opacityProperty: true})
    && node.getClientRects().length && walker.currentNode.data.trim()
    && !node.closest(':disabled, .quiet, script, option') && !node.matches('.arrow');
  if (!isSeen) { continue; }
  texts += 1;
  const style = getComputedStyle(node);
  const size = parseFloat(style.fontSize);
  const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  const found = ratio(luminance(style.color), luminance(behind(node)));
  if (found < (isLarge ? 3 : 4.5)) { poor.push([walker.currentNode.data.trim().slice(0, 40), node.className, found]); }
}
return {poor, texts};
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(open_page, scheme: str) -> None:
    page = open_page(report(), scheme=scheme)
    for line, verdict in ((5, "query"), (8, "fine"), (11, "unsure")):
        page.select(line)
        page.one(f"#verdict-{verdict}").click()
        found = page.js(CONTRAST)
        assert found["poor"] == []
        assert found["texts"] > 100
    page.emulate(scheme=scheme, size=NARROW)
    assert page.js(CONTRAST)["poor"] == []
    page.select(5)
    assert page.js(CONTRAST)["poor"] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_take_the_colours_of_the_scheme(open_page, scheme: str) -> None:
    page = open_page(report(), scheme=scheme)
    muted = page.js("return getComputedStyle(document.documentElement).getPropertyValue('--muted').trim()")
    read = "return Bokeh.documents.map((each) => each.roots()[0].below[0].major_label_text_color)"
    assert set(page.js(read)) == {muted}
    page.emulate(scheme={"light": "dark", "dark": "light"}[scheme])
    page.wait(lambda: muted not in page.js(read) and len(page.js(read)) == 3)


def test_everything_has_a_name(open_page):
    page = open_page(report(flagged=60))
    tree = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    seen = [node for node in tree if not node["ignored"]]
    roles = {node["role"]["value"] for node in seen}
    assert {"button", "combobox", "searchbox", "radio", "progressbar", "image", "table", "navigation"} <= roles
    nameless = [
        node["role"]["value"] for node in seen if node["role"]["value"] in NAMED_ROLES and not node["name"]["value"]
    ]
    # A figure is named by what is in it; a group without a name is the body of a fold.
    assert set(nameless) <= {"figure", "group"}
    ids = page.js("return [...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids))
    for attribute in ("for", "aria-labelledby", "aria-describedby", "aria-controls"):
        told = page.js(
            f"return [...document.querySelectorAll('[{attribute}]')].map((n) => n.getAttribute('{attribute}'))"
        )
        assert set(told) <= set(ids), attribute


def test_tables_and_headings_have_their_structure(open_page):
    page = open_page(report())
    assert page.js("return [...document.querySelectorAll('table')].every((table) => table.caption)")
    assert page.js("return [...document.querySelectorAll('th')].every((head) => ['col', 'row'].includes(head.scope))")
    levels = page.js("return [...document.querySelectorAll('h1,h2,h3,h4')].map((head) => Number(head.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.js("return document.documentElement.lang") == "en"
    assert {live.get_attribute("id") for live in page.all('[role="status"]')} == {"count", "said"}


def test_charts_are_told_in_words_and_numbers(open_page):
    page = open_page(report())
    figures = page.all("figure")
    assert len(figures) == 3
    for figure in figures:
        told = page.js("return arguments[0].querySelector('[role=img]').ariaLabel", figure)
        caption = page.js("return arguments[0].querySelector('figcaption').textContent", figure)
        assert caption in told
        assert page.js("return arguments[0].querySelectorAll('tbody tr').length", figure) > 1


def test_the_focus_is_always_seen(open_page):
    page = open_page(report())
    page.one("#verdict-query").click()  # so that the download and the way back can be reached
    page.js("document.querySelector('.skip').focus()")
    seen = []
    for _ in range(80):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        found = page.js(
            "const at = document.activeElement; const drawn = at.type === 'radio' ? at.nextElementSibling : at;"
            "const style = getComputedStyle(drawn); const box = drawn.getBoundingClientRect();"
            "return at === document.body ? null : [at.id || at.dataset.order || at.textContent,"
            " style.outlineStyle, parseFloat(style.outlineWidth), box.bottom > 0 && box.top < innerHeight]"
        )
        if not found:
            break
        seen.append(found)
    assert len(seen) > 30
    assert {name for name, *_ in seen} >= {"download", "text", "firm", "sort", "line", "score", "note", "no-verdict"}
    hidden = [found for found in seen if found[1] == "none" or found[2] < 2 or not found[3]]
    assert hidden == []
