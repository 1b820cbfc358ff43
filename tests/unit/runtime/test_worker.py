import ast
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from modelyard.runtime import inbox, message, values, wire, worker
from modelyard.runtime.gateway.client import NoAnswerError, NotConnectedError, WorkerClient
from modelyard.runtime.message import Message
from modelyard.runtime.worker import answer, describe_error


def echo(msg: Message) -> Any:
    return msg.payload


class Refused(Exception):
    status_code = 409


def raising(error: BaseException) -> worker.Function:
    def function(msg: Message) -> Any:
        raise error

    return function


def ask(client: WorkerClient, route: str, body: bytes = b"{}", *, timeout: float = 10) -> tuple[int, bytes]:
    frame = client.call({"route": route}, body, timeout=timeout)
    return frame.header["status"], frame.body


# What one call answers, in this process.


@pytest.mark.parametrize(
    ("body", "answered"),
    [
        (b'{"payload": {"a": 1}}', b'{"payload":{"a":1}}'),
        (b'{"payload": null}', b'{"payload":null}'),
        (b'{"instances": [[1]]}', b'{"instances":[[1]]}'),
        (b"[1, 2]", b"[1,2]"),
        (b'\xef\xbb\xbf{"a": "\xc3\xa9"}', b'{"a":"\\u00e9"}'),
    ],
)
def test_an_envelope_is_answered_by_an_envelope(body: bytes, answered: bytes) -> None:
    assert answer(echo, body) == ({"status": 200}, answered)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "it is empty"),
        (b'{"a": }', "Expecting value: line 1 column 7"),
        (b'{"a": NaN}', "NaN is no JSON, send null"),
        (b"\xff\xfe\xff", "decode"),
        (b"[" * 100_000, ""),
        (b"1" * 5000, "integer string conversion"),
    ],
)
def test_a_body_that_is_no_json_is_400(body: bytes, why: str) -> None:
    header, _ = answer(echo, body)
    assert header["status"] == 400
    assert "the body is no JSON" in header["detail"]
    assert why in header["detail"]


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [(ValueError("no such colour"), 422, "no such colour"), (Refused("taken"), 409, "taken"), (ValueError(), 422, "")],
)
def test_the_clients_mistake_is_told_to_the_client(error: Exception, status: int, detail: str) -> None:
    header, _ = answer(raising(error), b"{}")
    assert header["status"] == status
    assert detail in header["detail"]
    assert header["detail"]
    assert "log" not in header


@pytest.mark.parametrize("error", [KeyError("secret"), SystemExit(3), KeyboardInterrupt(), MemoryError()])
def test_any_other_exception_is_500_with_a_trace_for_the_log_only(error: BaseException) -> None:
    header, body = answer(raising(error), b"{}")
    assert (header["status"], body) == (500, b"")
    assert "detail" not in header
    assert type(error).__name__ in header["log"]
    assert "test_worker.py" in header["log"]
    assert worker.__file__ not in header["log"]


def test_a_result_that_is_no_json_is_500_and_named() -> None:
    header, _ = answer(lambda msg: {"labels": {1}}, b"{}")
    assert header["status"] == 500
    assert "$.labels is a set, which JSON can't hold" in header["log"]


def test_a_huge_trace_fits_into_a_frame() -> None:
    header = describe_error(KeyError("x" * 1_000_000))
    assert wire.encode_frame(header)


# A real process.


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
    assert refused == [{"status": 503, "detail": "1 requests wait for this model already", "retry_after": 1}]
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
        except (NoAnswerError, NotConnectedError) as error:
            outcome.append(error)

    thread = Thread(target=send)
    thread.start()
    accepted, _ = listener.accept()
    accepted.recv(1, socket.MSG_PEEK)
    accepted.close()
    listener.close()
    thread.join()
    assert [type(error) for error in outcome] == [NotConnectedError]


def test_bytes_that_are_no_frame_end_the_connection_only(start_worker: Any) -> None:
    running = start_worker("def run(msg): return 1", "run")
    running.news()
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(running.socket))
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert stranger.recv(1) == b""
    assert ask(running.client, "run") == (200, b"1")


@pytest.mark.parametrize("module", [worker, inbox, message, values, wire], ids=lambda module: module.__name__)
def test_it_is_written_for_older_pythons_too(module: Any) -> None:
    source = Path(module.__file__).read_text()
    assert "from __future__ import annotations" in source or "|" not in source
    ast.parse(source, feature_version=(3, 9))


def test_its_imports_are_few() -> None:
    code = "import sys, modelyard.runtime.worker; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"asyncio", "dataclasses", "inspect", "logging", "subprocess", "traceback", "http", "flask"}
    assert heavy & set(done.stdout.split()) <= {"traceback"}
