"""The list of the reviewers' page: the money, sorting, filtering, paging, printing."""

from collections.abc import Callable
from typing import Any

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.reports import report

MOST_ROWS = 50  # in the document at a time
HEADINGS = {
    "score": ("score", "descending"),
    "at_stake": ("at_stake", "descending"),
    "total": ("total", "descending"),
    "firm": ("firm_name", "ascending"),
    "line": ("line", "ascending"),
}
FILTERS: dict[tuple[str, str], Callable[[dict[str, Any]], bool]] = {
    ("firm", "Specimen Birch LLP"): lambda line: line["firm_name"] == "Specimen Birch LLP",
    ("type", "IPO"): lambda line: line["matter_type"] == "IPO",
    ("resource", "Partner"): lambda line: line["resource"] == "Partner",
    ("reason", "rule:duplicate"): lambda line: "duplicate" in line["rules"],
    ("reason", "field:fee"): lambda line: line["field"] == "fee",
    ("found", "rule"): lambda line: line["found_by"] == "rule",
    ("verdict", "none"): lambda line: True,
    ("verdict", "query"): lambda line: False,
}


def numbers(lines: list[dict[str, Any]]) -> list[int]:
    return [line["line"] for line in lines]


def test_the_money_comes_first(open_page):
    page = open_page(report())
    assert page.driver.title == "9 lines to query: 1,156.50 at stake"
    assert page.text("h1").splitlines() == ["Money at stake", "1,156.50"]
    assert page.text(".lead") == "9 lines to query, on 7 matters of 3 firms."
    assert page.text("#count") == "9 lines, 1,156.50 at stake"
    assert page.lines() == numbers(report()["lines"])


def test_firms_are_ranked_by_money_and_filter_the_list(open_page):
    content = report(flagged=30)
    page = open_page(content)
    assert [cell.text for cell in page.all("#firms .firm-name")] == [firm["firm_name"] for firm in content["firms"]]
    widest = [page.js("return arguments[0].offsetWidth", bar) for bar in page.all("#firms .share")]
    assert widest == sorted(widest, reverse=True)
    assert widest[-1] > 0
    second = content["firms"][1]["firm_name"]
    page.all("#firms button")[1].click()
    assert page.lines() == numbers([line for line in content["lines"] if line["firm_name"] == second])


def test_a_heading_sorts_and_turns_round(open_page):
    content = report(flagged=20)
    page = open_page(content)
    turned = {"ascending": "descending", "descending": "ascending"}
    for column, (field, first) in HEADINGS.items():
        for direction in (first, turned[first]):
            page.one(f'[data-order="{column}"]').send_keys(Keys.ENTER)
            assert page.one(f'th:has([data-order="{column}"])').get_attribute("aria-sort") == direction
            # Python's sort is stable, as the page's is: equal lines stay worst first in both directions.
            sign = {"ascending": 1, "descending": -1}[direction]
            levels = sorted({line[field] for line in content["lines"]})
            assert page.lines() == numbers(sorted(content["lines"], key=lambda x: sign * levels.index(x[field]))), (
                column
            )
            assert page.driver.switch_to.active_element.get_attribute("data-order") == column
        assert len(page.all("th[aria-sort]:not([aria-sort=none])")) == 1


def by_number(content: dict[str, Any], number: int) -> dict[str, Any]:
    return next(line for line in content["lines"] if line["line"] == number)


def test_orders_without_a_heading_are_in_the_menu(open_page):
    content = report(flagged=20)
    page = open_page(content)
    page.choose("sort", "minutes")
    minutes = [by_number(content, number)["minutes"] for number in page.lines()]
    assert minutes == sorted(minutes, reverse=True)
    page.one("#direction").click()
    assert [by_number(content, number)["minutes"] for number in page.lines()] == sorted(minutes)
    page.choose("sort", "rank")
    assert page.lines() == numbers(content["lines"])


def test_filters(open_page):
    content = report(flagged=20)
    page = open_page(content)
    for (name, value), passes in FILTERS.items():
        page.choose(name, value)
        kept = [line for line in content["lines"] if passes(line)]
        stake = sum(line["at_stake"] for line in kept)
        assert page.lines() == numbers(kept), (name, value)
        assert page.text("#count") == f"{len(kept)} of 20 lines, {stake:,.2f} at stake"
        assert page.one("#none").is_displayed() == (not kept)
        page.one("#clear").click()
        assert page.lines() == numbers(content["lines"])


def test_filters_and_words_narrow_together(open_page):
    content = report(flagged=20)
    page = open_page(content)
    page.choose("type", "Antitrust")
    page.one("#text").send_keys("CEDAR  court")
    kept = [
        line
        for line in content["lines"]
        if line["matter_type"] == "Antitrust" and "Cedar" in line["firm_name"] and line["activity"] == "Attend Court"
    ]
    assert kept
    assert page.lines() == numbers(kept)
    assert page.text("#detail-heading") == f"Line {kept[0]['line']}"


def test_five_thousand_lines_are_shown_a_page_at_a_time(open_page):
    content = report(flagged=5000)
    page = open_page(content)
    assert page.lines() == numbers(content["lines"][:MOST_ROWS])
    page.one("#next-page").click()
    assert page.lines() == numbers(content["lines"][MOST_ROWS : 2 * MOST_ROWS])
    assert page.text("#page") == "Page 2 of 100"

    page.one('[data-order="at_stake"]').click()
    best = max(line["at_stake"] for line in content["lines"])
    assert by_number(content, page.lines()[0])["at_stake"] == best
    page.one("#text").send_keys(str(content["lines"][4321]["line"]))
    assert content["lines"][4321]["line"] in page.lines()
    assert len(page.lines()) <= MOST_ROWS
    page.one("#clear").click()

    last = page.all("#rows button")[-1]
    last.click()
    last.send_keys(Keys.ARROW_DOWN)
    assert page.text("#page") == "Page 2 of 100"
    assert len(page.lines()) == MOST_ROWS
    active = page.driver.switch_to.active_element
    assert active.find_element(By.XPATH, "./ancestor::tr").get_attribute("data-line") == str(page.lines()[0])


def test_paper_holds_every_chosen_line_and_no_control(open_page):
    content = report(flagged=180)  # more seniors than fit a page
    page = open_page(content)
    page.choose("resource", "Senior")
    page.one("#note").send_keys("on paper too")
    kept = numbers([line for line in content["lines"] if line["resource"] == "Senior"])
    page.choose("resource", "")
    assert len(page.lines()) == MOST_ROWS
    page.emulate(media="print")
    page.wait(lambda: page.lines() == numbers(content["lines"]))
    page.emulate(media="")
    page.wait(lambda: len(page.lines()) == MOST_ROWS)
    page.choose("resource", "Senior")
    page.emulate(media="print")
    page.wait(lambda: page.lines() == kept)
    rows = page.all("#rows tr")
    assert rows[0].is_displayed()
    assert rows[-1].is_displayed()
    assert page.one("h1").is_displayed()
    assert "on paper too" in rows[0].text
    controls = page.all("select, input, textarea, progress, .pages, #detail, #pictures, #download, #clear")
    assert len(controls) > 10
    assert not [control.tag_name for control in controls if control.is_displayed()]
    page.emulate(media="")


def test_a_report_without_a_line(open_page):
    content = report(flagged=0)
    page = open_page(content)
    assert page.text("#none") == "No line is flagged."
    assert page.text("#detail-heading") == "No line selected"
    assert page.text(".lead") == "0 lines to query, on 0 matters of 0 firms."
