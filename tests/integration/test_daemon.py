"""The real daemon: the builder's run script, the supervisor, gunicorn, a worker a model."""

import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from modelyard.runtime.application import APPLICATION_FILE, Application, Model, format_application
from modelyard.runtime.daemon.status import read_status
from modelyard.runtime.supervisor.processes import STEADY
from tests.integration.daemons import RUN, Daemon, StartDaemon, is_alive, starting_daemons, wait_until

pytestmark = pytest.mark.integration

GOOD = """
    import os, sys, time

    def echo(msg):
        return msg.payload

    def whoami(msg):
        return {"pid": os.getpid(), "waits": os.environ["OMP_WAIT_POLICY"], "cwd": os.getcwd()}

    def nan(msg):
        return [1.0, float("nan")]

    def chat(msg):
        print("hello from the model", flush=True)
        return 1

    def nap(msg):
        open("begun", "a").close()
        time.sleep(msg.payload)
        return "rested"

    def hold(msg):
        while not os.path.exists("go"):
            time.sleep(0.01)
"""
BAD = """
    import itertools, os, signal, sys

    def fail(msg):
        return 1 / 0

    def leave(msg):
        sys.exit(4)

    def die(msg):
        os._exit(7)

    def killed(msg):
        os.kill(os.getpid(), signal.SIGKILL)

    def hang(msg):
        all(itertools.repeat(1))  # never lets another thread run

    def fine(msg):
        return "fine"
"""
ROUTES = {
    "good": ("echo", "whoami", "nan", "chat", "nap", "hold"),
    "bad": ("fail", "leave", "die", "killed", "hang", "fine"),
}


@pytest.fixture
def start_daemon() -> Iterator[StartDaemon]:
    """Start daemons of files and variables; whatever happens, none of their processes stays."""
    with starting_daemons() as start:
        yield start


@pytest.fixture
def start_pair(start_daemon: StartDaemon) -> StartDaemon:
    """Start a daemon of two models, a good one and a bad one."""

    def start(**environ: str) -> Daemon:
        routes = ",".join(f"{name}:{model}.predict:{name}" for model, names in ROUTES.items() for name in names)
        models = tuple(Model(name=f"p/{model}", path=model, routes=names) for model, names in ROUTES.items())
        files = {
            "good/predict.py": GOOD,
            "bad/predict.py": BAD,
            APPLICATION_FILE: format_application(Application(name="p/all", kind="predict", models=models)),
        }
        return start_daemon(files, ROUTES=routes, **environ)

    return start


def test_it_serves_and_stops(start_pair: StartDaemon) -> None:
    daemon = start_pair(PRELOAD="0").wait_ready()  # no fork takes the place of the first worker meanwhile
    assert daemon.post("echo", {"payload": {"a": 1}}) == (200, {"payload": {"a": 1}})
    assert daemon.post("echo", [1]) == (200, [1])
    assert daemon.post("nan") == (200, [1.0, None])
    assert daemon.post("chat") == (200, 1)
    assert daemon.request("GET", "/health") == (200, b"OK!")
    assert b"<title>p/all</title>" in daemon.request("GET", "/")[1]
    _, about = daemon.post("whoami")
    assert about["cwd"] == str(daemon.root)
    assert about["waits"] == "PASSIVE"
    processes = daemon.children()
    assert about["pid"] in processes
    assert daemon.stop() == 0
    assert not [pid for pid in processes if is_alive(pid)]
    assert "[p/good] hello from the model" in daemon.log
    assert not list(daemon.run_dir.glob("*.sock"))


def test_every_error_is_a_problem_with_a_true_status(start_pair: StartDaemon) -> None:
    daemon = start_pair(MAX_BODY="100").wait_ready()
    for status, answer in {
        400: daemon.request("POST", "/echo", b"{"),
        404: daemon.post("nowhere"),
        405: daemon.request("GET", "/echo"),
        413: daemon.request("POST", "/echo", b" " * 101),
        415: daemon.request("POST", "/echo", b"a=1", **{"Content-Type": "text/plain"}),
        500: daemon.post("fail"),
    }.items():
        assert (answer[0], answer[1]["status"]) == (status, status)
        assert answer[1]["request_id"]
    assert daemon.post("nowhere")[1]["routes"][0] == "/echo"
    _, failure = daemon.post("fail")
    assert "ZeroDivisionError" not in json.dumps(failure)
    assert f"request_id={failure['request_id']}" in daemon.log
    assert "ZeroDivisionError: division by zero" in daemon.log


