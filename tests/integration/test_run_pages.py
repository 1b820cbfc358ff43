"""The page of runs and the report of a run in a real browser, of a flow that has really run."""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

from tests.integration.browser import open_browser
from tests.integration.daemons import wait_until
from tests.integration.flow_project import CONFIG, FLOW, FlowProject
from tests.integration.tiny_workspace import tiny_workspace

pytestmark = pytest.mark.integration

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
EVALUATE = f'''\
import base64
import json
from pathlib import Path


def evaluate(msg):
    outputs = {{name: Path(path) for name, path in msg.payload["outputs"].items()}}
    counts = {{"labels": ["cat", "<b>dog</b>"], "counts": [[9, 1], [2, 8]]}}
    outputs["confusion"].write_text(json.dumps(counts))
    outputs["samples"].mkdir()
    (outputs["samples"] / "0.png").write_bytes(base64.b64decode("{PIXEL}"))
    about = {{"file": "0.png", "path": "a.jpg", "label": "cat", "predicted": "dog", "score": 0.75}}
    (outputs["samples"] / "samples.json").write_text(json.dumps([about]))
    print("</script><b>a line of the log</b>")
    return {{"metrics": {{"test_accuracy": 0.85}}}}
'''
STEP = """\
  evaluate:
    run: evaluate:evaluate
    inputs: {model: train.model}
    outputs: {confusion: confusion.json, samples: samples}
"""


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    """One browser for all."""
    with open_browser() as driver:
        yield driver


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowProject]:
    """A project whose flow has run twice, with another parameter."""
    with tiny_workspace(tmp_path_factory.mktemp("pages")) as tiny:
        project = FlowProject.make(tiny)
        project.write(**{"flow_yaml": FLOW + STEP, "net/evaluate.py": EVALUATE})
        project.run("--set", "train.epochs=3")
        project.run()
        yield project


