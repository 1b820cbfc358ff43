"""The page of jobs in a real browser: live, by keyboard, in a small window, with nothing from elsewhere."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from modelyard.commands.job_ui import make_routes
from modelyard.commands.page_server import address_of, open_server
from modelyard.jobs.record import Job, write_job
from modelyard.jobs.shelf import held
from tests.integration.browser import open_browser
from tests.integration.daemons import wait_until

pytestmark = pytest.mark.integration

TASK = {"event": "start", "task": {"epochs": 5, "batch": 32, "lr": 0.01}}


def epoch(number: int) -> dict[str, object]:
    """What a training tells of an epoch."""
    figures = {"train_loss": 1 / number, "validation_loss": 2 / number, "accuracy": 1 - 1 / number}
    return {"event": "epoch", "epoch": number, **figures, "parallelism": number, "seconds": 0.5, "lr": 0.01}


class Projects:
    """Jobs of a workspace, one of which seems to run."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.root = root
        self.stack = stack

    def add(self, id: str, *events: dict[str, object], state: str = "running", **values: object) -> Job:
        """Write a job; one that has not ended is attended to by this process."""
        folder = self.root / "digits/runs" / id
        folder.mkdir(parents=True)
        common = {
            "engine": "local",
            "variables": {},
            "container": "job",
            "run": {},
            "created": 1.0,
            "model_name": "net",
        }
        job = write_job(Job(folder=folder, model="digits/net", state=state, **common, **values))
        if not job.has_ended:
            self.stack.enter_context(held(folder))
        self.tell(job, TASK, *events)
        job.log.write_text("".join(f"line {number}\n" for number in range(200)))
        return job

    def tell(self, job: Job, *events: dict[str, object]) -> None:
        """Append events."""
        with job.events.open("a") as file:
            file.write("".join(json.dumps(event) + "\n" for event in events))


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    """One browser for all."""
    with open_browser() as driver:
        yield driver


@pytest.fixture
def projects(tmp_path: Path) -> Iterator[Projects]:
    """An ended job and one that runs."""
    with ExitStack() as stack:
        projects = Projects(tmp_path / "projects", stack)
        failed = {"reason": "RuntimeError: <b>no</b> convergence", "metrics": {"rows": float("nan")}}
        projects.add("6a000001", epoch(1), state="failed", ended=9.0, **failed)
        projects.add("6a000002", epoch(1), epoch(2))
        yield projects


@pytest.fixture
def address(projects: Projects) -> Iterator[str]:
    """Where the page is served."""
    server = open_server(make_routes(projects.root, {}), port=0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield address_of(server)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page(driver: webdriver.Chrome, address: str) -> Iterator[webdriver.Chrome]:
    """The page, opened; in the end, the browser has nothing to complain of."""
    driver.get_log("browser")
    driver.get(address)
    wait_until(lambda: text(driver, "#title"))
    yield driver
    driver.get("about:blank")
    assert [entry["message"] for entry in driver.get_log("browser")] == []


def text(driver: webdriver.Chrome, selector: str) -> str:
    """The text of the first such element."""
    return driver.find_element(By.CSS_SELECTOR, selector).text


def labels(driver: webdriver.Chrome) -> list[str]:
    """What the charts say of themselves, at one moment: they are drawn anew while the job runs."""
    script = "return [...document.querySelectorAll('svg')].map((chart) => chart.getAttribute('aria-label'))"
    found: list[str] = driver.execute_script(script)
    return found


def test_the_newest_job_is_shown_and_followed_while_it_runs(page: webdriver.Chrome, projects: Projects):
    assert text(page, "#title") == "digits/net, job 6a000002"
    assert text(page, "#summary") == "1 of 2 run"
    assert labels(page) == [
        "Loss, epoch 2: training 0.5, validation 1",
        "Accuracy, epoch 2: accuracy 0.5",
        "Parallelism, epoch 2: workers 2",
        "Time of an epoch (s), epoch 2: seconds 0.5",
    ]
    (job,) = projects.root.glob("digits/runs/6a000002")
    with (job / "events.jsonl").open("a") as events:
        events.write(json.dumps(epoch(4)) + "\n")
    wait_until(lambda: labels(page)[1] == "Accuracy, epoch 4: accuracy 0.75")
    assert page.find_element(By.ID, "progress").get_attribute("value") == "3"
    assert len(page.find_elements(By.CSS_SELECTOR, "#epochs tr")) == 4
    log = page.find_element(By.ID, "log")
    assert log.get_property("scrollTop") > 0  # the end of it is in sight


def test_a_job_that_failed_says_why_as_it_was_written(page: webdriver.Chrome):
    page.find_element(By.CSS_SELECTOR, "#jobs li:last-child a").click()
    wait_until(lambda: text(page, "#title") == "digits/net, job 6a000001")
    assert text(page, "#reason") == "RuntimeError: <b>no</b> convergence"
    assert text(page, "#state") == "failed"
    assert page.current_url.endswith("#/digits/6a000001")


def test_everything_works_by_keyboard(page: webdriver.Chrome):
    keys = ActionChains(page)
    keys.send_keys(Keys.TAB, Keys.ENTER).perform()
    wait_until(lambda: page.switch_to.active_element.get_attribute("id") == "main")
    page.find_element(By.CSS_SELECTOR, "#jobs li:last-child a").send_keys(Keys.ENTER)
    wait_until(lambda: text(page, "#title").endswith("6a000001"))
    page.find_element(By.CSS_SELECTOR, "#jobs li:first-child a").send_keys(Keys.ENTER)
    wait_until(lambda: text(page, "#title").endswith("6a000002"))
    page.execute_script("document.querySelector('svg').focus()")
    ActionChains(page).send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT).perform()
    assert text(page, "#readout").startswith("epoch 1, training loss 1, validation loss 2, accuracy 0, workers 1")
    assert page.switch_to.active_element.tag_name == "svg"
    ActionChains(page).send_keys(Keys.END).perform()
    assert text(page, "#readout").startswith("epoch 2, ")


@pytest.mark.parametrize("width", [320, 380, 1200])
def test_nothing_needs_to_be_scrolled_sideways(page: webdriver.Chrome, width: int):
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
        for element in page.find_elements(By.CSS_SELECTOR, "nav, svg, progress, [role=region]"):
            assert element.accessible_name, element.get_attribute("outerHTML")
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def ask(address: str, path: str, *, method: str = "GET", host: str | None = None) -> tuple[int, str]:
    """Status and body of an answer."""
    place = address.removeprefix("http://").rstrip("/")
    connection = HTTPConnection(place, timeout=10)
    connection.request(method, path, headers={"Host": host or place})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def test_it_is_read_only_and_for_this_machine_alone(address: str):
    assert ask(address, "/jobs.json", method="POST")[0] == 405
    assert ask(address, "/jobs.json", host="evil.example:80")[0] == 421
    assert ask(address, "/../../etc/passwd")[0] == 404
    assert ask(address, "/job.json?id=nothing") == (404, ask(address, "/job.json?id=nothing")[1])
    assert "there is no job 'nothing'" in ask(address, "/job.json?id=nothing")[1]
    assert json.loads(ask(address, "/job.json?id=6a000001")[1])["metrics"] == {"rows": None}


def test_the_gauges_of_all_jobs_can_be_scraped(address: str):
    lines = ask(address, "/metrics")[1].splitlines()
    assert 'kubeml_job_parallelism{jobid="6a000002"} 2' in lines
    assert 'kubeml_functions_running{type="train"} 1' in lines