@pytest.mark.parametrize(("route", "end"), [("die", "exit code 7"), ("killed", "killed by SIGKILL")])
def test_a_process_that_dies_is_started_again_and_no_other_route_notices(
    start_pair: StartDaemon, route: str, end: str
) -> None:
    daemon = start_pair(PRELOAD="0").wait_ready()
    _, before = daemon.post("whoami")
    status, answer = daemon.post(route)
    assert (status, answer["status"]) == (502, 502)
    assert daemon.post("whoami") == (200, before)
    wait_until(lambda: daemon.post("fine") == (200, "fine"))
    assert f"p/bad: the model's process ended: {end}" in daemon.log
    restarts = {item["route"]: item["restarts"] for item in daemon.request("GET", "/routes")[1]["routes"]}
    assert (restarts["fine"], restarts["echo"]) == (1, 0)


def test_a_process_that_hangs_between_calls_is_started_again(start_pair: StartDaemon) -> None:
    daemon = start_pair(REQUEST_TIMEOUT="1", PRELOAD="0").wait_ready()
    _, before = daemon.post("whoami")
    os.kill(before["pid"], signal.SIGSTOP)
    assert daemon.post("whoami")[0] == 504
    wait_until(lambda: (answer := daemon.post("whoami"))[0] == 200 and answer[1] != before, seconds=40)
    assert "p/good: it did not react for 5 s, here:" in daemon.log
    assert daemon.post("fine") == (200, "fine")


def test_no_process_is_ended_for_a_time_in_which_all_were_frozen(start_pair: StartDaemon) -> None:
    daemon = start_pair(REQUEST_TIMEOUT="1", PRELOAD="0").wait_ready()
    _, before = daemon.post("whoami")
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in (daemon.process.pid, *daemon.children()):
            os.kill(pid, number)
        time.sleep(8)
    assert daemon.post("whoami") == (200, before)
    assert "did not react" not in daemon.log


