"""Trainings in the background: launched, looked at, stopped, resumed. Each has a process that attends to it."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from modelyard.errors import EngineError, InputError, RunError
from modelyard.jobs import shelf
from modelyard.jobs.record import Job, read_job, write_job

WATCH_LOG = "watch.log"
GRACE = 120.0
_POLL = 0.1
_START_TIME = 60.0
_TAKEOVER_TIME = 15.0
_AGAIN = 5.0


def look_at(job: Job, environ: Mapping[str, str]) -> Job:
    """The job as it truly stands: where nobody attends to it any more, somebody takes over and says how it ended."""
    if job.has_ended or shelf.is_attended(job.folder):
        return job
    with shelf.held(job.folder) as descriptor:
        current = read_job(job.folder) or job
        if descriptor is None or current.has_ended:
            return current
        if _failed_just_now(current):
            return _as_unknown(current)
        _spawn(current, descriptor, environ)
    before = current.watcher
    current = _wait_for(
        current,
        lambda now: now.has_ended or now.watcher != before or not shelf.is_attended(now.folder),
        seconds=_TAKEOVER_TIME,
    )
    if current.has_ended or shelf.is_attended(current.folder):
        return current
    current = read_job(current.folder) or current
    return current if current.has_ended else _as_unknown(current)


def _as_unknown(job: Job) -> Job:
    return replace(job, state="unknown", reason=f"nobody can attend to it: read {job.folder / WATCH_LOG}")


def _failed_just_now(job: Job) -> bool:
    """Tell whether somebody tried a moment ago and could not: who asks all the time has it tried less often."""
    try:
        about = (job.folder / WATCH_LOG).stat()
    except FileNotFoundError:
        return False
    return about.st_size > 0 and time.time() - about.st_mtime < _AGAIN


def resume_job(job: Job, environ: Mapping[str, str]) -> Job:
    """Start an ended job once more, in the same image with the same payload; raise InputError where that is no use."""
    if not job.has_ended:
        raise InputError(f"job {job.id} is {job.state}", hint=f"stop it first: modelyard job stop {job.id}")
    if job.state == "finished":
        raise InputError(f"job {job.id} is finished", hint="train again: modelyard train --detach")
    with shelf.held(job.folder) as descriptor:
        if descriptor is None:
            raise InputError(f"job {job.id} is being resumed already")
        job.stop_file.unlink(missing_ok=True)
        lines = job.log.read_bytes().count(b"\n") if job.log.exists() else 0
        job = write_job(
            job,
            state="starting",
            starts=job.starts + 1,
            log_lines=lines,
            container=f"job-{job.id}-{secrets.token_hex(2)}",
            started=None,
            ended=None,
            exit_code=None,
            reason=None,
            result=None,
        )
        return launch(job, descriptor, environ)


def stop_job(job: Job, environ: Mapping[str, str], *, grace: float = GRACE) -> Job:
    """Ask a job to end, wait until it has, and return it; after `grace` seconds it is killed."""
    if job.has_ended:
        return job
    part = job.stop_file.with_name(f".stop.{os.getpid()}.part")
    part.write_text(f"{grace:g}")
    part.replace(job.stop_file)
    look_at(job, environ)
    return _wait_for(job, lambda now: now.has_ended, seconds=grace + _START_TIME)


def follow_log(job: Job, environ: Mapping[str, str]) -> Iterator[str]:
    """The lines of a job's log as they come, until it ends."""
    offset, pending = 0, b""
    while True:
        job = look_at(read_job(job.folder) or job, environ)  # asked first: no line is missed
        if job.log.exists():
            with job.log.open("rb") as log:
                log.seek(offset)
                new = log.read()
            offset += len(new)
            *lines, pending = (pending + new).split(b"\n")
            yield from (line.decode(errors="replace") for line in lines)
        if job.has_ended:
            break
        if job.state == "unknown":
            raise EngineError(f"job {job.id}: {job.reason}")
        time.sleep(_POLL)
    if pending:
        yield pending.decode(errors="replace")


def launch(job: Job, descriptor: int, environ: Mapping[str, str]) -> Job:
    """Have a process start the job whose folder `descriptor` holds; raise RunError where it does not start."""
    _spawn(job, descriptor, environ, "start")
    job = _wait_for(job, lambda now: now.state != "starting", seconds=_START_TIME)
    if job.state == "failed" and job.started is None:
        raise RunError(f"job {job.id} did not start: {job.reason}", hint=f"modelyard job show {job.id}")
    return job


def _spawn(job: Job, descriptor: int, environ: Mapping[str, str], *arguments: str) -> None:
    """Start the process that attends to a job; it inherits the hold on the folder."""
    command = [sys.executable, "-P", "-m", "modelyard.commands.job_watching", str(job.folder), *arguments]
    with (job.folder / WATCH_LOG).open("ab") as log:
        started = subprocess.run(
            command,
            env=dict(environ),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[descriptor],
            check=False,
        )
    if started.returncode:
        raise EngineError(f"job {job.id}: nothing can attend to it", hint=f"read {job.folder / WATCH_LOG}")


def _wait_for(job: Job, is_so: Callable[[Job], bool], *, seconds: float) -> Job:
    """Wait until the record is as asked; what it is by then, where that takes too long."""
    deadline = time.monotonic() + seconds
    while True:
        job = read_job(job.folder) or job
        if is_so(job) or time.monotonic() > deadline:
            return job
        time.sleep(_POLL / 2)
