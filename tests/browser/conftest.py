"""A real, headless Chromium that opens the reviewers' page from a file and keeps what it complains of."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from suspicious_lines.report import report_html

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--lang=en",
]
WIDE, NARROW = (1280, 900), (390, 844)
PATIENCE_SECONDS = 20


class Page:
    """An open report: what a reviewer sees and does."""

    def __init__(self, driver: webdriver.Chrome, address: str, downloads: Path) -> None:
        self.driver, self.address, self.downloads = driver, address, downloads

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return self.one(selector).text

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition: Callable[[], Any]) -> Any:
        return WebDriverWait(self.driver, PATIENCE_SECONDS, 0.05).until(lambda _: condition())

    def reload(self) -> None:
        self.driver.refresh()
        self.wait_until_drawn()

    def wait_until_drawn(self) -> None:
        self.wait(lambda: self.js("return document.querySelectorAll('.plot').length === Bokeh.documents.length"))

    def choose(self, select: str, value: str) -> None:
        self.js(
            "const s = document.getElementById(arguments[0]); s.value = arguments[1];"
            "s.dispatchEvent(new Event('change', {bubbles: true}))",
            select,
            value,
        )

    def lines(self) -> list[int]:
        """The numbers of the lines in the document's table, from the top."""
        return self.js("return [...document.querySelectorAll('#rows tr')].map(row => Number(row.dataset.line))")

    def select(self, line: int) -> None:
        self.one(f'#rows tr[data-line="{line}"] button').click()

    def complaints(self) -> list[str]:
        """What the console says, refused content and script errors included."""
        return [
            entry["message"] for entry in self.driver.get_log("browser") if "setting log level" not in entry["message"]
        ]

    def requests(self) -> set[str]:
        """The addresses asked for since the last call, without the page's own and what it holds itself."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = {
            event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"
        }
        return {url for url in asked if url != self.address and not url.startswith(("data:", "blob:"))}

    def emulate(self, media: str = "", scheme: str = "light", size: tuple[int, int] = WIDE) -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="session")
def driver(downloads: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    browser = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
    chromedriver = shutil.which("chromedriver")
    if not browser or not chromedriver:
        message = "no Chromium here: apt-get install chromium chromium-driver (Debian)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(chromedriver))
    yield chrome
    chrome.quit()


@pytest.fixture
def open_page(driver: webdriver.Chrome, downloads: Path, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Writes a report's page and opens it; afterwards nothing of it is left in the browser.

    A page must not complain and must not ask the network for anything, whatever the test is about.
    """
    opened: list[Page] = []

    def open_report(report: dict[str, Any], name: str = "report", **look: Any) -> Page:
        file = tmp_path / f"{name}.html"
        file.write_text(report_html(report), encoding="utf-8")
        page = Page(driver, file.as_uri(), downloads)
        page.emulate(**look)
        driver.get_log("performance")
        driver.get(page.address)
        page.wait_until_drawn()
        opened.append(page)
        return page

    yield open_report
    for page in opened[-1:]:
        assert page.complaints() == []
        assert page.requests() == set()
        page.js("try { localStorage.clear() } catch { }")
    for file in downloads.iterdir():
        file.unlink()