def test_requests_of_other_forms_of_http_are_answered_as_its_rfcs_say(start_pair: StartDaemon) -> None:
    daemon = start_pair().wait_ready()
    chunked = b"POST /%b HTTP/1.2\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1]\r\n0\r\n\r\n"
    upgrade = b"Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket"
    expecting = b"POST /%b HTTP/1.1\r\nHost: x\r\nExpect: a-miracle\r\nContent-Length: 3\r\n\r\n[1]"
    for data, status, ending in (
        (b"POST /echo HTTP/1.1\r\nContent-Length: 3\r\n\r\n[1]", b"400 Bad Request", b"no Host header"),
        (b"GET /livez HTTP/1.1\r\nHost: a@b/c\r\n\r\n", b"400 Bad Request", b"names no host: 'a@b/c'"),
        (b"GET /livez HTTP/1.1\nHost: x\n\n", b"400 Bad Request", b"HTTP ends them with CRLF"),
        (b"POST /echo HTTP/1.9\r\nHost: x\r\nContent-Length: 3\r\n\r\n[1]", b"200 OK", b"\r\n\r\n[1]"),
        (chunked % b"echo", b"200 OK", b"\r\n\r\n[1]"),
        (chunked % b"v1/models/echo:predict", b"200 OK", b'\r\n\r\n{"predictions":[1]}'),
        ((chunked % b"echo").replace(b"0\r\n", b"0\r\nX-Checksum: 1\r\n"), b"200 OK", b"\r\n\r\n[1]"),
        (b"GET /livez HTTP/1.1\r\n%b\r\n\r\n" % upgrade, b"200 OK", b'{"live":true}'),
        (b"GET /x/livez HTTP/1.1\r\nHost: x\r\nSCRIPT_NAME: /x\r\n\r\n", b"404 Not Found", b"no route /x/livez"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n%b\r\n" % (b"X: 1\r\n" * 200), b"200 OK", b'{"live":true}'),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n" % (b"x" * 10_000), b"200 OK", b'{"live":true}'),
        (b"GET /livez?%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"x" * 5_000), b"200 OK", b'{"live":true}'),
        (b"GET /livez?%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"x" * 9_000), b"414 ", b"address is too long"),
        (expecting % b"echo", b"417 Expectation Failed", b"nothing but 100-continue"),
        (expecting % b"v1/models/echo:predict", b"417 Expectation Failed", b"nothing but 100-continue"),
        (expecting.replace(b"1.1", b"1.0") % b"echo", b"200 OK", b"\r\n\r\n[1]"),
        (chunked.replace(b"chunked", b"gzip, chunked") % b"echo", b"501 Not Implemented", b"no other transfer coding"),
        (chunked.replace(b"chunked", b"br, chunked") % b"echo", b"501 Not Implemented", b"no other transfer coding"),
    ):
        answer = send(daemon, data)
        assert answer.startswith(b"HTTP/1.1 %b" % status), (data, answer)
        assert ending in answer


def send(daemon: Daemon, data: bytes) -> bytes:
    """The answer to these bytes, as far as it comes at once."""
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=10) as sock:
        sock.sendall(data)
        answer = b""
        while b"\r\n\r\n" not in answer or answer.endswith(b"\r\n\r\n"):
            received = sock.recv(65536)
            assert received, answer
            answer += received
        return answer


def test_sys_exit_in_a_model_is_a_failed_request_only(start_pair: StartDaemon) -> None:
    daemon = start_pair().wait_ready()
    assert daemon.post("leave")[0] == 500
    assert daemon.post("fine") == (200, "fine")
    assert "restarting" not in json.dumps(daemon.request("GET", "/routes")[1])


def test_an_endless_loop_in_c_is_ended_and_shown_in_the_log(start_pair: StartDaemon) -> None:
    daemon = start_pair(REQUEST_TIMEOUT="0.5", PRELOAD="0").wait_ready()
    started = time.monotonic()
    status, answer = daemon.post("hang")
    assert (status, answer["detail"]) == (504, "p/bad did not answer within 0.5 s")
    assert time.monotonic() - started < 5
    assert daemon.post("echo", 1) == (200, 1)
    wait_until(lambda: daemon.post("fine") == (200, "fine"))
    assert "a request ran longer than 0.5 s" in daemon.log
    assert "in hang" in daemon.log


def test_a_call_is_ended_by_the_time_of_its_own_route_where_the_model_has_slower_ones(
    start_pair: StartDaemon,
) -> None:
    daemon = start_pair(REQUEST_TIMEOUT="60,hang=0.5", PRELOAD="0").wait_ready()
    assert daemon.post("hang")[0] == 504
    assert daemon.post("fine") == (200, "fine")
    assert "a request ran longer than 0.5 s" in daemon.log


def test_a_setting_for_a_route_that_is_not_there_is_told(start_pair: StartDaemon) -> None:
    daemon = start_pair(REQUEST_TIMEOUT="60,ehco=1").wait_ready()
    there_are = "there are echo, hold, whoami and 9 others"
    assert f"REQUEST_TIMEOUT names 'ehco', which is no route here: {there_are}" in daemon.log


def test_a_model_that_cannot_load_takes_no_other_down(start_daemon: StartDaemon) -> None:
    files = {"a.py": "def run(msg): return 1", "b.py": "open('models/b.bin')\ndef run(msg): return 2"}
    daemon = start_daemon(files, ROUTES="a:a:run,b:b:run")
    wait_until(lambda: daemon.post("a") == (200, 1))
    wait_until(lambda: "could not be loaded" in daemon.post("b")[1]["detail"])
    status, answer = daemon.post("b")
    assert status == 503
    assert "FileNotFoundError" in answer["detail"]
    assert "models/b.bin" in answer["detail"]
    assert "b.py:1" in answer["detail"]
    status, answer = daemon.request("GET", "/readyz")
    assert (status, list(answer["models"])) == (503, ["b"])
    (daemon.root / "models").mkdir()
    (daemon.root / "models" / "b.bin").touch()
    wait_until(lambda: daemon.post("b") == (200, 2))
    assert daemon.request("GET", "/readyz")[0] == 200


def test_a_model_that_crashes_the_interpreter_while_it_loads_says_where(start_daemon: StartDaemon) -> None:
    source = "import faulthandler\n\ndef load():\n    faulthandler._sigsegv()\n\nload()\ndef run(msg): return 1"
    daemon = start_daemon({"m/p.py": source}, ROUTES="run:m.p:run")
    wait_until(lambda: "could not be loaded" in daemon.post("run")[1]["detail"])
    detail = daemon.post("run")[1]["detail"]
    assert "killed by SIGSEGV (its last line: Fatal Python error: Segmentation fault: " in detail
    assert detail.endswith('File "m/p.py", line 4 in load)')


def test_a_worker_needs_nothing_that_its_model_has_replaced(start_daemon: StartDaemon) -> None:
    source = """
        import json, mmap, os, select, selectors, signal, socket, struct, sys, threading, time, types
        end, sleep = os._exit, time.sleep

        def replaced(*arguments, **more):
            raise RuntimeError("replaced")

        for module in (json, mmap, os, select, signal, socket, struct, threading, time):
            for name, value in vars(module).copy().items():
                if name != "fspath" and isinstance(value, (types.BuiltinFunctionType, types.FunctionType)):
                    setattr(module, name, replaced)
        for kind in (json.JSONEncoder, json.JSONDecoder, socket.socket, threading.Thread, threading.Event):
            for name in {"encode", "iterencode", "decode", "recv", "sendall", "start", "wait"} & set(dir(kind)):
                setattr(kind, name, replaced)
        selectors.DefaultSelector = select.epoll = socket.socket = threading.Thread = mmap.mmap = replaced
        sys.stdout = sys.stderr = None
        open(1, "wb").close()

        def double(msg): return {"rows": [2 * row for row in msg.payload["instances"]]}
        def fail(msg): return 1 / 0
        def nap(msg): sleep(float(msg.payload))
        def leave(msg): return end(3) if msg.payload == "now" else 1
    """
    names = ("double", "fail", "nap", "leave")
    model = Model(name="m", routes=names, instances="instances.json")
    files = {
        "predict.py": source,
        "instances.json": '{"instances": [1, 2, 3]}',
        APPLICATION_FILE: format_application(Application(name="m", kind="predict", models=(model,))),
    }
    daemon = start_daemon(files, ROUTES=",".join(f"{name}:predict:{name}" for name in names))
    daemon.wait_ready()
    described = {route["route"]: route["batching"] for route in daemon.request("GET", "/routes")[1]["routes"]}
    assert described["double"] == "on"
    assert daemon.post("double", {"instances": [4]}) == (200, {"rows": [8]})
    assert daemon.post("fail")[0] == 500
    assert "ZeroDivisionError" in daemon.log
    with ThreadPoolExecutor() as pool:
        napping = pool.submit(daemon.post, "nap", 0.5)
        asked = [pool.submit(daemon.post, "double", {"instances": [number]}) for number in range(8)]
        assert [one.result() for one in asked] == [(200, {"rows": [2 * number]}) for number in range(8)]
        assert napping.result() == (200, None)
    assert daemon.post("leave", "now")[0] == 502
    wait_until(lambda: daemon.post("double", {"instances": [4]})[0] == 200)
    assert daemon.stop() == 0


def test_a_function_that_changes_the_folder_hides_no_test_instances(start_daemon: StartDaemon) -> None:
    source = """
        import os
        def move(msg): os.chdir("/")
        def double(msg): return [2 * row for row in msg.payload["instances"]]
    """
    model = Model(name="m", routes=("move", "double"), instances="instances.json")
    files = {
        "predict.py": source,
        "instances.json": '{"instances": [1, 2, 3]}',
        APPLICATION_FILE: format_application(Application(name="m", kind="predict", models=(model,))),
    }
    daemon = start_daemon(files, ROUTES="move:predict:move,double:predict:double").wait_ready()
    described = {route["route"]: route["batching"] for route in daemon.request("GET", "/routes")[1]["routes"]}
    assert described["double"] == "on"


def test_routes_tells_of_batching_that_ends_while_serving(start_daemon: StartDaemon) -> None:
    source = """
        import os, time
        def run(msg):
            time.sleep(0.02)
            rows = msg.payload["instances"]
            return {"doubled": [2 * row for row in rows], "rows": len(rows) if os.path.exists("counts") else None}
    """
    files = {
        "predict.py": source,
        "instances.json": '{"instances": [1, 2, 3]}',
        APPLICATION_FILE: format_application(
            Application(
                name="m", kind="predict", models=(Model(name="m", routes=("run",), instances="instances.json"),)
            )
        ),
    }
    daemon = start_daemon(files, ROUTES="run:predict:run").wait_ready()
    describe = lambda: daemon.request("GET", "/routes")[1]["routes"][0]["batching"]  # noqa: E731
    assert describe() == "on"
    (daemon.root / "counts").touch()
    answers: list[Any] = []
    ask = lambda: answers.append(daemon.post("run", {"instances": [4]}))  # noqa: E731

    def is_off() -> bool:
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return bool(describe() == "off: $.rows, which stayed the same, has changed, while serving")

    wait_until(is_off)
    assert "m: requests of run share no more calls: $.rows" in daemon.log
    assert all(answer == (200, {"doubled": [8], "rows": 1}) for answer in answers)


def test_a_model_of_thousands_of_files_is_followed_and_served(start_daemon: StartDaemon) -> None:
    source = """
        import pathlib
        folder = pathlib.Path("models")
        folder.mkdir(exist_ok=True)
        for number in range(3000):
            (folder / f"a-part-of-the-model-{number}.bin").write_text(str(number))
        total = sum(int(path.read_text()) for path in folder.iterdir())
        def run(msg): return total
    """
    daemon = start_daemon({"predict.py": source}, ROUTES="run:predict:run").wait_ready()
    assert daemon.post("run") == (200, 4498500)
    assert daemon.stop() == 0


def test_ready_any_needs_one_model_only(start_daemon: StartDaemon) -> None:
    files = {"a.py": "def run(msg): return 1", "b.py": "raise RuntimeError('no')"}
    daemon = start_daemon(files, ROUTES="a:a:run,b:b:run", READY="any").wait_ready()
    assert daemon.post("a") == (200, 1)


def test_models_load_at_the_same_time_and_before_any_request(start_daemon: StartDaemon) -> None:
    # Each waits for the other three: one after the other, none would ever be ready.
    source = """
        import pathlib, time
        pathlib.Path(__name__ + ".here").touch()
        while len(list(pathlib.Path().glob("*.here"))) < 4:
            time.sleep(0.01)
        def run(msg): return __name__
    """
    files = {f"m{number}.py": source for number in range(4)}
    routes = ",".join(f"m{number}:m{number}:run" for number in range(4))
    daemon = start_daemon(files, ROUTES=routes, PRELOAD="0", LOAD_AT_ONCE="4").wait_ready()
    assert [daemon.post(f"m{number}")[1] for number in range(4)] == ["m0", "m1", "m2", "m3"]


def test_too_many_requests_are_refused_at_once(start_pair: StartDaemon) -> None:
    daemon = start_pair(QUEUE_SIZE="2", GATEWAY_THREADS="16", PRELOAD="0").wait_ready()
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(daemon.post("hold")[0])) for _ in range(10)]
    for thread in threads:
        thread.start()
    wait_until(lambda: statuses.count(429) >= 7)
    assert daemon.post("fine") == (200, "fine")
    (daemon.root / "go").touch()
    for thread in threads:
        thread.join()
    assert Counter(statuses) == {200: 3, 429: 7}


