import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any
from unittest.mock import ANY

import pytest

from modelyard.runtime.daemon.memory import read_resident_bytes
from modelyard.runtime.gateway.client import NoAnswerError, NotConnectedError, NotTakenError, WorkerClient
from modelyard.runtime.gateway.links import Backend, Call, Link
from modelyard.runtime.worker import worker
from tests.component.runtime.pythons import find_installed_python


def ask(client: WorkerClient, route: str, body: bytes = b"{}", *, timeout: float = 10) -> tuple[int, bytes]:
    frame = client.call({"route": route}, body, timeout=timeout)
    return frame.header["status"], frame.body


def test_it_loads_before_it_is_ready_and_answers(start_worker: Any) -> None:
    running = start_worker("import sys\ndef run(msg): return {'argv': sys.argv[1:], 'x': msg.payload}", "run")
    assert running.news()["state"] == "ready"
    assert ask(running.client, "run", b"7") == (200, b'{"argv":[],"x":7}')


def test_what_the_model_prints_breaks_nothing(start_worker: Any) -> None:
    source = """
        import os
        print("imported")
        def run(msg):
            print("called")
            os.write(1, b"raw bytes\\n")
            os.system("echo from a shell")
            return 1
    """
    running = start_worker(source, "run")
    running.news()
    assert ask(running.client, "run") == (200, b"1")
    assert running.printed().splitlines() == ["imported", "called", "raw bytes", "from a shell"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import nowhere\ndef run(msg): pass", "ModuleNotFoundError: No module named 'nowhere' (predict.py:1)"),
        ("\n\nopen('models/rf.bin')\ndef run(msg): pass", "No such file or directory: 'models/rf.bin' (predict.py:3)"),
        ("import sys\nsys.exit('enough')\ndef run(msg): pass", "SystemExit: enough (predict.py:2)"),
        ("def other(msg): pass", "module 'predict' has no attribute 'run'"),
        ("run = 3", "predict.run is a int, not a function"),
    ],
)
def test_a_model_that_cannot_load_says_why_and_where(start_worker: Any, source: str, reason: str) -> None:
    running = start_worker(source, "run")
    news = running.news()
    assert news["state"] == "failed"
    assert reason in news["reason"]
    assert running.process.wait(10) == worker.LOAD_FAILED
    assert "Traceback" in running.printed() or "run" in running.printed()
    assert "worker.py" not in running.printed()
    assert not running.socket.exists()


def test_the_application_comes_first_and_the_models_own_folder_last(start_worker: Any) -> None:
    files = {
        "income/rf/features.py": "NAMES = ['own']",
        "income/rf/json.py": "raise RuntimeError('the standard library comes before the own folder')",
        "utils/__init__.py": "HERE = 'application'",
        "selectors.py": "HERE = 'application'",
        "wire.py": "HERE = 'application'",
    }
    source = """
        import sys, features, json, utils, wire
        def run(msg): return [features.NAMES, utils.HERE, wire.HERE, sys.path[0]]
    """
    running = start_worker(source, "run", files=files, path="income/rf")
    running.news()
    answered = f'[["own"],"application","application","{running.root}"]'.encode()
    assert ask(running.client, "run") == (200, answered)


def test_what_loading_leaves_unused_is_given_back(start_worker: Any) -> None:
    source = """
        parts = [bytes(100_000) for _ in range(2000)]
        kept = parts[-1]
        del parts
        def run(msg): return len(kept)
    """
    running = start_worker(source, "run")
    running.news()
    size = read_resident_bytes(running.process.pid)
    assert size is not None and size < 100_000_000


def test_it_tells_which_files_the_model_was_loaded_from_but_not_those_that_it_wrote(start_worker: Any) -> None:
    source = """
        import os
        open("models/weights.bin", "rb").close()
        open("models/.lock", "w").close()
        open("models/cache.json.part", "w").close()
        os.replace("models/cache.json.part", "models/cache.json")
        open("models/cache.json").close()
        os.close(os.open("models/index", os.O_RDWR | os.O_CREAT))
        def run(msg): return 1
    """
    running = start_worker(source, "run", files={"models/weights.bin": "7"})
    assert [Path(path).name for path in running.news()["files"]] == ["weights.bin"]