@pytest.fixture(scope="module")
def address(project: FlowProject) -> Iterator[str]:
    """Where `runs ui` serves the page."""
    command = [sys.executable, "-u", "-m", "modelyard", "runs", "ui", "--project", str(project.path)]
    with subprocess.Popen(command, cwd=project.path, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.terminate()


Open = Callable[[str], None]


@pytest.fixture
def browse(driver: webdriver.Chrome) -> Iterator[Open]:
    """Open a page; in the end, the browser has nothing to complain of, and asked nobody else for anything."""
    driver.set_window_size(1200, 1000)
    driver.get_log("browser")

    def browse(url: str) -> None:
        driver.get("about:blank")
        driver.get(url)
        wait_until(lambda: find(driver, "#state").text.startswith("succeeded"))

    yield browse
    assert [entry["message"] for entry in driver.get_log("browser")] == []


def find(driver: webdriver.Chrome, selector: str) -> WebElement:
    return driver.find_element(By.CSS_SELECTOR, selector)


def texts(driver: webdriver.Chrome, selector: str) -> list[str]:
    return [element.text for element in driver.find_elements(By.CSS_SELECTOR, selector)]


def test_the_steps_are_a_graph_with_their_states(driver, browse, address, project):
    browse(address)
    assert [text.splitlines()[0] for text in texts(driver, "#steps button")] == ["prep", *sorted_steps(project)]
    assert all("succeeded" in text or "reused" in text for text in texts(driver, "#steps button"))
    edges = driver.find_elements(By.CSS_SELECTOR, "#edges path")
    assert len(edges) == 3
    columns = {
        button.text.splitlines()[0]: button.location["x"]
        for button in driver.find_elements(By.CSS_SELECTOR, "#steps button")
    }
    assert columns["prep"] < columns["train"] < columns["evaluate"] and columns["count"] == columns["train"]


def sorted_steps(project: FlowProject) -> list[str]:
    """The steps behind the first one, in the order of the record that `flow show` has."""
    shown = project.tiny.succeed("modelyard", "runs", "show", "--json", cwd=project.path)
    return list(json.loads(shown)["steps"])[1:]


def test_the_keyboard_is_enough(driver, browse, address):
    browse(address)
    driver.execute_script("document.querySelector('#steps button').focus()")
    webdriver.ActionChains(driver).send_keys(Keys.END).perform()
    last = driver.switch_to.active_element.text.splitlines()[0]
    webdriver.ActionChains(driver).send_keys(Keys.ENTER).perform()
    assert find(driver, "#step-title").text.startswith(f"{last}: ")
    assert driver.switch_to.active_element.get_attribute("data-step") == last
    webdriver.ActionChains(driver).send_keys(Keys.HOME, Keys.ARROW_RIGHT, Keys.SPACE).perform()
    assert not find(driver, "#step-title").text.startswith(f"{last}: ")


def choose_step(driver: webdriver.Chrome, name: str) -> None:
    find(driver, f"[data-step={name}]").click()


def test_a_step_has_its_log_curves_metrics_and_outputs_to_download(driver, browse, address):
    browse(address)
    choose_step(driver, "evaluate")
    assert "</script><b>a line of the log</b>" in find(driver, "#log").text
    assert "test_accuracy\n0.85" in find(driver, "#step dl").text
    link = next(a for a in driver.find_elements(By.CSS_SELECTOR, ".files a") if a.text == "confusion.json")
    with urllib.request.urlopen(link.get_attribute("href")) as response:
        assert json.load(response)["counts"] == [[9, 1], [2, 8]]
        assert response.headers["Content-Disposition"] == 'attachment; filename="confusion.json"'
    assert ["train.epochs", "2"] in [
        [*pair] for pair in zip(texts(driver, "#config dt"), texts(driver, "#config dd"), strict=True)
    ]
    choose_step(driver, "train")
    assert find(driver, "#curves svg").size["width"] > 300
    assert "val_accuracy" in find(driver, "#curves svg").text


def test_trials_are_sorted_by_a_click_and_drawn_a_line_each(driver, browse, address):
    browse(address)
    column = "#trials tbody tr td:nth-child(3)"
    assert texts(driver, column) == ["0.1", "0.2", "0.3"]
    find(driver, "[data-key='sort-train.lr']").click()
    find(driver, "[data-key='sort-train.lr']").click()
    assert texts(driver, column) == ["0.3", "0.2", "0.1"]
    heading = find(driver, "th:has([data-key='sort-train.lr'])")
    assert heading.get_attribute("aria-sort") == "descending"
    assert "(best)" in find(driver, "#trials tr.best").text and "0.2" in find(driver, "#trials tr.best").text
    drawing = find(driver, "#parallel svg")
    assert {"train.lr", "val_accuracy"} <= set(drawing.text.split())
    lines = [
        path
        for path in drawing.find_elements(By.CSS_SELECTOR, "path[fill=none]")
        if " L" in shape(path) or "L" in shape(path)
    ]
    assert len(lines) >= 3


def shape(path: WebElement) -> str:
    return path.get_attribute("d") or ""


def test_the_confusion_matrix_and_the_pictures_are_shown(driver, browse, address):
    browse(address)
    rows = [row.split() for row in texts(driver, "#results .confusion tbody tr")]
    assert rows == [["cat", "9", "1"], ["<b>dog</b>", "2", "8"]]
    (picture,) = driver.find_elements(By.CSS_SELECTOR, ".gallery img")
    assert picture.get_attribute("alt") == "a.jpg: cat, predicted dog"
    assert driver.execute_script("return arguments[0].naturalWidth", picture) == 1
    assert find(driver, ".gallery figcaption").text == "✗ dog 0.75, is cat"


def test_two_runs_stand_side_by_side(driver, browse, address, project):
    browse(address)
    other = sorted(path.parent.name for path in project.path.glob("runs/*/run.json"))[0]
    Select(find(driver, "#other")).select_by_value(other)
    wait_until(lambda: find(driver, "#compare").is_displayed())
    assert driver.current_url.endswith(f"/{other}")
    row = next(text for text in texts(driver, "#compare tr.differs") if text.startswith("train.epochs"))
    assert row.split() == ["train.epochs", "2", "3", "+1"]


def test_a_narrow_screen_has_no_part_beyond_its_edge(driver, browse, address):
    driver.set_window_size(500, 900)
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 380, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        browse(address)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 380
        lefts = {button.location["x"] for button in driver.find_elements(By.CSS_SELECTOR, "#steps button")}
        assert len(lefts) == 1
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def said(driver: webdriver.Chrome, selector: str) -> str:
    """What an element says, asked in one step: a page that looks again may replace it meanwhile."""
    script = "return document.querySelector(arguments[0])?.textContent ?? ''"
    return str(driver.execute_script(script, selector))


def test_a_run_that_goes_on_is_seen_to(driver, browse, address, project):
    browse(address)
    project.write(config_yaml="train: {sleep: 0.7, lr: [0.5, 0.6], epochs: 4}\n")
    command = [sys.executable, "-m", "modelyard", "flow", "run", str(project.path)]
    with subprocess.Popen(command, cwd=project.path, env=project.tiny.environ, stdout=subprocess.DEVNULL) as run:
        wait_until(lambda: driver.execute_script("return document.querySelectorAll('#run option').length") == 3)
        driver.execute_script("choose({ run: runs[0].id, step: 'train' })")
        wait_until(lambda: said(driver, "#state").startswith("running"))
        wait_until(lambda: "running" in said(driver, "[data-step=train]"))
        wait_until(lambda: "measured" in said(driver, "#trials h2"))
        assert run.wait(60) == 0
    wait_until(lambda: said(driver, "#state").startswith("succeeded"))
    (project.path / "config.yaml").unlink()


def test_the_report_is_one_file_without_a_network(driver, browse, project):
    reports = sorted(project.path.glob("runs/*/report.html"))
    assert len(reports) == len(list(project.path.glob("runs/*/run.json")))
    text = reports[0].read_text()
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text.partition("<style>")[0])
    browse(reports[0].as_uri())
    assert len(texts(driver, "#steps button")) == 4
    assert find(driver, "#parallel svg").is_displayed()
    assert driver.execute_script("return document.querySelector('.gallery img').naturalWidth") == 1
    choose_step(driver, "evaluate")
    assert "</script><b>a line of the log</b>" in find(driver, "#log").text
    links = [a.get_attribute("href") for a in driver.find_elements(By.CSS_SELECTOR, ".files a")]
    assert links and all(Path(urllib.request.url2pathname(link.removeprefix("file://"))).is_file() for link in links)


def read(address: str, path: str, **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(address.rstrip("/") + path, headers=headers)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response
    except urllib.error.HTTPError as error:
        return error.code, error


def test_the_server_only_reads_and_only_for_this_machine(address, project):
    for path in (
        "/runs/../config-default.yaml",
        "/runs/x/%2e%2e/%2e%2e/flow.yaml",
        "/etc/passwd",
        "/api/runs/none",
        "/runs//",
    ):
        assert read(address, path)[0] == 404, path
    assert read(address, "/", Host="evil.example")[0] == 421
    assert read(address, "/", Host="localhost:1")[0] == 200
    status, response = read(address, "/api/runs")
    assert status == 200 and "default-src 'none'" in response.headers["Content-Security-Policy"]
    posted = urllib.request.Request(f"{address}api/runs", b"{}", method="POST")
    with pytest.raises(urllib.error.HTTPError, match="501"):
        urllib.request.urlopen(posted)
    assert (project.path / "config-default.yaml").read_text() == CONFIG