@pytest.mark.parametrize("path", ["nap", "v1/models/nap:predict"])
def test_requests_that_a_killed_worker_had_not_begun_are_answered_by_the_next(
    start_pair: StartDaemon, path: str
) -> None:
    daemon = start_pair(PRELOAD="0").wait_ready()
    pid = daemon.post("whoami")[1]["pid"]
    statuses: list[int] = []
    first = threading.Thread(target=lambda: statuses.append(daemon.post(path, 30)[0]))
    first.start()
    wait_until(lambda: is_napping(daemon))
    others = [threading.Thread(target=lambda: statuses.append(daemon.post(path, 0)[0])) for _ in range(8)]
    for thread in others:
        thread.start()
    wait_until(lambda: queue_depth(daemon) >= 8)
    os.kill(pid, signal.SIGKILL)
    for thread in (first, *others):
        thread.join()
    assert Counter(statuses) == {502: 1, 200: 8}


@pytest.mark.parametrize("path", ["echo", "v1/models/echo:predict"])
def test_requests_that_wait_for_a_worker_that_is_killed_before_its_first_call_are_answered_by_the_next(
    start_daemon: StartDaemon, path: str
) -> None:
    daemon = start_daemon({"predict.py": GOOD}, ROUTES="echo:predict:echo").wait_ready()
    statuses: list[int] = []
    (status,) = read_status(daemon.run_dir).values()
    (worker,) = status.pids
    os.kill(worker, signal.SIGSTOP)
    threads = [threading.Thread(target=lambda: statuses.append(daemon.post(path, 7)[0])) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: in_flight(daemon) >= 4)
    os.kill(worker, signal.SIGKILL)
    for thread in threads:
        thread.join()
    assert statuses == [200] * 4


