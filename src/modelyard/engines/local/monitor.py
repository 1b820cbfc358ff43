"""Starts a container's process, outlives the command line, and writes down how the process ended.

Run as a script, with standard library imports only: monitor.py <container folder> <command...>. It returns as soon as
the process runs, and says on stderr why where it can't.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path


def main(folder: Path, command: list[str]) -> int:
    """Start `command` in `folder`/app under a process that waits for it."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        with os.fdopen(reader) as pipe:
            problem = pipe.read()
        print(problem, end="", file=sys.stderr)
        return 1 if problem else 0
    os.close(reader)
    os.setsid()
    _detach(folder / "monitor.log")
    try:
        process = _start(folder, command)
    except OSError as error:
        os.write(writer, f"{command[0]}: {error}".encode())
        return 1
    os.close(writer)
    code = process.wait()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    _write(folder / "exit_code", str(code if code >= 0 else 128 - code))
    return 0


def _start(folder: Path, command: list[str]) -> "subprocess.Popen[bytes]":
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=folder / "app",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _write(folder / "pid", f"{process.pid} {os.getpid()}")
    return process


def _detach(log: Path) -> None:
    """Let go of the caller's terminal and pipes."""
    with open(os.devnull, "rb") as nothing, log.open("ab") as own:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
        os.dup2(own.fileno(), 1)
        os.dup2(own.fileno(), 2)


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
