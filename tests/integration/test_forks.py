"""Models of one environment share what they import: all but the first worker are forks."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.daemons import Daemon, StartDaemon, is_alive, starting_daemons, wait_until

pytestmark = pytest.mark.integration

PREDICT = """
    import os, sys, time
    import decimal, numpy

    def about(msg):
        return {"pid": os.getpid(), "parent": os.getppid(), "numpy": sys.modules["numpy"].__file__}

    def draw(msg):
        return numpy.random.random()

    def say(msg):
        print("hello from", os.getpid(), flush=True)

    def nap(msg):
        time.sleep(msg.payload)
"""
NAMES = ("a", "b", "c")
ROUTES = ",".join(f"{model}-{name}:{model}:{name}" for model in NAMES for name in ("about", "draw", "say", "nap"))


@pytest.fixture
def start_daemon() -> Iterator[StartDaemon]:
    """Start daemons of files and variables."""
    with starting_daemons() as start:
        yield start


def start(start_daemon: StartDaemon, **environ: str) -> Daemon:
    """Start a daemon of three models; it is ready when all of them are forks."""
    files = {f"{name}.py": PREDICT for name in NAMES}
    daemon = start_daemon(files, ROUTES=ROUTES, **environ).wait_ready()
    if environ.get("PRELOAD") != "0":
        wait_until(lambda: len(parents := find_parents(daemon)) == 1 and not parents & {daemon.process.pid, None})
    return daemon


def find_parents(daemon: Daemon) -> set[Any]:
    """The parents of the models' processes; None for one that is not there."""
    return {about(daemon, name)["parent"] for name in NAMES}


def about(daemon: Daemon, name: str) -> dict[str, Any]:
    """What a model says of its process."""
    status, answer = daemon.post(f"{name}-about")
    return answer if status == 200 else {"parent": None, "pid": None}


def states(daemon: Daemon) -> dict[str, Any]:
    """What /routes says of each model."""
    return {route["model"]: route for route in daemon.request("GET", "/routes")[1]["routes"]}


def test_workers_are_forks_and_nobody_sees_a_reload(start_daemon: StartDaemon) -> None:
    daemon = start(start_daemon)
    assert {state["reloads"] for state in states(daemon).values()} == {0}
    assert len({daemon.post(f"{name}-draw")[1] for name in NAMES}) == 3  # each draws numbers of its own
    pid = about(daemon, "b")["pid"]
    daemon.post("b-say")
    wait_until(lambda: f"[b] hello from {pid}" in daemon.log)
    processes = daemon.children()
    assert daemon.stop() == 0
    assert not [pid for pid in processes if is_alive(pid)]


def test_a_fork_that_is_killed_is_forked_again(start_daemon: StartDaemon) -> None:
    daemon = start(start_daemon)
    before = about(daemon, "a")
    os.kill(before["pid"], signal.SIGKILL)
    wait_until(lambda: about(daemon, "a")["pid"] not in (None, before["pid"]))
    assert about(daemon, "a")["parent"] == before["parent"]
    wait_until(lambda: states(daemon)["a"]["restarts"] == 1)
    assert "a: the model's process ended: killed by SIGKILL" in daemon.log
    assert daemon.stop() == 0


def test_a_fork_that_hangs_is_ended(start_daemon: StartDaemon) -> None:
    daemon = start(start_daemon, REQUEST_TIMEOUT="0.5")
    assert daemon.post("c-nap", 60)[0] == 504
    wait_until(lambda: about(daemon, "c")["pid"])
    assert "a request ran longer than 0.5 s" in daemon.log


def test_a_fork_server_that_is_killed_is_started_again(start_daemon: StartDaemon) -> None:
    daemon = start(start_daemon)
    before = about(daemon, "a")
    os.kill(before["parent"], signal.SIGKILL)
    wait_until(lambda: len(find_parents(daemon)) == 1 and not find_parents(daemon) & {None, before["parent"]})
    assert "the fork server ended: killed by SIGKILL" in daemon.log
    assert not is_alive(before["pid"])
    assert daemon.stop() == 0


def test_it_can_be_turned_off(start_daemon: StartDaemon) -> None:
    daemon = start(start_daemon, PRELOAD="0")
    assert find_parents(daemon) == {daemon.process.pid}


def test_a_killed_supervisor_leaves_no_fork(start_daemon: StartDaemon) -> None:
    daemon = start(start_daemon)
    processes = daemon.children()
    daemon.process.kill()
    daemon.process.wait()
    wait_until(lambda: not [pid for pid in processes if is_alive(pid)])
