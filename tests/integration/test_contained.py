"""What a model's processes do ends with its worker, and costs its own route a true status for a moment only."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.daemons import Daemon, StartDaemon, is_alive, starting_daemons, wait_until

pytestmark = pytest.mark.integration
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, who has left its group is not found")

GOOD = "def echo(msg): return msg.payload"
BAD = """
    import os, subprocess, time

    def whoami(msg):
        return os.getpid()

    def fork_away(msg):
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.setsid()
            pid = os.fork()
            if pid == 0:
                time.sleep(60)
            os.write(writer, b"%d" % pid)
            os._exit(0)
        os.wait()
        return int(os.read(reader, 16))

    def start_away(msg):
        shell = ["sh", "-c", "setsid sleep 60 >/dev/null 2>&1 & echo $!"]
        return int(subprocess.run(shell, stdout=subprocess.PIPE, check=True).stdout)

    def leave(msg):
        os._exit(1)

    def leave_group(msg):
        os.setpgid(0, os.getpgid(os.getppid()))

    def hang(msg):
        time.sleep(600)
"""
ROUTES = "echo:good:echo," + ",".join(
    f"{name}:bad:{name}" for name in ("whoami", "fork_away", "start_away", "leave", "leave_group", "hang")
)


@pytest.fixture
def start_daemon() -> Iterator[StartDaemon]:
    """Start daemons of files and variables."""
    with starting_daemons() as start:
        yield start


@pytest.fixture(params=["0", "always"])
def daemon(start_daemon: StartDaemon, request: pytest.FixtureRequest) -> Daemon:
    """A daemon of a good and a bad model, whose workers are started from nothing, or are forks."""
    files = {"good.py": GOOD, "bad.py": BAD}
    daemon = start_daemon(files, ROUTES=ROUTES, PRELOAD=request.param, REQUEST_TIMEOUT="1").wait_ready()
    if request.param == "always":
        wait_until(lambda: "forkserver" in describe_parent(daemon))
    return daemon


def describe_parent(daemon: Daemon) -> str:
    """The command of the bad worker's parent."""
    parent = Path(f"/proc/{daemon.post('whoami')[1]}/stat").read_text().rpartition(")")[2].split()[1]
    return read_command(int(parent))


def read_command(pid: int) -> str:
    """The command line of a process; nothing where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def find_bad(daemon: Daemon) -> dict[str, Any]:
    """What /routes says of the bad model."""
    return next(route for route in daemon.request("GET", "/routes")[1]["routes"] if route["route"] == "whoami")


@on_linux
@pytest.mark.parametrize("begin", ["fork_away", "start_away"])
def test_a_child_that_goes_its_own_way_ends_with_its_worker_and_holds_nobody_up(daemon: Daemon, begin: str) -> None:
    _, child = daemon.post(begin)
    assert is_alive(child)
    began = time.monotonic()
    assert daemon.post("leave")[0] == 502
    wait_until(lambda: daemon.post("whoami")[0] == 200, 5)
    assert time.monotonic() - began < 5
    assert not is_alive(child)
    assert (find_bad(daemon)["state"], find_bad(daemon)["restarts"]) == ("ready", 1)
    assert daemon.post("echo", 1) == (200, 1)


@on_linux
def test_a_worker_that_has_left_its_process_group_is_ended_when_it_hangs(daemon: Daemon) -> None:
    daemon.post("leave_group")
    pid = daemon.post("whoami")[1]
    assert daemon.post("hang")[0] == 504
    wait_until(lambda: daemon.post("whoami")[1] not in (pid, None) and find_bad(daemon)["restarts"] == 1, 5)
    assert not is_alive(pid)
    assert daemon.post("echo", 1) == (200, 1)


@on_linux
def test_a_child_that_goes_its_own_way_ends_with_the_daemon(daemon: Daemon) -> None:
    children = [daemon.post(begin)[1] for begin in ("fork_away", "start_away")]
    assert daemon.stop() == 0
    assert not [child for child in children if is_alive(child)]


@on_linux
def test_nothing_is_left_of_a_daemon_whose_supervisor_is_killed(daemon: Daemon) -> None:
    processes = [*daemon.children(), *(daemon.post(begin)[1] for begin in ("fork_away", "start_away"))]
    daemon.process.kill()
    daemon.process.wait()
    wait_until(lambda: not [pid for pid in processes if is_alive(pid)], 5)


@on_linux
def test_a_fork_server_that_refuses_to_fork_ends_although_a_thread_would_keep_it(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    tmp_path.joinpath("keeping.py").write_text(
        "import threading, time\n"
        "if 'forkserver' in open('/proc/self/cmdline').read():\n"
        "    threading.Thread(target=time.sleep, args=(600,)).start()\n"
    )
    # A library is what lies in the environment: this one says that it does.
    source = """
        import keeping, sysconfig
        keeping.__file__ = sysconfig.get_path("purelib") + "/keeping.py"
        def run(msg): return 1
    """
    daemon = start_daemon({"predict.py": source}, ROUTES="run:predict:run", PRELOAD="always", PYTHONPATH=str(tmp_path))
    daemon.wait_ready()
    wait_until(lambda: "workers share no imports in default" in daemon.log)
    wait_until(lambda: not [pid for pid in daemon.children() if "forkserver" in read_command(pid)], 5)
    assert daemon.post("run") == (200, 1)


@on_linux
def test_a_worker_does_not_outlive_a_killed_supervisor_although_it_computes(daemon: Daemon) -> None:
    pid = daemon.post("whoami")[1]
    os.kill(pid, signal.SIGSTOP)
    daemon.process.kill()
    daemon.process.wait()
    wait_until(lambda: not is_alive(pid), 5)