def test_files_are_followed_behind_a_link_and_where_the_first_call_reads_them(
    start_worker: Any, tmp_path: Path
) -> None:
    source = """
        from functools import cache
        from pathlib import Path

        WEIGHTS = Path("models/weights.bin").resolve().read_text()

        @cache
        def read_labels(): return Path("models/labels.txt").read_text()
        def run(msg): return read_labels()
    """
    files = {"store/weights.bin": "1", "store/labels.txt": "a", "instances.json": "1"}
    (tmp_path / "models").symlink_to("store")
    running = start_worker(source, "run", files=files, instances=str(tmp_path / "instances.json"))
    assert sorted(Path(path).name for path in running.news()["files"]) == ["labels.txt", "weights.bin"]


def test_a_full_queue_is_refused_at_once(start_worker: Any, wait_until: Callable[..., None]) -> None:
    source = """
        import os, time
        def hold(msg):
            open("held", "a").close()
            while not os.path.exists("go"):
                time.sleep(0.01)
    """
    running = start_worker(source, "hold", queue=1)
    running.news()
    client = running.client
    answers: list[tuple[int, bytes]] = []
    threads = [Thread(target=lambda: answers.append(ask(client, "hold"))) for _ in range(2)]
    threads[0].start()
    wait_until(lambda: (running.root / "held").exists())
    threads[1].start()
    refused: list[dict[str, Any]] = []

    def is_refused() -> bool:
        try:
            refused.append(client.call({"route": "hold"}, b"{}", timeout=0.05).header)
        except TimeoutError:  # it came before the second thread's, and waits in the queue
            return False
        return True

    wait_until(is_refused)
    assert refused == [{"status": 429, "n": ANY, "detail": "1 requests wait for this model already", "retry_after": 1}]
    (running.root / "go").touch()
    for thread in threads:
        thread.join()
    assert (200, b"null") in answers


def test_a_request_that_nobody_waits_for_is_not_computed(start_worker: Any, wait_until: Callable[..., None]) -> None:
    source = """
        import time
        calls = []
        def slow(msg):
            open("begun", "a").close()
            time.sleep(0.3)
        def count(msg):
            calls.append(1)
            return len(calls)
    """
    running = start_worker(source, "slow", "count")
    running.news()
    client = running.client
    thread = Thread(target=ask, args=(client, "slow"))
    thread.start()
    wait_until(lambda: (running.root / "begun").exists())
    with pytest.raises(TimeoutError):
        ask(client, "count", timeout=0.05)
    thread.join()
    assert ask(client, "count") == (200, b"1")


def test_it_answers_what_it_was_sent_before_it_ends(start_worker: Any, wait_until: Callable[..., None]) -> None:
    source = """
        import time
        def slow(msg):
            open("begun", "a").close()
            time.sleep(0.2)
            return "done"
    """
    running = start_worker(source, "slow")
    running.news()
    answers: list[tuple[int, bytes]] = []
    thread = Thread(target=lambda: answers.append(ask(running.client, "slow")))
    thread.start()
    wait_until(lambda: (running.root / "begun").exists())
    running.process.terminate()  # systemd sends SIGTERM to every process: the order to stop is another
    running.release()
    thread.join()
    assert answers == [(200, b'"done"')]
    running.client.close()
    assert running.process.wait(10) == 0


def test_it_does_not_outlive_the_supervisor_while_it_loads(start_worker: Any, wait_until: Callable[..., None]) -> None:
    running = start_worker("import time\nopen('begun', 'a').close()\ntime.sleep(60)", "run")
    wait_until(lambda: (running.root / "begun").exists())
    running.release()
    assert running.process.wait(10) == 0


def test_a_worker_that_dies_gives_no_answer(start_worker: Any) -> None:
    running = start_worker("import os\ndef die(msg): os._exit(7)", "die")
    running.news()
    client = running.client
    with pytest.raises(NoAnswerError):
        ask(client, "die")
    assert running.process.wait(10) == 7
    with pytest.raises(NotConnectedError):
        ask(client, "die")


LEAVES_A_CHILD = """
    import os, time
    from pathlib import Path
    def die(msg):
        child = os.fork()
        if child == 0:
            time.sleep(60)
        Path("child").write_text(str(child))
        os._exit(7)
"""


