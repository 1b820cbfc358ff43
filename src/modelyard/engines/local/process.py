"""Run a script of a build in a process group of its own, line by line, so that nothing of it stays behind."""

import os
import signal
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from modelyard.engines.protocols import OnOutput
from modelyard.network import mask_credentials

LAST_LINES = 30
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
    command: Sequence[str], *, environ: Mapping[str, str], locks: Sequence[int] = ()
) -> "subprocess.Popen[str]":
    """Start a command that leads a process group, its output a pipe. What interrupts the caller meanwhile ends it."""

    def start() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            pass_fds=locks,
        )

    with ThreadPoolExecutor(1) as aside:  # signals interrupt the main thread alone: a Popen that is cut short is lost
        starting = aside.submit(start)
        try:
            return starting.result()
        except BaseException:
            if starting.exception() is None:
                with starting.result() as process:
                    end_group(process)
            raise


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
