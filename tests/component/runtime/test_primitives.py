import ast
import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from modelyard.runtime import primitives
from modelyard.runtime.primitives import Socket, dump_json, load_json

RUNTIME = Path(primitives.__file__).parent
NOT_FOR_IT = {"primitives", "daemon.families"}  # the latter is called before there is a model
REPLACED = {"json", "mmap", "os", "select", "selectors", "signal", "socket", "struct", "threading", "time"}
BEFORE_THE_MODEL = {"os.register_at_fork", "os.environ.pop"}


def find_modules_of_a_worker() -> list[str]:
    """The modules of the runtime that a worker imports, those that it imports for some models alone among them."""
    script = (
        "import sys, modelyard.runtime.worker.worker, modelyard.runtime.worker.seldon\n"
        "names = [name for name in sys.modules if name.startswith('modelyard.runtime.')]\n"
        "print(*(name.removeprefix('modelyard.runtime.') for name in names))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    return sorted({name for name in done.stdout.split() if _file_of(name).is_file()} - NOT_FOR_IT)


def _file_of(name: str) -> Path:
    return RUNTIME / f"{name.replace('.', '/')}.py"


@pytest.mark.parametrize("name", find_modules_of_a_worker())
def test_a_worker_calls_nothing_that_a_model_may_have_replaced(name: str) -> None:
    tree = ast.parse(_file_of(name).read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = {name for name in called if name.partition(".")[0] in imported & REPLACED or name in ("print", "open")}
    assert not found - BEFORE_THE_MODEL, f"{name}.py: take them from primitives.py"


def test_what_is_replaced_later_is_not_what_a_worker_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("replaced")

    for kind in (json.JSONEncoder, json.JSONDecoder):
        for method in {"encode", "iterencode", "decode", "raw_decode"} & set(dir(kind)):
            monkeypatch.setattr(kind, method, fail)
    for method in ("recv", "sendall", "shutdown", "settimeout", "setblocking", "accept"):
        monkeypatch.setattr(socket.socket, method, fail)
    for module, functions in {json: ("dumps", "loads", "detect_encoding"), os: ("write", "getpid", "_exit")}.items():
        for function in functions:
            monkeypatch.setattr(module, function, fail)
    assert load_json(dump_json({"a": [1, None]})) == {"a": [1, None]}
    assert load_json('{"é": 1}'.encode("utf-16")) == {"é": 1}
    ours, theirs = (Socket(fileno=each.detach()) for each in socket.socketpair())
    with ours, theirs:
        ours.settimeout(5)
        ours.sendall(b"x")
        assert theirs.recv(1) == b"x"


def test_a_line_for_the_log_needs_no_sys_stderr() -> None:
    done = _run("import sys\nsys.stderr = None\nwrite_log('a line \\udc80')\nimport os\nos.close(2)\nwrite_log('lost')")
    assert (done.returncode, done.stderr) == (0, "a line \\udc80\n")


def test_closed_streams_leave_no_descriptor_for_a_socket() -> None:
    done = _run("import os\nos.close(0)\nos.close(2)\nensure_streams()\nprint(os.open('.', os.O_RDONLY) > 2)")
    assert done.stdout == "True\n"


def test_threads_keep_a_process_so_many_seconds_and_no_longer() -> None:
    done = _run(
        """
        import threading, time
        threading.Thread(target=time.sleep, args=(60,)).start()
        threading._start_new_thread = time.sleep = None
        end_process_after(0.1)
        """
    )
    assert done.returncode == 0


def _run(script: str) -> "subprocess.CompletedProcess[str]":
    text = "from modelyard.runtime.primitives import *\n" + textwrap.dedent(script)
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=30, check=False)
