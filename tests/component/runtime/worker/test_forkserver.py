"""The process that forks workers, without a supervisor."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.runtime.daemon.site import LIBRARY
from modelyard.runtime.worker.modules import list_modules


class Forks:
    """A running fork server."""

    def __init__(self, root: Path) -> None:
        self.control, control = socket.socketpair()
        self.control.settimeout(20)
        with control:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "modelyard.runtime.worker.forkserver", str(control.fileno())],
                env={**os.environ, "PYTHONPATH": f"{LIBRARY}:{root}"},
                pass_fds=(control.fileno(),),
            )
        self._news = self.control.makefile("rb")

    def close(self) -> None:
        """Let go of it, as the supervisor does by ending."""
        self.control.shutdown(socket.SHUT_RDWR)
        assert self.process.wait(20) == 0
        self._news.close()
        self.control.close()

    def preload(self, *modules: str) -> dict[str, Any]:
        """What it says to having to import these."""
        self.control.sendall(json.dumps({"preload": modules}).encode() + b"\n")
        return json.loads(self._news.readline())


@pytest.fixture
def forks(tmp_path: Path) -> Iterator[Forks]:
    """A fork server that finds modules in tmp_path."""
    started = Forks(tmp_path)
    yield started
    started.close()


def test_what_cannot_be_imported_is_left_to_the_worker(forks: Forks, tmp_path: Path) -> None:
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)")
    assert forks.preload("nowhere", "leaves", "decimal") == {"preloaded": True}


def test_a_thread_that_an_import_starts_is_no_base_for_a_fork(forks: Forks, tmp_path: Path) -> None:
    (tmp_path / "threaded.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, name='busy', daemon=True).start()"
    )
    assert forks.preload("threaded") == {"refused": "an import has started a thread (busy)"}


def test_the_applications_own_modules_are_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "of_the_application.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    __import__("of_the_application")
    listed = list_modules()
    assert {"json", "pytest"} <= set(listed)
    assert "of_the_application" not in listed