def in_flight(daemon: Daemon) -> float:
    """How many requests have arrived and are not answered yet."""
    page = daemon.request("GET", "/metrics")[1].decode()
    lines = (line for line in page.splitlines() if line.startswith("modelyard_requests_in_flight{"))
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def queue_depth(daemon: Daemon) -> float:
    """How many requests wait for the good model."""
    page = daemon.request("GET", "/metrics")[1].decode()
    line = next(line for line in page.splitlines() if line.startswith('modelyard_queue_depth{model="p/good"}'))
    return float(line.rpartition(" ")[2])


def test_large_requests_that_are_more_than_the_daemon_holds_are_refused_and_small_ones_pass(
    start_pair: StartDaemon,
) -> None:
    daemon = start_pair(MAX_BUFFERED="1M", BODY_TIMEOUT="30").wait_ready()
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n"
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", daemon.port), 20)) for _ in range(2)]
        clients[0].sendall(head + b" " * 600_000)
        wait_until(lambda: not pending(clients[0]))
        with suppress(ConnectionError):  # it is told before it has sent everything
            clients[1].sendall(head + b" " * 600_000)
        answer = clients[1].recv(65536)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1\r\n" in answer
        assert daemon.post("echo", [1]) == (200, [1])
        clients[0].sendall(b" " * 299_999 + b"7")
        assert clients[0].recv(65536).endswith(b"\r\n\r\n7")
    assert daemon.request("POST", "/echo", b" " * 900_000 + b"7") == (200, 7)  # nothing is held any more


