"""Verdicts and notes: given by keyboard, kept by the browser, handed over as a file."""

import csv
from pathlib import Path

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from suspicious_lines.spreadsheet import neutralise
from tests.browser.reports import report


def press(page, *keys: str) -> None:
    for key in keys:
        ActionChains(page.driver).send_keys(key).perform()


def tab_to(page, selector: str) -> None:
    """Presses Tab until the element has the focus: it can be reached by keyboard."""
    for _ in range(60):
        press(page, Keys.TAB)
        if page.js("return document.activeElement.matches(arguments[0])", selector):
            return
    raise AssertionError(f"{selector} cannot be reached by Tab")


def downloaded(page, name: str) -> bytes:
    file: Path = page.downloads / name
    page.wait(lambda: file.exists() and file.stat().st_size)
    return file.read_bytes()


def test_verdicts_and_a_note_by_keyboard_alone(open_page):
    page = open_page(report())
    tab_to(page, "#rows tr:first-child button")
    press(page, "q", Keys.ARROW_DOWN, Keys.ARROW_DOWN, "f", "n")
    press(page, "ask for the time sheet, qfu", Keys.ESCAPE)
    press(page, Keys.ARROW_DOWN, "u", Keys.ARROW_UP, Keys.ARROW_UP, "q")
    assert page.text("#given") == "4 of 9 lines have a verdict"
    assert page.one("#progress").get_attribute("value") == "4"
    badges = [cell.text.split()[0] for cell in page.all("#rows .badge")]
    assert badges == ["Query", "Query", "Fine", "Unsure", *["Open"] * 5]
    assert "Line 8: Query. 4 of 9 lines have a verdict." in page.one("#said").get_attribute("textContent")

    page.reload()
    assert page.text("#given") == "4 of 9 lines have a verdict"
    page.select(11)
    assert page.one("#verdict-fine").is_selected()
    assert page.one("#note").get_attribute("value") == "ask for the time sheet, qfu"

    page.one("#brand, .brand").click()
    page.js("document.activeElement.blur(); window.scrollTo(0, 0)")
    page.one("#download").send_keys(Keys.ENTER)
    assert downloaded(page, "verdicts-run-1.csv") == (
        b"Run,Line,Verdict,Note\r\n"
        b"run-1,5,query,\r\n"
        b"run-1,8,query,\r\n"
        b'run-1,11,fine,"ask for the time sheet, qfu"\r\n'
        b"run-1,14,unsure,\r\n"
    )


def test_radio_buttons_and_taking_a_verdict_back(open_page):
    page = open_page(report())
    page.select(8)
    tab_to(page, "#verdict-query")
    press(page, Keys.SPACE, Keys.ARROW_RIGHT)
    assert page.one("#verdict-fine").is_selected()
    assert page.text("#rows tr:nth-child(2) .badge") == "Fine"
    tab_to(page, "#no-verdict")
    press(page, Keys.ENTER)
    assert page.text("#given") == "0 of 9 lines have a verdict"
    assert not page.one("#download").is_enabled()
    assert not page.one("#no-verdict").is_displayed()


def test_a_note_needs_a_verdict_to_be_handed_over(open_page):
    page = open_page(report())
    page.one("#note").send_keys("only a note")
    assert page.text("#note-hint") == "A note is handed over together with a verdict: give one."
    assert not page.one("#download").is_enabled()
    page.reload()
    assert page.one("#note").get_attribute("value") == "only a note"


def test_notes_reach_the_file_whole_and_harmless(open_page):
    notes = [
        "=1+1",
        "+44 20 7946 0000",
        "-5 minutes",
        "@firm",
        'said "no", twice',
        "two\nlines",
        "שלום, größer, 発票",
        " padded ",
        "plain",
    ]
    content = report(run="=weekly run")
    page = open_page(content)
    for line, note in zip(content["lines"], notes, strict=True):
        page.select(line["line"])
        page.js(
            "const n = document.getElementById('note'); n.value = arguments[0]; n.dispatchEvent(new Event('input'))",
            note,
        )
        page.one("#verdict-query").click()
    page.one("#download").click()
    content_bytes = downloaded(page, "verdicts--weekly-run.csv")
    assert content_bytes.startswith(b"Run,Line,Verdict,Note\r\n'=weekly run,5,query,'=1+1\r\n")
    rows = list(csv.reader(content_bytes.decode().splitlines(keepends=True)))[1:]
    # The rule is the library's own, so that what it neutralises on its side can be told apart.
    assert [row[3] for row in rows] == [neutralise(note.strip()) for note in notes]
    assert [int(row[1]) for row in rows] == [line["line"] for line in content["lines"]]
    assert {row[0] for row in rows} == {"'=weekly run"}


def test_runs_do_not_share_verdicts(open_page):
    page = open_page(report(run="run-1"))
    page.one("#verdict-query").click()
    page = open_page(report(run="run-2"), name="other")
    assert page.text("#given") == "0 of 9 lines have a verdict"
    page = open_page(report(run="run-1"))
    assert page.text("#given") == "1 of 9 lines have a verdict"


def test_a_verdict_of_another_window_arrives(open_page):
    page = open_page(report())
    key, kept = "suspicious-lines/verdicts/run-1", '{"8": {"verdict": "fine", "note": ""}}'
    page.js(
        "localStorage.setItem(...arguments); dispatchEvent(new StorageEvent('storage', {key: arguments[0]}))", key, kept
    )
    assert page.text("#given") == "1 of 9 lines have a verdict"
    assert page.text('[data-line="8"] .badge') == "Fine"


def test_kept_nonsense_is_ignored(open_page):
    page = open_page(report())
    kept = {
        "{": 0,
        '{"5": {"verdict": "burn", "note": 3}, "999": {"verdict": "fine"}, "8": {"verdict": "fine"}, "x": 1}': 1,
    }
    for text, known in kept.items():
        page.js("localStorage.setItem('suspicious-lines/verdicts/run-1', arguments[0])", text)
        page.reload()
        assert page.text("#given") == f"{known} of 9 lines have a verdict"


def test_without_storage_everything_works_but_remembering(open_page):
    denied = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError') }})"
    page = open_page(report())
    added = page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": denied})
    try:
        page.reload()
        assert "download them before you close it" in page.text("#unkept")
        page.one("#verdict-unsure").click()
        assert page.text("#given") == "1 of 9 lines have a verdict"
        page.one("#download").click()
        assert downloaded(page, "verdicts-run-1.csv") == b"Run,Line,Verdict,Note\r\nrun-1,5,unsure,\r\n"
    finally:
        page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
        page.reload()
    assert not page.one("#unkept").is_displayed()
