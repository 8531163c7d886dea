"""The selected line: its reason, its peers, its shares; on a narrow screen as well; and how the lines were chosen."""

from selenium.webdriver.common.keys import Keys

from tests.browser.conftest import NARROW
from tests.browser.reports import PEERS, report, unlabelled_report

# What the charts really hold, read from their own models.
MODELS = """
const within = document.querySelector(arguments[0]);
const page = Bokeh.documents.find((candidate) => within.contains(Bokeh.index.get_by_id(candidate.roots()[0].id)?.el));
const plot = page.roots()[0];
const of = (type) => [...plot.center, ...plot.left, ...plot.below].filter((model) => model.type === type);
return {
  mark: of('Span').map((span) => span.location),
  label: of('Label').map((label) => label.text),
  band: of('BoxAnnotation').map((box) => [box.left, box.right]),
  tops: plot.renderers.flatMap((glyph) => glyph.glyph.type === 'Quad' ? [...glyph.data_source.data.top] : []),
  types: plot.renderers.map((glyph) => glyph.glyph.type),
};
"""


def picture(page, within: str) -> dict:
    page.wait_until_drawn()
    return page.js(MODELS, within)


def painted(page, within: str) -> bool:
    """Whether the chart's canvas holds a pixel."""
    return page.js(
        "const host = document.querySelector(arguments[0]);"
        "const find = (node) => node.querySelector?.('canvas') ?? [...node.children].map((child) =>"
        " (child.shadowRoot && find(child.shadowRoot)) || find(child)).find(Boolean);"
        "const canvas = find(host);"
        "const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);"
        "return data.some((value) => value > 0)",
        within,
    )


def test_a_line_among_its_peers(open_page):
    content = report()
    page = open_page(content)
    page.select(17)  # a line about its minutes
    line = content["lines"][4]
    assert page.text("#detail-heading") == "Line 17"
    assert page.text(".reason") == line["reason"]
    assert page.text(".detail-stake") == "128.50 at stake"
    assert page.text(".expected") == "Expected: 60 to 180 minutes"
    assert "Junior, Attend Court, Antitrust" in page.text(".peers figcaption").replace("\u2068", "").replace(
        "\u2069", ""
    )
    assert f"This line: {line['minutes']:g} minutes, above nearly all of them." in page.text(".peers figcaption")

    drawn = picture(page, ".peers")
    assert drawn["mark"] == [line["minutes"]]
    assert drawn["label"] == [f"{line['minutes']:g} min"]
    assert drawn["band"] == [[60, 180]]
    assert drawn["tops"] == PEERS["minutes"]["counts"]
    assert painted(page, ".peers .plot")
    assert [item.text.split() for item in page.all(".shares li")] == [
        ["Minutes", "75%"],
        ["Rate", "20%"],
        ["Resource", "5%"],
    ]

    page.one("#peers-field-fee").click()
    drawn = picture(page, ".peers")
    assert drawn["mark"] == [line["fee"]]
    assert drawn["band"] == [[PEERS["fee"]["low"], PEERS["fee"]["high"]]]
    assert "usually 110.00 to 190.00 an hour" in page.text(".peers figcaption")


def test_the_field_in_question_is_compared_first(open_page):
    page = open_page(report())
    page.select(11)  # a line about its rate
    assert page.one("#peers-field-fee").is_selected()
    assert picture(page, ".peers")["band"] == [[120, 180]]
    assert page.text(".expected") == "Expected: 120.00 to 180.00 an hour"
    page.select(14)  # about its total, of which only the upper end is known
    assert page.text(".expected") == "Expected: up to 700.00"


def test_a_value_off_the_scale_is_marked_at_the_edge(open_page):
    content = report()
    content["lines"][0]["minutes"] = 90_000
    page = open_page(content)
    drawn = picture(page, ".peers")
    assert drawn["mark"] == [720]
    assert drawn["label"] == ["90,000 min →"]


def test_from_line_to_line(open_page):
    page = open_page(report())
    assert not page.all(".step")[0].is_enabled()
    page.all(".step")[1].send_keys(Keys.ENTER)
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert page.text("#detail-heading") == "Line 11"
    assert [row.get_attribute("data-line") for row in page.all("#rows tr.selected")] == ["11"]
    assert [row.text.split()[:2] for row in page.all('#rows tr:has([aria-current="true"])')] == [["Line", "11"]]


def test_how_the_lines_were_chosen(open_page):
    page = open_page(report())
    scores = picture(page, "#pictures figure:nth-of-type(1)")
    assert scores["mark"] == [7.5]
    assert scores["tops"] == [5000, 800, 90, 9]
    curve = picture(page, "#pictures figure:nth-of-type(2)")
    assert curve["types"] == ["Line", "Scatter"]
    assert "76% (70% to 80%)" in page.text(".tables")
    assert "Self-test" in page.text(".tables")
    page.all("#pictures summary")[0].click()
    assert page.all("#pictures details")[0].text.splitlines()[2:5] == [
        "Score Lines",
        "0.00 to 2.00 5,000",
        "2.00 to 4.00 800",
    ]


def test_without_labels_and_peers(open_page):
    page = open_page(unlabelled_report())
    assert len(page.all("#pictures figure")) == 1
    assert "Label in the upload" not in page.text("#detail")
    assert "There are no peers to compare this line with." in page.text("#detail")
    assert not page.all(".shares, .expected")


def test_on_a_narrow_screen_the_line_lies_over_the_page(open_page):
    page = open_page(report(), size=NARROW)
    assert page.js("return document.documentElement.scrollWidth <= innerWidth")
    assert not page.one("#detail").is_displayed()
    page.select(11)
    assert page.one("#detail").is_displayed()
    assert page.one("#detail").get_attribute("role") == "dialog"
    assert page.js("return document.activeElement.id") == "detail-heading"
    assert page.js("return document.querySelector('.list').inert")
    page.one("#verdict-query").click()
    page.one("#close").click()
    assert not page.one("#detail").is_displayed()
    assert page.js("return document.activeElement.closest('tr').dataset.line") == "11"
    assert page.text('[data-line="11"] .badge') == "Query"
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not page.one("#detail").is_displayed()
    assert not page.one("#firm").is_displayed()
    page.one("#more-filters").click()
    assert page.one("#firm").is_displayed()
    assert page.one("#more-filters").get_attribute("aria-expanded") == "true"
