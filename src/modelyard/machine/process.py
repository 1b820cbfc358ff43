"""Run a script of a build in a process group of its own, line by line, so that nothing of it stays behind."""

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from modelyard.machine.output import OnOutput
from modelyard.network import mask_credentials
from modelyard.runtime.scratch import held_locks

LAST_LINES = 30
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_KEPT = {
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    "TERM",
    "XDG_CACHE_HOME",
    "LD_LIBRARY_PATH",
}
_KEPT_STARTS = ("LC_", "CUDA_", "NVIDIA_", "DYLD_")


def inherit(environ: Mapping[str, str]) -> dict[str, str]:
    """What a build and a container take over of the user's environment: no variable that a model could trip over."""
    return {name: value for name, value in environ.items() if name in _KEPT or name.startswith(_KEPT_STARTS)}


def run_command(
    command: Sequence[str], *, environ: Mapping[str, str], on_output: OnOutput, locks: Sequence[int] = ()
) -> tuple[int, list[str]]:
    """Run a command; return its exit code and last lines. What interrupts the caller ends all of it."""
    last: deque[str] = deque(maxlen=LAST_LINES)
    process = start_group(command, environ=environ, locks=locks)
    try:
        for raw in process.stdout or ():
            line = mask_credentials(raw.rstrip("\n"))
            last.append(line)
            on_output(line)
        return process.wait(), list(last)
    except BaseException:
        end_group(process)
        raise
    finally:
        if process.stdout:
            process.stdout.close()


def start_group(
    command: Sequence[str], *, environ: Mapping[str, str], locks: Sequence[int] = (), folder: Path | None = None
) -> "subprocess.Popen[str]":
    """Start a command that leads a process group, its output a pipe. What interrupts the caller meanwhile ends it."""

    process = None
    try:
        with _interrupts_deferred():  # a Popen that is cut short is lost, and its process goes on
            process = subprocess.Popen(
                command,
                env=environ,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
                pass_fds=[*locks, *held_locks()],
            )
    except BaseException:
        if process is not None:
            with process:
                end_group(process)
        raise
    return process


@contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Let what interrupts this process do so at the end."""
    came: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()  # Python lets no other handle signals
    numbers = [each for each in _INTERRUPTS if is_main and callable(signal.getsignal(each))]
    handlers = {each: signal.signal(each, lambda number, _: came.append(number)) for each in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)


def end_group(process: "subprocess.Popen[str]", *, grace: float = 3.0) -> None:
    """Ask a process group to end, then make it."""
    signal_group(process.pid, signal.SIGTERM)
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        pass
    finally:
        signal_group(process.pid, signal.SIGKILL)
        process.wait()


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to the process group that `pid` leads, if any of it is left."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
