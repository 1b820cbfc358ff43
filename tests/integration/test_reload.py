"""Loading models again while they serve: by a changed file, SIGHUP, an operator's request, or a memory limit."""

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.runtime.application import APPLICATION_FILE, Application, Model, format_application
from modelyard.runtime.daemon.status import read_status
from tests.integration.daemons import Daemon, StartDaemon, starting_daemons, wait_until

pytestmark = pytest.mark.integration

PREDICT = """
    import json, os, time

    with open("models/m.json") as file:
        about = json.load(file)
    SCALE = about["scale"]
    time.sleep(about.get("load_seconds", 0.3))

    def run(msg):
        return {"scaled": [SCALE * value for [value] in msg.payload["instances"]]}

    def grow(msg):
        run.kept = getattr(run, "kept", []) + [bytearray(msg.payload << 20)]
        return os.getpid()
"""


ADMIN = {"Authorization": "Bearer secret"}


@pytest.fixture
def start_daemon() -> Iterator[StartDaemon]:
    """Start daemons of files and variables."""
    with starting_daemons() as start:
        yield start


def start(start_daemon: StartDaemon, **environ: str) -> Daemon:
    """Start a daemon of one model, loaded from models/m.json."""
    model = Model(name="m", routes=("run", "grow"), instances="instances.json")
    files = {
        "predict.py": PREDICT,
        "models/m.json": '{"scale": 2}',
        "instances.json": '{"instances": [[1], [2], [3]]}',
        APPLICATION_FILE: format_application(Application(name="m", kind="predict", models=(model,))),
    }
    return start_daemon(files, ROUTES="run:predict:run,grow:predict:grow", **environ).wait_ready()


def put(daemon: Daemon, text: str) -> None:
    """Rename a new model binary into models/."""
    scratch = daemon.root / "models" / ".m.json.part"
    scratch.write_text(text)
    scratch.replace(daemon.root / "models" / "m.json")


def about(daemon: Daemon) -> dict[str, Any]:
    """What /routes says of the route."""
    return next(route for route in daemon.request("GET", "/routes")[1]["routes"] if route["route"] == "run")


class Load:
    """Clients that ask without a pause while inside, and count what they are answered."""

    def __init__(self, daemon: Daemon) -> None:
        self.answers: Counter[str] = Counter()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(daemon,)) for _ in range(6)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, daemon: Daemon) -> None:
        while not self._over.is_set():
            self.answers[json.dumps(daemon.post("run", {"instances": [[5]]}))] += 1


def test_a_new_binary_is_swapped_in_without_a_failed_request(start_daemon: StartDaemon) -> None:
    daemon = start(start_daemon)
    with Load(daemon) as load:
        wait_until(lambda: load.answers)
        put(daemon, '{"scale": 3}')
        wait_until(lambda: '[200, {"scaled": [15]}]' in load.answers)
    assert set(load.answers) == {'[200, {"scaled": [10]}]', '[200, {"scaled": [15]}]'}
    shown = about(daemon)
    assert (shown["reloads"], shown["restarts"], shown["reload_error"], shown["state"]) == (1, 0, None, "ready")
    assert shown["batching"] == "on"
    wait_until(lambda: len([one for one in daemon.children() if "worker" in command(one)]) == 1)
    assert daemon.stop() == 0


