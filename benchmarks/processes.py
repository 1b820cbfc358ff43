"""What a benchmark starts ends with it: at its end, on an error, on Ctrl-C, and where a peer ignores SIGTERM.

Every process is the first of a group of its own, and carries a mark in its environment, by which its descendants are
found that have left the group. Every wait has a bound.
"""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NoReturn

MARK = "STARTED_BY"
GRACE = 30.0  # a daemon answers first what it accepted
LONGEST = 3600.0
_AFTER_KILL = 5.0
_RUN = secrets.token_hex(8)
_running: "dict[int, tuple[subprocess.Popen[bytes], str]]" = {}


def run_benchmark(main: Callable[[], None]) -> None:
    """Run a benchmark's `main`, and end whatever it has started when it ends, however it does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, _leave)
    # What is printed is seen at once, in a file and behind a pipe too.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        main()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        raise SystemExit(130) from None
    finally:
        end_all()


def start(
    command: Sequence[str | Path],
    *,
    environ: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    log: "IO[bytes] | int" = subprocess.DEVNULL,
    output: "IO[bytes] | int | None" = None,
    stdin: int = subprocess.DEVNULL,
) -> "subprocess.Popen[bytes]":
    """Start a process that ends with the benchmark at the latest; what it prints goes to `log`."""
    mark = f"{_RUN}.{len(_running)}.{secrets.token_hex(4)}"
    process = subprocess.Popen(
        list(map(str, command)),
        env={**(os.environ if environ is None else environ), MARK: mark},
        cwd=cwd,
        stdin=stdin,
        stdout=log if output is None else output,
        stderr=log,
        process_group=0,
    )
    _running[process.pid] = process, mark
    return process


@contextmanager
def stopping(
    process: "subprocess.Popen[bytes]", *, grace: float = GRACE, sweeps: bool = True
) -> "Iterator[subprocess.Popen[bytes]]":
    """End a process at the end of the block, as `end` does."""
    try:
        yield process
    finally:
        end(process, grace=grace, sweeps=sweeps)


def run(
    command: Sequence[str | Path],
    *,
    environ: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    given: bytes | None = None,
    seconds: float = LONGEST,
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end and return what it printed; leave the benchmark where it takes longer than `seconds`.

    What it has left in the background, as `modelyard serve` does, runs on until the benchmark ends.
    """
    stdin = subprocess.DEVNULL if given is None else subprocess.PIPE
    pipe = subprocess.PIPE
    with stopping(start(command, environ=environ, cwd=cwd, log=pipe, stdin=stdin), grace=1.0, sweeps=False) as process:
        try:
            out, err = process.communicate(given, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise SystemExit(f"{command[0]} had not ended after {seconds:.0f} s") from None
    return subprocess.CompletedProcess(list(command), process.returncode, out.decode(), err.decode())


def run_well(
    command: Sequence[str | Path],
    *,
    environ: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    given: bytes | None = None,
    seconds: float = LONGEST,
) -> str:
    """Run a command and return its output; leave the benchmark with what it said where it fails."""
    done = run(command, environ=environ, cwd=cwd, given=given, seconds=seconds)
    if done.returncode != 0:
        said = f"{done.stdout}{done.stderr}"
        raise SystemExit(f"{' '.join(map(str, command))} exited with {done.returncode}:\n{said}")
    return done.stdout


def end(process: "subprocess.Popen[bytes]", *, grace: float = GRACE, sweeps: bool = True) -> None:
    """End a process and its group: SIGTERM, `grace` seconds, then SIGKILL; say so, and never raise.

    `sweeps` has whatever descends from it killed as well, wherever it has gone.
    """
    with _uninterrupted():
        _, mark = _running.pop(process.pid, (process, ""))
        _signal_group(process, signal.SIGTERM)
        if not _wait(process, grace):
            print(f"{process.args[0]} ignored SIGTERM for {grace:.0f} s: killed", file=sys.stderr)  # type: ignore[index]
        _signal_group(process, signal.SIGKILL)
        _wait(process, _AFTER_KILL)
        if mark and sweeps:
            kill_marked(mark)


def end_all() -> None:
    """End every process that still runs, the last one first."""
    for process, _ in reversed(list(_running.values())):
        end(process, grace=5.0)
    kill_marked(_RUN)


def kill_marked(mark: str) -> list[int]:
    """Kill every other process whose environment has MARK with a value that begins with `mark`; return which."""
    prefix = f"{MARK}={mark}".encode()
    killed = []
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        with suppress(OSError):
            variables = (folder / "environ").read_bytes().split(b"\0")
            if pid != os.getpid() and any(one.startswith(prefix) for one in variables):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
    return killed


def _signal_group(process: "subprocess.Popen[bytes]", number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _wait(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Wait for the process, not for the pipes that its children may hold open."""
    until = time.monotonic() + seconds
    while process.poll() is None:
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Have a second Ctrl-C not leave half of it running: what is inside takes a bounded time."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, _frame: object) -> NoReturn:
    """Leave through every `finally`."""
    raise SystemExit(128 + number)