def test_a_worker_that_dies_gives_no_answer_although_its_child_keeps_the_connection(start_worker: Any) -> None:
    running = start_worker(LEAVES_A_CHILD, "die")
    running.news()
    with pytest.raises(NoAnswerError):
        ask(running.client, "die")
    os.kill(int((running.root / "child").read_text()), signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the system does not tell of a process's end")
def test_the_event_loop_hears_of_a_worker_s_end_although_its_child_keeps_the_connection(
    start_worker: Any, wait_until: Callable[..., None]
) -> None:
    running = start_worker(LEAVES_A_CHILD, "die")
    running.news()
    outcomes: list[Any] = []
    with selectors.DefaultSelector() as selector:
        unsent: list[Link] = []
        backend = Backend([running.socket], selector, limit=8, unsent=unsent)
        backend.send(Call({"route": "die"}, b"{}", outcomes.append, deadline=time.monotonic() + 60))
        unsent[0].flush()

        def turn() -> bool:
            for key, events in selector.select(0.1):
                key.data(events)
            return bool(outcomes)

        wait_until(turn)
        backend.close()
    assert [type(outcome) for outcome in outcomes] == [NoAnswerError]
    os.kill(int((running.root / "child").read_text()), signal.SIGKILL)


def test_a_kept_connection_survives_a_restart(start_worker: Any) -> None:
    source = "import os\ndef who(msg): return os.getpid()"
    first = start_worker(source, "who")
    first.news()
    client = first.client
    assert ask(client, "who") == (200, str(first.process.pid).encode())
    first.close()
    second = start_worker(source, "who")
    second.news()
    assert ask(client, "who") == (200, str(second.process.pid).encode())


def test_a_request_that_a_dead_worker_never_read_was_not_carried_out(run_dir: Path) -> None:
    path = run_dir / "w.sock"
    listener = worker.listen(str(path))
    client = WorkerClient(path)
    outcome: list[Exception] = []

    def send() -> None:
        try:
            ask(client, "run")
        except (NoAnswerError, NotTakenError) as error:
            outcome.append(error)

    thread = Thread(target=send)
    thread.start()
    accepted, _ = listener.accept()
    accepted.recv(1, socket.MSG_PEEK)
    accepted.close()
    listener.close()
    thread.join()
    assert [type(error) for error in outcome] == [NotTakenError]


def test_bytes_that_are_no_frame_end_the_connection_only(start_worker: Any) -> None:
    running = start_worker("def run(msg): return 1", "run")
    running.news()
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(running.socket))
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert stranger.recv(1) == b""
    assert ask(running.client, "run") == (200, b"1")


def test_processes_that_the_model_forks_can_be_terminated_at_any_time(start_worker: Any) -> None:
    source = """
        import multiprocessing, time
        context = multiprocessing.get_context("fork")
        def run(msg):
            children = [context.Process(target=time.sleep, args=(60,)) for _ in range(50)]
            for number, child in enumerate(children):
                child.start()
                time.sleep(number / 50_000)
                child.terminate()
            for child in children:
                child.join(1)
            return [child.exitcode for child in children if child.exitcode != -15]
    """
    running = start_worker(source, "run")
    running.news()
    assert ask(running.client, "run") == (200, b"[]")


@pytest.mark.parametrize("end", ["return 'child'", "sys.exit()", "raise ValueError"])
def test_a_process_that_the_model_forks_answers_no_request(start_worker: Any, end: str) -> None:
    source = f"""
        import os, sys
        def run(msg):
            child = os.fork()
            if not child:
                {end}
            return os.waitpid(child, 0)[1]
    """
    running = start_worker(source, "run")
    running.news()
    assert [ask(running.client, "run") for _ in range(3)] == [(200, b"0")] * 3


def test_a_thread_that_the_model_has_started_does_not_keep_a_worker_that_is_to_end(start_worker: Any) -> None:
    source = """
        import threading, time
        threading.Thread(target=time.sleep, args=(60,)).start()
        def run(msg): return 1
    """
    running = start_worker(source, "run")
    running.news()
    running.release()
    assert running.process.wait(10) == 0


def test_an_answer_that_holds_the_request_s_id_is_not_shared(start_worker: Any) -> None:
    source = """
        def plain(msg): return [2 * row for row in msg.payload["instances"]]
        def named(msg): return {"id": msg.request_id, "doubled": plain(msg)}
        def traced(msg): return {"trace": msg.traceparent, "doubled": plain(msg)}
    """
    running = start_worker(
        source,
        "plain",
        "named",
        "traced",
        files={"instances.json": '{"instances": [1, 2, 3]}'},
        instances="instances.json",
        batch={"size": {"plain": 8, "named": 8, "traced": 8}, "tolerance": 0.0},
    )
    differs = "the same test instance is answered differently when it is sent again"
    assert running.news()["unbatched"] == {"plain": None, "named": differs, "traced": differs}