def command(pid: int) -> str:
    """The command line of a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


@pytest.mark.parametrize(
    ("binary", "reason"),
    [("no json", "JSONDecodeError"), ('{"scale": null}', "TypeError"), ("{}", "KeyError: 'scale'")],
)
def test_a_binary_that_fails_changes_nothing_but_the_reason(
    start_daemon: StartDaemon,
    binary: str,
    reason: str,
) -> None:
    daemon = start(start_daemon)
    put(daemon, binary)
    wait_until(lambda: about(daemon)["reload_error"])
    assert reason in about(daemon)["reload_error"]
    assert daemon.post("run", {"instances": [[5]]}) == (200, {"scaled": [10]})
    assert "could not be loaded again" in daemon.log
    put(daemon, '{"scale": 4}')
    wait_until(lambda: daemon.post("run", {"instances": [[5]]}) == (200, {"scaled": [20]}))
    assert about(daemon)["reload_error"] is None


def test_sighup_loads_again(start_daemon: StartDaemon) -> None:
    daemon = start(start_daemon)
    before = daemon.post("grow", 0)
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: about(daemon)["reloads"] == 1)
    wait_until(lambda: daemon.post("grow", 0) != before)  # the old one may still be asked until it has said bye
    os.kill(daemon.post("grow", 0)[1], signal.SIGKILL)  # it is started again like any other
    wait_until(lambda: daemon.post("run", {"instances": [[5]]}) == (200, {"scaled": [10]}))
    assert daemon.stop() == 0


@pytest.fixture
def operated(start_daemon: StartDaemon, tmp_path: Path) -> Daemon:
    """A daemon with a token for its operator."""
    (tmp_path / "tokens").write_text("admin=secret\n")
    return start(start_daemon, MODELYARD_TOKENS=str(tmp_path / "tokens"), LOAD_TIMEOUT="6")


def test_the_admin_endpoint_needs_its_token(operated: Daemon) -> None:
    assert operated.request("POST", "/admin/reload")[0] == 401
    assert operated.request("POST", "/admin/reload/run")[0] == 401
    assert operated.request("POST", "/v2/repository/models/run/load")[0] == 401
    assert operated.request("DELETE", "/models/run")[0] == 401
    assert operated.request("POST", "/models", b"[" * 100_000)[0] == 401  # before its body is read
    assert operated.request("POST", "/models", b"[" * 100_000, **ADMIN)[0] == 400
    status, answer = operated.request("POST", "/admin/reload", **ADMIN)
    assert (status, answer["reloading"]) == (202, ["m"])
    wait_until(lambda: about(operated)["reloads"] == 1)


def test_without_a_token_for_it_nobody_is_an_operator(start_daemon: StartDaemon) -> None:
    daemon = start(start_daemon)
    for method, path in {
        "POST": "/admin/reload",
        "post": "/admin/reload/run",
        "Post": "/v2/repository/models/run/unload",
        "DELETE": "/models/run",
    }.items():
        assert daemon.request(method.upper(), path)[0] == 403, path
    assert daemon.request("POST", "/v2/repository/models/run/load") == (200, {})
    assert about(daemon)["reloads"] == 0


@pytest.mark.parametrize("path", ["/admin/reload/run", "/v2/repository/models/run/load"])
def test_one_model_is_loaded_again_when_it_is_asked_for(operated: Daemon, path: str) -> None:
    with Load(operated) as load:
        wait_until(lambda: load.answers)
        assert operated.request("POST", path, **ADMIN)[0] == 200
        assert about(operated)["reloads"] == 1
    assert set(load.answers) == {'[200, {"scaled": [10]}]'}
    assert operated.request("POST", path.replace("run", "walk"), **ADMIN)[0] == 404
    assert operated.stop() == 0


def test_who_asks_is_told_why_a_model_was_rolled_back(operated: Daemon) -> None:
    put(operated, '{"scale": null}')
    status, answer = operated.request("POST", "/admin/reload/run", **ADMIN)
    assert status == 409
    assert "TypeError" in answer["detail"]
    status, answer = operated.request("POST", "/v2/repository/models/run/load", **ADMIN)
    assert (status, list(answer)) == (409, ["error"])
    assert operated.post("run", {"instances": [[5]]}) == (200, {"scaled": [10]})


def test_a_model_that_loads_for_ever_is_given_up(operated: Daemon) -> None:
    put(operated, '{"scale": 3, "load_seconds": 3600}')
    status, answer = operated.request("POST", "/admin/reload/run", **ADMIN)
    assert status == 409
    assert answer["detail"].endswith("loading it took longer than 6 s (LOAD_TIMEOUT)")
    assert "predict.py" in operated.log  # where it was
    assert operated.post("run", {"instances": [[5]]}) == (200, {"scaled": [10]})


def test_who_waits_for_a_reload_is_told_at_once_that_the_daemon_stops(operated: Daemon) -> None:
    put(operated, '{"scale": 3, "load_seconds": 3600}')
    answers: list[tuple[int, Any]] = []
    ask = lambda: answers.append(operated.request("POST", "/admin/reload/run", **ADMIN))  # noqa: E731
    thread = threading.Thread(target=ask)
    thread.start()
    wait_until(lambda: "loading it again" in operated.log)
    started = time.monotonic()
    assert operated.stop() == 0
    assert time.monotonic() - started < 5
    thread.join()
    ((status, answer),) = answers
    assert (status, answer["detail"]) == (409, "m: the daemon is stopping")


def test_an_unloaded_model_answers_what_it_was_sent_and_is_missed_by_nobody(operated: Daemon) -> None:
    with Load(operated) as load:
        wait_until(lambda: load.answers)
        assert operated.request("POST", "/v2/repository/models/run/unload", **ADMIN) == (200, {})
        wait_until(lambda: operated.post("run", {"instances": [[5]]})[0] == 503)
    assert {answer[:4] for answer in load.answers} == {"[200", "[503"}
    assert "an operator has unloaded it" in operated.post("run", {"instances": [[5]]})[1]["detail"]
    assert operated.request("GET", "/readyz")[0] == 200
    assert about(operated)["state"] == "unloaded"
    assert operated.request("POST", "/v2/repository/index")[1][0]["state"] == "UNAVAILABLE"
    wait_until(lambda: not [one for one in operated.children() if "worker" in command(one)])
    assert operated.request("POST", "/v2/repository/models/run/load", **ADMIN) == (200, {})
    assert operated.post("run", {"instances": [[5]]}) == (200, {"scaled": [10]})


def test_sagemaker_s_models_are_those_of_the_image(operated: Daemon) -> None:
    one = {"modelName": "run", "modelUrl": "."}
    assert one in operated.request("GET", "/models")[1]["models"]
    assert operated.request("GET", "/models/run") == (200, one)
    assert operated.request("POST", "/models/run/invoke", b'{"instances": [[5]]}') == (200, {"scaled": [10]})
    body = b'{"model_name": "run", "url": "/opt/ml/models/run/model"}'
    assert operated.request("POST", "/models", body, **ADMIN)[0] == 409
    assert operated.request("DELETE", "/models/run", **ADMIN) == (200, {})
    assert operated.request("GET", "/models/run")[0] == operated.request("DELETE", "/models/run", **ADMIN)[0] == 404
    assert operated.request("GET", "/models") == (200, {"models": []})
    assert operated.request("POST", "/models", body, **ADMIN) == (200, one)
    assert operated.request("POST", "/models", b'{"model_name": "walk"}', **ADMIN)[0] == 404
    assert operated.post("run", {"instances": [[5]]}) == (200, {"scaled": [10]})


def test_a_worker_over_its_memory_limit_is_replaced(start_daemon: StartDaemon) -> None:
    daemon = start(start_daemon, MEMORY_LIMIT="100M")
    _, pid = daemon.post("grow", 90)
    wait_until(lambda: about(daemon)["reloads"] == 1)
    wait_until(lambda: daemon.post("grow", 0)[1] != pid)
    assert "over the limit of 100 MB (MEMORY_LIMIT)" in daemon.log
    daemon.post("grow", 300)
    wait_until(lambda: about(daemon)["restarts"] == 1)
    wait_until(lambda: daemon.post("grow", 0)[0] == 200)


def test_a_memory_limit_below_what_the_model_holds_is_told_and_loads_it_not_again_and_again(
    start_daemon: StartDaemon,
) -> None:
    source = "import os\nheld = os.urandom(60 << 20)\ndef who(msg): return os.getpid()"
    daemon = start_daemon({"p.py": source}, ROUTES="who:p:who", MEMORY_LIMIT="60M").wait_ready()
    wait_until(lambda: "as soon as it is loaded, so it is not replaced: raise the limit" in daemon.log)
    _, pid = daemon.post("who")
    time.sleep(2)
    assert daemon.post("who") == (200, pid)
    assert daemon.log.count("over the limit of 60 MB (MEMORY_LIMIT)") == 1


def test_several_workers_of_a_model_share_its_requests(start_daemon: StartDaemon) -> None:
    source = "import os, time\ndef who(msg):\n    time.sleep(0.1)\n    return os.getpid()"
    daemon = start_daemon({"p.py": source}, ROUTES="who:p:who", WORKERS="3", PRELOAD="0").wait_ready()
    assert about_route(daemon, "who")["workers"] == 3
    seen: set[int] = set()
    deadline = time.monotonic() + 20
    while len(seen) < 3 and time.monotonic() < deadline:
        threads = [threading.Thread(target=lambda: seen.add(daemon.post("who")[1])) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(seen) == 3
    os.kill(next(iter(seen)), signal.SIGKILL)
    assert daemon.stop() == 0


def test_what_a_reload_refused_is_not_served_after_a_crash_while_another_worker_serves(
    start_daemon: StartDaemon,
) -> None:
    daemon = start(start_daemon, WORKERS="2", PRELOAD="0")
    put(daemon, '{"scale": null}')
    wait_until(lambda: about(daemon)["reload_failures"] == 1)
    refused = daemon.log.count("TypeError")
    os.kill(daemon.post("grow", 0)[1], signal.SIGKILL)
    wait_until(lambda: daemon.log.count("TypeError") > refused)
    assert [daemon.post("run", {"instances": [[3]]}) for _ in range(8)] == [(200, {"scaled": [6]})] * 8
    put(daemon, '{"scale": 5}')
    wait_until(lambda: about(daemon)["reloads"] == 1)
    assert [daemon.post("run", {"instances": [[3]]}) for _ in range(8)] == [(200, {"scaled": [15]})] * 8


def test_a_worker_that_crashes_onto_a_new_binary_leaves_no_other_with_the_old_one(start_daemon: StartDaemon) -> None:
    daemon = start(start_daemon, WORKERS="2", PRELOAD="0")
    put(daemon, '{"scale": 5, "load_seconds": 0}')
    os.kill(read_status(daemon.run_dir)["m"].pids[1], signal.SIGKILL)
    wait_until(lambda: about(daemon)["reloads"] == 1)
    assert [daemon.post("run", {"instances": [[3]]}) for _ in range(8)] == [(200, {"scaled": [15]})] * 8


def about_route(daemon: Daemon, route: str) -> dict[str, Any]:
    """What /routes says of a route."""
    return next(one for one in daemon.request("GET", "/routes")[1]["routes"] if one["route"] == route)
