"""Chromium without a window, which reaches nothing but this machine, and the page of a daemon in it."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.integration.daemons import wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--window-size=1200,1000",
)
HERE = "section:not([hidden])"


class Page:
    """The page of one daemon, and the route that is shown."""

    def __init__(self, driver: webdriver.Chrome, address: str) -> None:
        self.driver = driver
        self.address = address

    def open(self, route: str = "", *, path: str = "/") -> "Page":
        """Load the page anew at a route."""
        self.driver.get("about:blank")
        self.driver.get(f"{self.address}{path}" + (f"#/{route}" if route else ""))
        if path == "/":
            wait_until(lambda: self.find("#summary").text)
        return self

    def find(self, selector: str) -> WebElement:
        """The first element."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        """Every element."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def here(self, selector: str) -> WebElement:
        """The first element of the route that is shown."""
        return self.find(f"{HERE} {selector}")

    def click(self, selector: str) -> None:
        """Click on an element of the route that is shown."""
        element = self.here(selector)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def wait_for_answer(self, status: str = "200 OK", *, count: int = 1) -> Any:
        """The answer, once that many requests are in the chart and the last has that status."""
        wait_until(lambda: len(self.all(f"{HERE} .chart rect")) >= count)
        wait_until(lambda: self.here(".status").text == status)
        return json.loads(self.here(".answer pre").text)

    def body(self) -> Any:
        """What the form holds."""
        return json.loads(self.here("textarea").get_property("value"))

    def style(self, selector: str, name: str) -> str:
        """A computed style."""
        return self.find(selector).value_of_css_property(name)

    def draw(self, *strokes: tuple[int, int], start: tuple[int, int]) -> None:
        """Draw one line on the canvas of the route that is shown: from `start`, off its middle, by each stroke."""
        canvas = self.here("canvas")
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
        line = ActionChains(self.driver).move_to_element_with_offset(canvas, *start).click_and_hold()
        for stroke in strokes:
            line.move_by_offset(*stroke)
        line.release().perform()


@contextmanager
def open_browser() -> Iterator[webdriver.Chrome]:
    """Start a browser; skip, with the reason, where there is none."""
    if not CHROMIUM or not CHROMEDRIVER:
        pytest.skip(
            "THE PAGE IS NOT TESTED: Chromium or chromedriver is missing (apt-get install chromium chromium-driver)"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
    try:
        yield driver
    finally:
        driver.quit()
