"""Models load in turns, and what waits for its turn has not begun its time."""

import json
from collections.abc import Iterator
from itertools import pairwise

import pytest

from modelyard.runtime.application import APPLICATION_FILE, Application, Model, format_application
from tests.integration.daemons import Daemon, StartDaemon, starting_daemons, wait_until

pytestmark = pytest.mark.integration

SLOW = """
    import pathlib, time
    begun = time.monotonic()
    time.sleep(0.6)
    pathlib.Path(__name__ + ".span").write_text(f"{begun} {time.monotonic()}")
    def run(msg): return __name__
"""
NAMES = ("a", "b", "c", "d")


@pytest.fixture
def start_daemon() -> Iterator[StartDaemon]:
    """Start daemons of files and variables."""
    with starting_daemons() as start:
        yield start


def read_spans(daemon: Daemon) -> list[tuple[float, float]]:
    """When each model began and ended to load, the earliest first."""
    texts = [(daemon.root / f"{name}.span").read_text().split() for name in NAMES]
    return sorted((float(begun), float(ended)) for begun, ended in texts)


@pytest.mark.parametrize("preload", ["0", "1"])
def test_what_waits_for_its_turn_to_load_has_not_begun_its_time(start_daemon: StartDaemon, preload: str) -> None:
    routes = ",".join(f"{name}:{name}:run" for name in NAMES)
    files = {f"{name}.py": SLOW for name in NAMES}
    # All together take longer than LOAD_TIMEOUT, each alone does not.
    daemon = start_daemon(files, ROUTES=routes, PRELOAD=preload, LOAD_AT_ONCE="1", LOAD_TIMEOUT="2")
    seen = set()

    def is_ready() -> bool:
        for route in daemon.request("GET", "/routes")[1]["routes"]:
            seen.add((route["route"], route["turn"], route["load_seconds_left"] is None))
        return daemon.request("GET", "/readyz")[0] == 200

    wait_until(is_ready)
    is_ready()  # what had loaded between its two questions is seen as well
    assert {(name, None, True) for name in NAMES} <= seen
    if preload == "0":
        assert ("d", 2, True) in seen  # b loads, c is the next
        assert any(left for route, turn, left in seen if route == "b" and turn is None)
        assert "a: loads, within 2 s (LOAD_TIMEOUT); then b, c, d" in daemon.log
        spans = read_spans(daemon)
        assert all(ended <= begun for (_, ended), (begun, _) in pairwise(spans))
    assert "loading it took longer" not in daemon.log
    assert daemon.stop() == 0


def test_the_first_calls_count_as_loading_however_little_a_request_may_take(start_daemon: StartDaemon) -> None:
    source = """
        import time
        loaded = []
        def run(msg):
            if not loaded:
                time.sleep(1.2)
                loaded.append(1)
            return [7 for _ in msg.payload["instances"]]
    """
    model = Model(name="m", routes=("run",), instances="instances.json")
    files = {
        "predict.py": source,
        "instances.json": json.dumps({"instances": [1]}),
        APPLICATION_FILE: format_application(Application(name="m", kind="predict", models=(model,))),
    }
    daemon = start_daemon(files, ROUTES="run:predict:run", REQUEST_TIMEOUT="0.3").wait_ready()
    assert daemon.post("run", {"instances": [1]})[0] == 200
    assert "longer than" not in daemon.log
    assert daemon.request("GET", "/routes")[1]["routes"][0]["restarts"] == 0


def test_a_model_that_waits_for_something_while_it_loads_does_not_hold_up_the_others(start_daemon: StartDaemon) -> None:
    files = {"a.py": "import time; time.sleep(600)\ndef run(msg): pass", "b.py": "def run(msg): return 2"}
    daemon = start_daemon(files, ROUTES="a:a:run,b:b:run", PRELOAD="0", LOAD_AT_ONCE="1")
    wait_until(lambda: "waits for its turn to load, as number 1" in str(daemon.post("b")[1]))
    wait_until(lambda: daemon.post("b") == (200, 2))


def test_a_worker_that_has_served_is_started_again_at_once_although_others_load(start_daemon: StartDaemon) -> None:
    source = """
        import time
        while True:
            pass
        def run(msg): pass
    """
    files = {"a.py": "import os\ndef run(msg): os._exit(1)", "b.py": source}
    daemon = start_daemon(files, ROUTES="a:a:run,b:b:run", PRELOAD="0", LOAD_AT_ONCE="1")
    wait_until(lambda: "b: loads" in daemon.log)
    assert daemon.post("a")[0] == 502
    wait_until(lambda: daemon.request("GET", "/routes")[1]["routes"][0]["restarts"] == 1, 5)
    wait_until(lambda: daemon.request("GET", "/routes")[1]["routes"][0]["state"] == "ready", 5)
