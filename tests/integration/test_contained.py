"""What a model's processes do ends with its worker, and costs its own route a true status for a moment only."""

import json
import math
import os
import random
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.daemons import Daemon, StartDaemon, is_alive, starting_daemons, wait_until
from tests.unit.runtime.daemon.test_channels import spoil

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

    def tell(msg):
        import socket, stat
        data = msg.payload.encode() * (msg.payload == "x" and 64 << 20 or 1)
        for fd in range(3, 64):
            try:
                if not stat.S_ISSOCK(os.fstat(fd).st_mode):
                    continue
                with socket.socket(fileno=os.dup(fd)) as end:
                    is_control = end.family == socket.AF_UNIX and end.getpeername() == "" and end.getsockname() == ""
                    if is_control and not end.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        end.sendall(data + b"\\n")
            except OSError:
                pass

    def close_control(msg):
        import socket
        for fd in range(3, 64):
            try:
                with socket.socket(fileno=os.dup(fd)) as end:
                    found = end.getpeername() == "" and end.getsockname() == ""
                if found:
                    os.close(fd)
            except OSError:
                pass
        return 1

    def answer_nonsense(msg):
        import socket, stat
        for fd in range(3, 64):
            try:
                with socket.socket(fileno=os.dup(fd)) as end:
                    if end.getsockname().startswith("/") and end.getpeername() == "":
                        end.sendall(msg.payload.encode())
            except OSError:
                pass
        time.sleep(600)

    def cut_clock(msg):
        for fd in range(3, 64):
            try:
                if os.fstat(fd).st_size == 16:
                    os.ftruncate(fd, 0)
            except OSError:
                pass
        time.sleep(600)

    def close_all(msg):
        os.closerange(3, 64)
"""
NONSENSE = ("tell", "answer_nonsense", "cut_clock", "close_all", "close_control")
ROUTES = "echo:good:echo," + ",".join(
    f"{name}:bad:{name}" for name in ("whoami", "fork_away", "start_away", "leave", "leave_group", "hang", *NONSENSE)
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


def is_ended(daemon: Daemon, why: str) -> bool:
    """Tell whether the log has the bad worker's end, and what for."""
    return f"bad: the model's process ended: {why}" in daemon.log


@on_linux
@pytest.mark.parametrize(
    "line",
    ["garbage", "[1]", "{}", '{"state": 7}', '{"state": "ready"}', '{"state": "alive"}', "[" * 100_000, "x"],
    ids=["garbage", "list", "empty", "type", "keys", "unasked", "deep", "64 MiB"],
)
def test_a_worker_that_tells_its_supervisor_nonsense_ends_and_no_other_notices(
    start_daemon: StartDaemon, line: str
) -> None:
    daemon = start_daemon({"good.py": GOOD, "bad.py": BAD}, ROUTES=ROUTES, PRELOAD="0").wait_ready()
    assert daemon.post("tell", line)[0] in (200, 502)
    wait_until(lambda: is_ended(daemon, "it told the supervisor"))
    assert daemon.post("echo", 1) == (200, 1)
    wait_until(lambda: daemon.post("whoami")[0] == 200)
    assert find_bad(daemon)["restarts"] == 1
    assert daemon.stop() == 0


@on_linux
def test_what_a_worker_told_is_the_reason_in_routes_while_it_is_started_again(start_daemon: StartDaemon) -> None:
    daemon = start_daemon({"good.py": GOOD, "bad.py": BAD}, ROUTES=ROUTES, PRELOAD="0").wait_ready()
    reasons = set()

    def has_reason() -> bool:
        reasons.add(find_bad(daemon)["reason"])
        return any("it told the supervisor no JSON: 'garbage'" in str(reason) for reason in reasons)

    daemon.post("tell", "garbage")
    wait_until(has_reason)


@on_linux
@pytest.mark.parametrize(
    ("route", "payload", "why"),
    [
        ("answer_nonsense", "garbage of some length", "it told the gateway a frame of"),
        ("answer_nonsense", "\0\0\0\2\0\0\0\0[]", "it told the gateway a header that is no JSON object"),
        ("answer_nonsense", "\0\0\0\2\0\0\0\0{}", "it told the gateway an answer without n"),
        ("cut_clock", None, "it shows a clock of 0 bytes"),
        ("close_all", None, ""),
    ],
)
def test_a_worker_that_breaks_what_it_shares_ends_and_no_other_notices(
    start_daemon: StartDaemon, route: str, payload: str | None, why: str
) -> None:
    daemon = start_daemon({"good.py": GOOD, "bad.py": BAD}, ROUTES=ROUTES, PRELOAD="0").wait_ready()
    assert daemon.post(route, payload)[0] == 502
    wait_until(lambda: is_ended(daemon, why))
    assert daemon.post("echo", 1) == (200, 1)
    wait_until(lambda: daemon.post("whoami")[0] == 200)
    assert daemon.stop() == 0


def test_thousands_of_orders_that_are_none_and_files_that_are_spoilt_end_nobody(start_daemon: StartDaemon) -> None:
    daemon = start_daemon({"good.py": GOOD, "bad.py": BAD}, ROUTES=ROUTES, PRELOAD="0").wait_ready()
    chance = random.Random(7)
    for number in range(3000):
        line = json.dumps(spoil({"do": "end", "model": "bad", "pid": 1 << 21, "why": "x"}, chance)).encode()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(daemon.run_dir / "orders.sock"))
            sock.sendall(line if number % 3 else line[: chance.randrange(len(line) + 1)])
            sock.sendall(b"\n" if number % 5 else b"")
        if number % 300 == 0:
            assert daemon.post("echo", number) == (200, number)
    for path in daemon.run_dir.glob("*.counts"):
        path.write_bytes(struct.pack("d", math.nan) * (path.stat().st_size // 8))
    (daemon.run_dir / "gateway-.counters").write_text("x")
    (daemon.run_dir / "w0-1-echo.seldon").write_text("[{")
    (daemon.run_dir / "status.json").write_text("[1]")
    wait_until(lambda: find_bad(daemon)["state"] == "ready")
    status, page = daemon.request("GET", "/metrics")
    assert status == 200
    assert b"nan" not in page.lower()
    assert daemon.post("echo", 1) == (200, 1)
    assert daemon.stop() == 0


@on_linux
def test_a_worker_that_has_closed_its_socket_to_the_supervisor_is_started_again(start_daemon: StartDaemon) -> None:
    daemon = start_daemon({"good.py": GOOD, "bad.py": BAD}, ROUTES=ROUTES, PRELOAD="0").wait_ready()
    assert daemon.post("close_control")[0] in (200, 502)
    wait_until(lambda: is_ended(daemon, "it has closed its socket to the supervisor"))
    wait_until(lambda: daemon.post("whoami")[0] == 200)
