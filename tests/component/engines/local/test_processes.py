"""Processes and ports of this machine."""

import os
import socket
import subprocess
import sys
import threading

import pytest

from modelyard.engines.ports import choose_port, describe_listener
from modelyard.errors import EngineError, PortTakenError
from modelyard.machine.process import inherit, run_command
from modelyard.machine.processes import is_running, start_time


def test_process_is_told_from_another_with_its_number():
    started = start_time(os.getpid())
    assert is_running(os.getpid(), started)
    assert not is_running(os.getpid(), "another time")
    assert not is_running(os.getpid(), None)


def test_ended_process_has_no_start_time():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert start_time(process.pid) is None


def test_command_gives_exit_code_and_lines_without_credentials():
    lines: list[str] = []
    code, last = run_command(
        ["bash", "-c", "echo https://me:secret@index.example; echo two >&2; exit 3"],
        environ={"PATH": os.environ["PATH"]},
        on_output=lines.append,
    )
    assert code == 3
    assert lines == last == ["https://***@index.example", "two"]


def test_what_interrupts_the_caller_ends_the_whole_group(tmp_path):
    pid_file = tmp_path / "pid"

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    command = ["bash", "-c", f"sleep 60 & echo $! > {pid_file}; echo ready; wait"]
    with pytest.raises(KeyboardInterrupt):
        run_command(command, environ={"PATH": os.environ["PATH"]}, on_output=interrupt)
    done = threading.Event()
    for _ in range(200):
        if start_time(int(pid_file.read_text())) is None:
            done.set()
            break
        done.wait(0.02)
    assert done.is_set()


INTERRUPTED = """
import os, signal, subprocess, sys, time
from modelyard.machine.process import run_command

class Interrupted(subprocess.Popen):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        print(self.pid, flush=True)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)

subprocess.Popen = Interrupted
run_command(["sleep", "60"], environ=os.environ, on_output=print)
"""


def test_what_interrupts_the_start_of_a_command_ends_it():
    command = [sys.executable, "-c", INTERRUPTED]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "KeyboardInterrupt" in ended.stderr
    assert start_time(int(ended.stdout)) is None


def test_only_what_no_model_trips_over_is_inherited():
    environ = {"PATH": "/bin", "LC_ALL": "C", "PYTHONPATH": "/x", "MODEL_NAME": "x", "CUDA_VISIBLE_DEVICES": "1"}
    assert inherit(environ) == {"PATH": "/bin", "LC_ALL": "C", "CUDA_VISIBLE_DEVICES": "1"}


def test_taken_port_names_the_process_that_has_it():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        owner = describe_listener(port)
        with pytest.raises(PortTakenError, match=f"port {port} on 127.0.0.1 is taken"):
            choose_port("127.0.0.1", port)
    if sys.platform == "linux":
        assert owner is not None and f"process {os.getpid()}" in owner
    assert choose_port("127.0.0.1", port) == port


def test_port_zero_is_any_free_one():
    assert choose_port("127.0.0.1", 0) > 0


def test_address_of_another_machine_is_an_error():
    with pytest.raises(EngineError, match=r"nothing can listen on 192\.0\.2\.1:5111"):
        choose_port("192.0.2.1", 5111)