def pending(sock: socket.socket) -> int:
    """How many of the bytes that were sent the other side's system has not taken yet."""
    (count,) = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))
    return int(count)


def test_sigterm_under_load_loses_no_accepted_request(start_pair: StartDaemon) -> None:
    daemon = start_pair().wait_ready()
    port = daemon.port
    answers: Counter[Any] = Counter()
    refused = threading.Event()

    def send_until_refused() -> None:
        while not refused.is_set():
            try:
                sock = socket.create_connection(("127.0.0.1", port), timeout=20)
            except ConnectionRefusedError:
                refused.set()
                return
            with sock:
                body = b"0.02"
                head = f"POST /nap HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
                try:
                    sock.sendall(head.encode() + body)
                    answers[sock.recv(65536).split(b"\r\n")[0]] += 1
                except ConnectionResetError:
                    answers["reset"] += 1

    threads = [threading.Thread(target=send_until_refused) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_until(lambda: sum(answers.values()) > 20)
    assert daemon.stop() == 0
    for thread in threads:
        thread.join()
    assert set(answers) == {b"HTTP/1.1 200 OK"}


def test_sigterm_waits_for_a_long_request(start_pair: StartDaemon) -> None:
    daemon = start_pair().wait_ready()
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(daemon.post("nap", 1.0)))
    thread.start()
    wait_until(lambda: is_napping(daemon))
    assert daemon.stop() == 0
    thread.join()
    assert answers == [(200, "rested")]


def test_a_request_that_meets_sigterm_on_a_kept_connection_is_answered(start_pair: StartDaemon) -> None:
    daemon = start_pair().wait_ready()
    connection = HTTPConnection("127.0.0.1", daemon.port, timeout=20)
    connection.request("POST", "/echo", body=b"1")
    assert connection.getresponse().read() == b"1"
    daemon.process.terminate()
    kept = "keep-alive"
    while kept == "keep-alive":  # the gateway hears of it by way of the supervisor and gunicorn
        connection.request("POST", "/echo", body=b"2")
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"2")
        kept = response.headers["Connection"]
    assert kept == "close"
    assert daemon.process.wait(20) == 0


def is_napping(daemon: Daemon) -> bool:
    """Tell whether a nap has begun."""
    return (daemon.root / "begun").exists()