def test_a_model_whose_working_folder_is_gone_is_served_and_its_failures_are_placed(
    start_worker: Any, tmp_path: Path
) -> None:
    source = """
        import os, tempfile
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
        def run(msg): raise KeyError("x")
    """
    instances = tmp_path / "instances.json"
    running = start_worker(source, "run", files={"instances.json": "1"}, instances=str(instances))
    assert running.news()["unbatched"] == {"run": "the test instances fail: KeyError: 'x' (predict.py:5)"}


def test_an_exception_that_cannot_be_told_ends_nothing(start_worker: Any, tmp_path: Path) -> None:
    source = """
        class Odd(ValueError):
            def __str__(self): return self.message
        def run(msg): raise Odd
    """
    running = start_worker(source, "run", files={"instances.json": "1"}, instances="instances.json")
    assert running.news()["unbatched"] == {"run": "the test instances fail: Odd (predict.py:4)"}
    status, _ = ask(running.client, "run")
    assert status == 422
    assert running.process.poll() is None


@pytest.mark.parametrize(("error", "status"), [("ValueError", 422), ("KeyError", 500)])
def test_an_exception_with_a_very_long_message_ends_nothing(start_worker: Any, error: str, status: int) -> None:
    running = start_worker(f"def run(msg): raise {error}(9_000_000 * chr(0x1F600))", "run")
    running.news()
    frame = running.client.call({"route": "run"}, b"1", timeout=10)
    assert frame.header["status"] == status
    assert len(frame.header.get("detail", "")) < 10_000
    assert ask(running.client, "run")[0] == status
    assert running.process.poll() is None


def test_its_imports_are_few() -> None:
    code = "import sys, modelyard.runtime.worker.worker; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"asyncio", "dataclasses", "inspect", "logging", "subprocess", "traceback", "http", "flask"}
    assert heavy & set(done.stdout.split()) <= {"traceback"}


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.13"])
def test_it_serves_under_other_pythons(start_worker: Any, version: str) -> None:
    python = find_installed_python(version)
    source = """
        import sys
        def double(msg): return {"doubled": [2 * value for [value] in msg.payload["instances"]]}
        def version(msg): return sys.version_info[:2]
        class Text:
            def predict(self, X, names):
                return "text"
    """
    files = {"instances.json": '{"instances": [[1], [2], [3]]}'}
    batch = {"size": {"double": 8}, "wait": {}, "tolerance": 0.0}
    running = start_worker(
        source, "double", "version", "Text", files=files, python=python, instances="instances.json", batch=batch
    )
    news = running.news()
    assert (news["state"], news["unbatched"]["double"]) == ("ready", None), running.printed()
    assert ask(running.client, "double", b'{"instances": [[5]]}') == (200, b'{"doubled":[10]}')
    assert ask(running.client, "version") == (200, f"[{version.replace('.', ',')}]".encode())
    assert ask(running.client, "double", b"{")[0] == 400
    room = Path(worker.__file__).parent
    for module in sorted(path.stem for path in room.glob("*.py") if path.stem != "__main__"):
        code = f"import modelyard.runtime.worker.{module}"
        environ = {**os.environ, "PYTHONPATH": str(Path(worker.__file__).parents[3])}
        subprocess.run([python, "-c", code], env=environ, check=True)


def test_the_function_is_told_of_the_request_that_it_answers(start_worker: Any) -> None:
    running = start_worker("def run(msg): return [msg.request_id, msg.traceparent]", "run")
    running.news()
    header = {"route": "run", "id": "a", "traceparent": "00-1-2-01"}
    assert running.client.call(header, b"{}", timeout=10).body == b'["a","00-1-2-01"]'
    assert ask(running.client, "run") == (200, b"[null,null]")


def test_a_module_beside_is_found_where_a_shared_folder_has_its_name(start_worker: Any) -> None:
    files = {"utils.py": "def clean(value): return value + 1", "utils/__init__.py": "", "utils/half.py": "HALF = 0.5"}
    source = """
        import utils
        from utils.half import HALF
        def run(msg): return utils.clean(msg.payload) * HALF
    """
    running = start_worker(source, "run", files=files)
    assert running.news()["state"] == "ready", running.printed()
    assert ask(running.client, "run", b"5") == (200, b"3.0")
