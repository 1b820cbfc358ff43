"""The page in a real browser: Chromium without a window, which reaches nothing but this machine."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.integration.browser import HERE, Page, open_browser
from tests.integration.daemons import Daemon, starting_daemons, wait_until
from tests.integration.picture_models import INCOME, ROUTES, application_files, make_picture

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    """One browser for all."""
    with open_browser() as driver:
        yield driver


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all, with a route of every kind."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "tokens").write_text("locked=sesame")
    environ = {"ROUTES": ROUTES, "READY": "any", "MODELYARD_TOKENS": str(folder / "tokens")}
    daemon = Daemon(folder, application_files(), environ)
    wait_until(lambda: states(daemon) == ["ready"] * 4 + ["failed"])
    yield daemon
    daemon.stop()


def states(daemon: Daemon) -> list[str]:
    """How every route is."""
    return [route["state"] for route in daemon.request("GET", "/routes")[1]["routes"]]


@pytest.fixture
def page(driver: webdriver.Chrome, daemon: Daemon) -> Iterator[Page]:
    """The page in a window of usual size; in the end, the browser has nothing to complain of."""
    driver.set_window_size(1200, 1000)
    driver.get_log("browser")
    yield Page(driver, f"http://127.0.0.1:{daemon.port}")
    expected = ("401 (Unauthorized)", "422 (Unprocessable", "400 (Bad Request)")
    messages = [entry["message"] for entry in driver.get_log("browser")]
    assert [message for message in messages if not any(text in message for text in expected)] == []


def test_the_test_instances_are_sent_and_answer_latency_and_chart_are_shown(page: Page) -> None:
    page.open()
    assert page.find("#summary").text == "4 of 5 routes are ready"
    assert page.body() == INCOME
    page.click("button.primary")
    assert page.wait_for_answer() == {"predictions": [0, 1], "scores": [0.25, 0.38]}
    assert [one.text for one in page.all(f"{HERE} .predictions span")] == ["0", "1"]
    assert page.here(".latency").text.endswith(" ms")
    assert page.here(".id").text.startswith("request ")
    page.click(".repeat")
    page.wait_for_answer(count=26)
    assert page.here(".chart").get_attribute("aria-label").startswith("Latencies of the last 26 requests: median ")
    assert page.here("figcaption").text == page.here(".chart").get_attribute("aria-label")


def test_single_instances_are_a_click_away(page: Page) -> None:
    page.open()
    buttons = page.all(f"{HERE} .pick button")
    assert [button.text for button in buttons] == ["all 2", "1", "2"]
    buttons[2].click()
    assert page.body() == {"instances": [INCOME["instances"][1]]}
    assert [button.get_attribute("aria-pressed") for button in buttons] == ["false", "false", "true"]
    page.here("textarea").send_keys(" ")
    assert buttons[2].get_attribute("aria-pressed") == "false"
    buttons[0].click()
    assert page.body() == INCOME


def test_numbers_are_shown_and_sent_as_they_are_written(page: Page) -> None:
    page.open()
    page.all(f"{HERE} .pick button")[2].click()
    assert '[38, "Private", 12345678901234567890, "HS-grad", 1.0]' in page.here("textarea").get_property("value")
    page.click("button.primary")
    assert page.wait_for_answer() == {"predictions": [1], "scores": [0.38]}
    page.here(".answer summary").click()
    assert '[[38,"Private",12345678901234567890,"HS-grad",1.0]]' in page.here(".curl").text
    page.here("textarea").clear()
    page.here("textarea").send_keys('{"instances": [[1e21]]}')
    page.click("button.primary")
    assert page.wait_for_answer(count=2)["predictions"] == [1]
    assert '"scores": [1e+19]' in page.here(".answer pre").text


def test_an_address_that_names_no_route_shows_the_first(page: Page) -> None:
    page.open("%E0%A4%A")
    assert [section.get_attribute("data-route") for section in page.all(HERE)] == ["income"]


def test_errors_are_shown_as_such(page: Page) -> None:
    page.open()
    field = page.here("textarea")
    field.clear()
    field.send_keys('{"instances": "none"}')
    page.click("button.primary")
    assert page.wait_for_answer("422 Unprocessable Entity")["detail"].startswith("expected {'instances'")
    assert page.here(".chart rect").get_attribute("class") == "bad"
    field.clear()
    field.send_keys("{")
    page.click("button.primary")
    assert "no JSON" in page.wait_for_answer("400 Bad Request", count=2)["detail"]


def test_everything_works_by_keyboard(page: Page) -> None:
    page.open("grey")
    keys = ActionChains(page.driver)
    keys.send_keys(Keys.TAB, Keys.ENTER).perform()  # the skip link
    wait_until(lambda: page.driver.switch_to.active_element.get_attribute("id") == "main")
    assert page.here("h2").text.endswith("/grey")
    page.open()
    page.find('[data-link="grey"]').send_keys(Keys.ENTER)
    wait_until(lambda: page.here("h2").text.endswith("/grey"))  # the page changes on an event that comes later
    assert page.find("[aria-current=page]").get_attribute("data-link") == "grey"
    page.here("form summary").send_keys(Keys.ENTER)  # opens the body, which is no sight for people
    wait_until(lambda: page.here("textarea").is_displayed())
    page.here("textarea").send_keys(Keys.CONTROL, Keys.ENTER)
    page.wait_for_answer()
    page.here("button.primary").send_keys(Keys.ENTER)
    page.wait_for_answer(count=2)
    wait_until(lambda: page.driver.switch_to.active_element == page.here("button.primary"))
    reached = set()
    for _ in range(30):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        reached.add(page.driver.switch_to.active_element.get_attribute("class"))
    assert {"primary", "repeat", "choose", "clear"} <= reached


def test_what_is_drawn_is_sent_as_a_picture_of_the_size_of_the_test_instances(page: Page) -> None:
    page.open("digit")
    wait_until(lambda: page.all(f"{HERE} .pick img"))
    page.draw((90, 0), (-40, 110), start=(-50, -60))
    assert page.wait_for_answer()["sizes"] == [[28, 28]]
    body = page.body()
    assert list(body) == ["instances"]
    assert len(body["instances"]) == 1
    assert base64.b64decode(body["instances"][0]["b64"]).startswith(b"\x89PNG")


def test_what_is_drawn_is_sent_as_rows_where_the_test_instances_are_rows(page: Page) -> None:
    page.open("grey")
    page.draw((40, 40), start=(0, 0))
    assert page.wait_for_answer()["rows"] == [28]
    (rows,) = page.body()["instances"]
    assert {len(row) for row in rows} == {28}
    assert rows[0][0] == 0
    assert rows[14][14] > 200


def test_a_picture_file_is_sent_as_it_is(page: Page, tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(base64.b64decode(make_picture(21)))
    page.open("digit")
    page.here("input[type=file]").send_keys(str(tmp_path / "picture.png"))
    assert page.wait_for_answer()["sizes"] == [[21, 21]]
    assert page.body() == {"instances": [{"b64": make_picture(21)}]}


def test_a_dropped_file_is_sent_and_one_that_is_no_picture_is_refused(page: Page) -> None:
    page.open("digit")
    drop = """
        const [canvas, name, type, text] = arguments;
        const transfer = new DataTransfer();
        transfer.items.add(new File([Uint8Array.from(atob(text), (one) => one.charCodeAt(0))], name, {type}));
        canvas.dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
    """
    page.driver.execute_script(drop, page.here("canvas"), "a.png", "image/png", make_picture(20))
    assert page.wait_for_answer()["sizes"] == [[20, 20]]
    page.driver.execute_script(drop, page.here("canvas"), "a.txt", "text/plain", "aGVsbG8=")
    wait_until(lambda: "a.txt is no picture" in page.here(".answer pre").text)


def test_the_pictures_of_the_test_instances_are_buttons(page: Page) -> None:
    page.open("digit")
    wait_until(lambda: len(page.all(f"{HERE} .pick img")) == 2)
    page.all(f"{HERE} .pick button")[2].click()
    assert page.wait_for_answer()["sizes"] == [[14, 14]]


def test_a_route_that_needs_a_token_asks_for_it_and_shows_it_nowhere(page: Page) -> None:
    page.open("locked")
    wait_until(lambda: page.here(".token input").is_displayed())
    page.click("button.primary")
    page.wait_for_answer("401 Unauthorized")
    wait_until(lambda: page.driver.switch_to.active_element == page.here(".token input"))
    page.here(".token input").send_keys("sesame")
    page.click("button.primary")
    assert page.wait_for_answer()["payload"]["predictions"] == [0, 1]
    page.click("details summary")
    command = page.here(".curl").text
    assert 'Bearer \'"$TOKEN"' in command
    assert "sesame" not in page.driver.page_source


def test_a_model_that_cannot_load_says_why(page: Page) -> None:
    page.open("broken")
    wait_until(lambda: page.here(".state").text == "failed")
    assert "models/broken.bin: train the model first" in page.here(".reason").text


@pytest.mark.parametrize("path", ["/", "/docs"])
@pytest.mark.parametrize("width", [320, 600, 1200])
def test_nothing_needs_to_be_scrolled_sideways(page: Page, path: str, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        page.open("digit", path=path)
        if path == "/":
            page.click("button.primary")
            page.wait_for_answer()
        assert page.driver.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_route_that_is_shown_is_in_sight_in_a_long_list(page: Page) -> None:
    metrics = {"width": 360, "height": 700, "deviceScaleFactor": 2, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        page.open("income")
        page.driver.execute_script("document.querySelector('.routes').style.maxHeight = '50px'")
        page.driver.execute_script("location.hash = '#/broken'")
        wait_until(lambda: page.find("[aria-current=page]").get_attribute("data-link") == "broken")
        nav, link = page.find(".routes").rect, page.find("[aria-current=page]").rect
        assert nav["y"] <= link["y"] and link["y"] + link["height"] <= nav["y"] + nav["height"]
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_long_list_of_routes_has_a_filter(driver: webdriver.Chrome) -> None:
    routes = ["Iris", *(f"team/model-{number}" for number in range(9))]
    environ = {"ROUTES": ",".join(f"{route}:predict:f" for route in routes)}
    with starting_daemons() as start:
        daemon = start({"predict.py": "def f(msg): return 1"}, **environ).wait_ready()
        page = Page(driver, f"http://127.0.0.1:{daemon.port}").open()
        page.find("#filter").send_keys("iRIS ")
        shown = [link.get_attribute("data-link") for link in page.all("nav li a") if link.is_displayed()]
        assert shown == ["Iris"]


def test_dark_and_light_follow_the_system_and_can_be_read(page: Page) -> None:
    colors = {}
    for scheme in ("light", "dark"):
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        page.open()
        colors[scheme] = page.style("body", "background-color")
        for selector in (".about", ".state", "h2", "button.primary", ".model"):
            assert page.driver.execute_script(CONTRAST, page.find(selector)) >= 4.5, f"{selector} in {scheme}"
        assert page.style("button.primary", "transition-duration") == "0s"
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert colors["light"] != colors["dark"]


# The contrast of an element's text to what is behind it, as WCAG 2 defines it.
CONTRAST = """
    const parse = (color) => color.match(/[\\d.]+/g).map(Number);
    const shine = (color) => {
      const [red, green, blue] = parse(color).slice(0, 3).map((one) => one / 255)
        .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    let behind = arguments[0];
    const isClear = (element) => (parse(getComputedStyle(element).backgroundColor)[3] ?? 1) === 0;
    while (isClear(behind)) behind = behind.parentElement;
    const levels = [getComputedStyle(arguments[0]).color, getComputedStyle(behind).backgroundColor].map(shine);
    return (Math.max(...levels) + 0.05) / (Math.min(...levels) + 0.05);
"""


def test_every_control_has_a_name_and_the_answer_is_announced(page: Page) -> None:
    page.open("digit")
    page.click("button.primary")
    page.wait_for_answer()
    for element in page.all("button, input:not([type=file]), textarea, canvas, svg, nav, section"):
        if element.is_displayed():
            assert element.accessible_name, element.get_attribute("outerHTML")
    assert page.here(".line").get_attribute("role") == "status"
    assert page.find("html").get_attribute("lang") == "en"


def test_the_form_is_as_high_as_its_body(page: Page) -> None:
    page.open()
    heights = []
    for lines in (1, 10, 1000):
        page.driver.execute_script(f"arguments[0].value = '1\\n'.repeat({lines})", page.here("textarea"))
        heights.append(page.here("textarea").size["height"])
    assert heights[0] < 100 < heights[1] < heights[2] < 400


def test_the_docs_show_every_route(page: Page) -> None:
    page.open(path="/docs")
    titles = [title.text for title in page.all("section h2")]
    assert [f"POST /{route}" for route in ("income", "digit", "grey", "locked", "broken")] == titles[:5]
    assert "needs a token" in page.find("#predict_locked").text
