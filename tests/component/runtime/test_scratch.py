"""Folders of a block of code: gone with it, and with the process that was killed in it."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from modelyard.runtime.scratch import PREFIX, remove_abandoned, scratch_folder

HOLD = """
import sys
from modelyard.runtime.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "context.json").write_text("12345")
    print(folder, flush=True)
    sys.stdin.read()
"""
LEAVE_A_CHILD = """
import os, signal
from modelyard.machine.process import start_group
from modelyard.runtime.scratch import scratch_folder
with scratch_folder() as folder:
    child = start_group(["sleep", "60"], environ={"PATH": os.environ["PATH"]})
    print(folder, child.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    """The temporary folder, of this process and of those it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.fixture
def killed() -> Path:
    """The folder of a process that was killed."""
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        folder = Path(process.stdout.readline().decode().strip())
        assert remove_abandoned() == 0 and folder.is_dir(), "it is held as long as the process lives"
        process.send_signal(signal.SIGKILL)
    return folder


def test_a_folder_is_gone_with_its_block(place):
    with scratch_folder() as folder:
        assert folder.is_dir() and remove_abandoned() == 0 and folder.is_dir()
    assert list(place.iterdir()) == []


def test_the_folder_of_a_killed_process_is_removed(killed, place):
    assert (killed / "context.json").is_file()
    assert remove_abandoned() == 5
    assert list(place.iterdir()) == []


def test_the_next_folder_removes_what_a_killed_process_left(killed):
    with scratch_folder() as folder:
        assert folder.is_dir() and not killed.exists()


def test_a_child_that_outlives_a_killed_process_keeps_its_folder():
    ended = subprocess.run([sys.executable, "-c", LEAVE_A_CHILD], stdout=subprocess.PIPE, text=True)
    folder, child = ended.stdout.split()
    assert remove_abandoned() == 0 and Path(folder).is_dir()
    os.kill(int(child), signal.SIGKILL)
    deadline = time.monotonic() + 10
    while Path(folder).is_dir():
        assert time.monotonic() < deadline, "nobody holds it any more"
        remove_abandoned()


def test_nothing_else_in_the_temporary_folder_is_touched(place):
    own = place / "modelyard-of-mine"
    own.mkdir()
    (place / f"{PREFIX}link").symlink_to(own)
    (place / f"{PREFIX}file").write_text("mine")
    assert remove_abandoned() == 0
    assert len(list(place.iterdir())) == 3 and list(own.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make folders of another user")
def test_the_folders_of_other_users_are_left_alone(killed):
    os.chown(killed.parent, 12345, 12345)
    assert remove_abandoned() == 0 and killed.is_dir()