def test_stopping_has_a_limit(start_pair: StartDaemon) -> None:
    daemon = start_pair(STOP_TIMEOUT="2").wait_ready()
    processes = daemon.children()
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda path: answers.append(daemon.request("POST", path, b"30")), args=[path])
        for path in ("/nap", "/nap?")  # the second takes the way through the app
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: b'modelyard_requests_in_flight{route="nap"} 2' in daemon.request("GET", "/metrics")[1])
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=20) as half:
        half.sendall(b"POST /nap HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1")
        started = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - started < 10
        assert half.recv(4096).startswith(b"HTTP/1.1 408 ")
    for thread in threads:
        thread.join()
    assert [status for status, _ in answers] == [503, 503]
    assert all("the daemon stops" in str(answer) for _, answer in answers)
    assert "2 requests had no answer within STOP_TIMEOUT" in daemon.log
    assert not [pid for pid in processes if is_alive(pid)]


def test_no_process_outlives_a_killed_supervisor(start_pair: StartDaemon) -> None:
    daemon = start_pair().wait_ready()
    processes = daemon.children()
    assert len(processes) >= 4  # gunicorn and its worker, two models
    daemon.process.kill()
    daemon.process.wait()
    wait_until(lambda: not [pid for pid in processes if is_alive(pid)])


def test_a_gateway_that_is_killed_comes_back(start_pair: StartDaemon) -> None:
    daemon = start_pair().wait_ready()
    gateway = next(pid for pid in daemon.children() if "modelyard.runtime.gateway" in command_of(pid))
    os.kill(gateway, signal.SIGKILL)
    wait_until(lambda: "the gateway ended: killed by SIGKILL" in daemon.log)
    wait_until(lambda: daemon.post("echo", 1) == (200, 1))


def test_a_gateway_that_has_served_and_cannot_start_for_a_while_ends_no_daemon(start_pair: StartDaemon) -> None:
    daemon = start_pair().wait_ready()
    time.sleep(STEADY)
    application = daemon.root / APPLICATION_FILE
    text = application.read_text()
    application.write_text("{")
    os.kill(next(pid for pid in daemon.children() if "modelyard.runtime.gateway" in command_of(pid)), signal.SIGKILL)
    wait_until(lambda: "the gateway ended: exit code" in daemon.log)
    application.write_text(text)
    wait_until(lambda: daemon.post("echo", 1) == (200, 1))
    assert daemon.stop() == 0


def command_of(pid: int) -> str:
    """The command line of a process."""
    done = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout


def test_the_applications_file_names_disturb_neither_gateway_nor_supervisor(start_daemon: StartDaemon) -> None:
    shadows = ("logging", "socket", "selectors", "flask", "gunicorn")
    files = {f"{name}.py": "raise RuntimeError('imported')" for name in shadows}
    daemon = start_daemon({**files, "p/predict.py": "def run(msg): return 1"}, ROUTES="run:p.predict:run")
    assert daemon.wait_ready().post("run") == (200, 1)


def test_a_status_that_cannot_be_written_is_told_and_ends_no_daemon(start_pair: StartDaemon) -> None:
    daemon = start_pair(PRELOAD="0").wait_ready()
    obstacle = daemon.run_dir / ".status.json.part"
    obstacle.mkdir()
    assert daemon.post("die")[0] == 502
    wait_until(lambda: daemon.post("fine") == (200, "fine"))
    assert daemon.log.count("/routes stays as it was until this is mended") == 1
    obstacle.rmdir()
    wait_until(lambda: read_status(daemon.run_dir)["p/bad"].restarts == 1)
    assert daemon.stop() == 0


def test_the_json_log_has_one_object_a_line(start_pair: StartDaemon) -> None:
    daemon = start_pair(MODELYARD_LOG="json").wait_ready()
    _, failure = daemon.post("fail")
    daemon.post("chat")
    assert daemon.post("die")[0] == 502
    assert daemon.stop() == 0
    entries = [json.loads(line) for line in daemon.log.splitlines()]
    failed = next(entry for entry in entries if entry.get("request_id") == failure["request_id"])
    assert (failed["path"], failed["status"], failed["level"]) == ("/fail", 500, "error")
    assert "ZeroDivisionError" in failed["trace"]
    assert any(entry["message"] == "[p/good] hello from the model" for entry in entries)


def test_a_missing_environment_is_said_by_the_script(tmp_path: Path) -> None:
    env = {**os.environ, "APP_ROOT": str(tmp_path), "MODELYARD_ENVIRONMENTS": str(tmp_path / "nowhere")}
    done = subprocess.run(["bash", str(RUN)], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "nowhere/gateway/bin/python is missing: this image was not assembled" in done.stderr
